"""The endpoints of queries: query, query_range and the old /api/prom/query. Read, run, write, counted and logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import failure
from gateway.logs import describe
from gateway.query.answer import answer_of
from gateway.query.asked import Query, read_instant, read_legacy, read_range
from gateway.query.encode import encoding_flags, streams_answer
from gateway.query.encode_legacy import legacy_answer
from gateway.query.encode_metrics import matrix_answer, scalar_answer, vector_answer
from gateway.query.errors import BadParameter
from gateway.query.evaluate import Result, Terms, evaluate, missing
from gateway.query.explain import Explainer, explained, wants_explanation
from gateway.query.params import Form, first
from gateway.query.pool import Ticket
from gateway.query.request import read_form, takes_gzip
from gateway.query.running import About
from gateway.query.several import reader_of
from gateway.query.slow import SlowQuery
from gateway.query.tags import clean_tags, wants_partial
from gateway.query.work import run_for, run_shared
from gateway.state import Gateway
from logql import Explanation, Expr, LogResult, Matrix, Scalar, Stats, TimedStage, Vector, span

_NS_PER_SECOND = 1_000_000_000

_LOGGED = ("start", "end", "since", "time", "step", "limit", "direction")
"""Parameters that a logged query is shown with."""

_PARQUET = "application/vnd.apache.parquet"


@dataclass(frozen=True, slots=True)
class _Door:
    """One endpoint.

    Attributes:
        span: range or instant, as Loki's metrics have it.
        read: makes a query of a form at a time (ns).
        legacy: whether the answer has the form of /api/prom.
    """

    span: str
    read: Callable[[Form, int], Query]
    legacy: bool = False


@dataclass(slots=True)
class _Progress:
    """How far a query came: written by its worker thread, read when it has ended or was given up.

    Attributes:
        kind: Loki's name of the query's type, "" before it is parsed.
        stats: what it took, None before it has ended.
        queued: seconds that it waited for a place.
        expr: as parsed.
        explanation: of what it does; None if nothing will be told of it.
        is_own: whether the run was begun for this request, and came to work.
    """

    kind: str = ""
    stats: Stats | None = None
    queued: float = 0.0
    expr: Expr | None = None
    explanation: Explanation | None = None
    is_own: bool = False


@dataclass(slots=True)
class _Answered:
    """What a run came to, for all who wait for it.

    Attributes:
        progress: of the run.
        response: of the first who takes it.
        again: makes another, on a worker thread.
        taken: whether somebody has the response.
    """

    progress: _Progress
    response: Response
    again: Callable[[], Response]
    taken: bool = False


async def query_range(request: Request) -> Response:
    """Entries as streams, or the points of a metric query as a matrix."""
    return await _answer(request, _Door("range", read_range))


async def query(request: Request) -> Response:
    """The value of a metric query at one time, as a vector or a scalar."""
    return await _answer(request, _Door("instant", read_instant))


async def legacy_query(request: Request) -> Response:
    """Entries of a log query over a range, in the old form."""
    return await _answer(request, _Door("range", read_legacy, legacy=True))


async def _answer(request: Request, door: _Door) -> Response:
    arrived, now = time.monotonic(), time.time_ns()
    gateway: Gateway = request.app.state.gateway
    store, tenant = reader_of(request)
    if _PARQUET in request.headers.get("accept", ""):
        raise BadParameter(
            "support for Parquet encoded responses is disabled. Enable with -frontend.support-parquet-encoding=true"
        )
    form = await read_form(request)
    flags = encoding_flags(request.headers.get("x-loki-response-encoding-flags", ""))
    tags = clean_tags(request.headers.get("x-query-tags", ""))
    accepted = request.headers.get("accept-encoding", "")
    settings = gateway.settings
    partial = wants_partial(tags)
    fresh = "no-cache" in request.headers.get("cache-control", "")
    cache = None if fresh else gateway.results
    terms = Terms(tenant, settings.limits_for(tenant), settings.query.max_memory, partial, now, cache)
    explains = not door.legacy and wants_explanation(form)
    key = None if explains or fresh else _key(door, form, (tenant, *flags, takes_gzip(accepted), partial))
    slow = settings.query.log_slower_than / _NS_PER_SECOND
    about = About.of(request, tenant, door.span, form, tags)
    progress = _Progress()
    queued = time.monotonic()

    def work(ticket: Ticket) -> _Answered:
        waited = progress.queued = time.monotonic() - queued
        # Here and not before: a query may be 100 KB long, and the event loop has others to serve.
        explanation = Explanation(light=not explains)
        progress.explanation, ticket.so_far, progress.is_own = explanation, explanation.so_far, True
        with span(explanation, TimedStage.PARSE):
            asked = door.read(form, now)
        progress.kind, progress.expr = asked.kind, asked.expr
        try:
            with span(explanation, TimedStage.OTHER):
                result = evaluate(store, asked, terms, ticket.check, explanation)
                warnings = missing(store, asked, tenant)
        finally:
            explanation.end()
        progress.stats = result.stats

        def response() -> Response:
            pieces = _pieces(door, asked, result, flags, waited, warnings, explanation if explains else None)
            return answer_of(pieces, accepted, ticket.check, gateway.queries)

        return _Answered(progress, response(), response)

    status, wrong = 200, ""
    try:
        answered = await run_shared(request, about, key, work)
        if not answered.taken:
            answered.taken, progress = True, answered.progress
            return answered.response
        progress = _Progress(answered.progress.kind)
        if type(answered.response) is Response:
            return Response(answered.response.body, headers=dict(answered.response.headers))
        return await run_for(request, tenant, lambda _: answered.again())
    except Exception as error:
        told_as = failure(error, request.scope["route"].permission)
        status, wrong = told_as.status, told_as.text
        raise
    finally:
        seconds, stats = time.monotonic() - arrived, _stats_of(progress)
        if progress.kind:
            gateway.metrics.query_done(tenant, status, progress.kind, door.span, seconds=seconds, stats=stats)
        told = _described(form, tenant, tags, stats)
        if status != 200:
            describe(request.scope, **told)
        if slow and seconds >= slow and progress.is_own:
            explain = _explained(progress)
            asked, queued = about.told(), progress.queued
            slow_one = SlowQuery(tenant, asked, time.time(), seconds, queued, status, wrong, explain)
            gateway.slow.add(slow_one, **told)


def _key(door: _Door, form: Form, more: Hashable) -> Hashable | None:
    """What requests with the same answer have in common; None if the answer depends on when they came.

    `more` is whatever changes it besides the parameters.
    """
    if not all(first(form, name) for name in (("time",) if door.span == "instant" else ("start", "end"))):
        return None
    return door.span, door.legacy, tuple((name, tuple(form[name])) for name in sorted(form)), more


def _pieces(
    door: _Door,
    asked: Query,
    result: Result,
    flags: Sequence[str],
    waited: float,
    warnings: tuple[str, ...],
    explanation: Explanation | None,
) -> Iterator[bytes]:
    """The answer's body."""
    if door.legacy:
        assert isinstance(result, LogResult), "read_legacy takes log queries only"
        return legacy_answer(result, waited)
    if explanation is None:
        return _write(result, flags, waited, warnings)
    explainer = Explainer(asked.expr, explanation, result.stats)
    return explainer.timed(_write(result, flags, waited, warnings, explainer.member))


def _write(
    result: Result,
    flags: Sequence[str],
    waited: float,
    warnings: tuple[str, ...],
    more: Callable[[], bytes] = bytes,
) -> Iterator[bytes]:
    match result:
        case LogResult():
            return streams_answer(result, flags, waited, more, warnings)
        case Matrix():
            return matrix_answer(replace(result, warnings=result.warnings + warnings), waited, more)
        case Vector():
            return vector_answer(replace(result, warnings=result.warnings + warnings), waited, more)
        case Scalar():
            return scalar_answer(result, waited, more)


def _explained(progress: _Progress) -> dict[str, Any] | None:
    """What a query did as far as it came; None if it never began."""
    explanation, expr = progress.explanation, progress.expr
    if explanation is None or expr is None:
        return None
    return explained(expr, explanation, _stats_of(progress), ended=progress.stats is not None)


def _stats_of(progress: _Progress) -> Stats:
    """What a query took as far as it came."""
    if progress.stats is not None:
        return progress.stats
    return Stats() if progress.explanation is None else Stats(blocks=progress.explanation.so_far())


def _described(form: Form, tenant: str, tags: str, stats: Stats) -> dict[str, Any]:
    """What the log says of a query."""
    return {
        "tenant": tenant,
        "query": first(form, "query")[:1000],
        "asked": " ".join(f"{name}={text[:40]}" for name in _LOGGED if (text := first(form, name))),
        "tags": tags[:1000],
        "lines": stats.lines,
        "bytes": stats.bytes,
        "units": stats.memory.units + stats.blocks.units,
    }
