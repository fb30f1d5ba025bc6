"""Running a query that was read, under the limits of its tenant. For a worker thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from config import Limits
from gateway.query.asked import Query
from gateway.query.limits import Sight, check_bytes, check_length, check_query, metric_limits
from gateway.query.params import InstantParameters
from gateway.state import ReadStore
from logql import (
    Budget,
    Explanation,
    LogExpr,
    LogResult,
    Matrix,
    ResultCache,
    Scalar,
    Source,
    Stats,
    Vector,
    run_instant,
    run_log_query,
    run_range,
    selections,
)

MS = 1_000_000
"""ns."""

Result: TypeAlias = LogResult | Matrix | Vector | Scalar


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one query.

    Attributes:
        tenant: who asks.
        limits: the tenant's.
        max_memory: bytes that the query may hold; 0: any number.
        partial: whether an answer of too many series is cut and not refused.
        now: ns.
        cache: of results over blocks, if the query may use it.
    """

    tenant: str
    limits: Limits
    max_memory: int
    partial: bool
    now: int
    cache: ResultCache | None = None


def evaluate(
    store: ReadStore, query: Query, terms: Terms, check: Callable[[], None], explanation: Explanation | None = None
) -> Result:
    """The answer of a query.

    Args:
        store: of all tenants, or of those that are asked.
        query: as read.
        terms: what holds for it.
        check: called now and then; raises to stop the query.
        explanation: is told what the query does.

    Raises:
        BadParameter, LogQLError: it is over a limit, or cannot be evaluated.
        StorageError: what it reads cannot be read.
    """
    limits, asked = terms.limits, query.asked
    check_query(query.expr, 0 if isinstance(asked, InstantParameters) else asked.limit, limits)
    source: Source = store
    start = query.start
    if limits.max_query_lookback:
        oldest = terms.now - limits.max_query_lookback
        if query.end < oldest:
            return _nothing(query)
        if _reach(query) < oldest:
            # What is kept is of whole units, and part of one may be out of sight.
            terms = replace(terms, cache=None)
        source, start = Sight(store, oldest), max(start, oldest)
    check_length(start, query.end, limits)
    check_bytes(store, terms.tenant, query.expr, start, query.end, limits)
    return _run(source, query, start, terms, check, explanation)


def _run(
    source: Source,
    query: Query,
    start: int,
    terms: Terms,
    check: Callable[[], None],
    explanation: Explanation | None,
) -> Result:
    expr, asked, tenant = query.expr, query.asked, terms.tenant
    budget = Budget(terms.max_memory)
    allowed = metric_limits(terms.limits, partial=terms.partial)
    if isinstance(asked, InstantParameters):
        assert not isinstance(expr, LogExpr), "read_instant takes none"
        return run_instant(
            source,
            tenant,
            expr,
            asked.time,
            limits=allowed,
            check=check,
            budget=budget,
            explanation=explanation,
        )
    if not isinstance(expr, LogExpr):
        return run_range(
            source,
            tenant,
            expr,
            start,
            asked.end,
            asked.step,
            limits=allowed,
            check=check,
            budget=budget,
            explanation=explanation,
            cache=terms.cache,
        )
    return run_log_query(
        source,
        tenant,
        expr,
        start,
        asked.end,
        asked.limit,
        asked.direction,
        interval=asked.interval,
        check=check,
        budget=budget,
        explanation=explanation,
    )


def missing(store: ReadStore, query: Query, tenant: str) -> tuple[str, ...]:
    """What the answer of a query lacks because blocks are damaged, to be asked after `evaluate`."""
    return store.missing(tenant, _reach(query), query.end + 1)


def _reach(query: Query) -> int:
    """The time (ns) before which a query reads nothing."""
    asked = query.asked
    step = 0 if isinstance(asked, InstantParameters) or isinstance(query.expr, LogExpr) else asked.step
    return query.start - step - max((each.before for each in selections(query.expr)), default=0)


def _nothing(query: Query) -> Result:
    """The answer where all that is asked for is older than max_query_lookback."""
    if isinstance(query.asked, InstantParameters):
        return Vector(query.asked.time // MS, (), Stats())
    return LogResult((), Stats()) if isinstance(query.expr, LogExpr) else Matrix((), Stats())
