"""query_range: log queries over a time range."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from config import Limits
from gateway.auth import tenant_of
from gateway.errors import failure
from gateway.logs import event
from gateway.query.encode import encoding_flags, streams_answer
from gateway.query.errors import BadParameter
from gateway.query.labels import check_length
from gateway.query.params import Form, RangeParameters, first, range_parameters
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.work import run_for
from gateway.state import Gateway, LogStore
from logql import LogExpr, LogResult, Stats, check_entries_limit, parse, run_log_query
from storage.labels import quote

_log = logging.getLogger("weir.query")

SLOW = 5.0
"""Seconds from which a query is logged even if it went well."""

_PARQUET = "application/vnd.apache.parquet"


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A query_range request, read and checked.

    Attributes:
        text: as asked.
        expr: parsed, with the legacy `regexp` parameter in it.
        asked: its parameters; start is moved up by max_query_lookback.
        flags: encoding flags of the answer.
    """

    text: str
    expr: LogExpr
    asked: RangeParameters
    flags: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Loki's name for the query's type in its metrics."""
        return "filter" if self.expr.stages else "limited"


async def query_range(request: Request) -> Response:
    """Entries as streams."""
    arrived = time.monotonic()
    gateway: Gateway = request.app.state.gateway
    tenant = tenant_of(request)
    store = gateway.store
    if _PARQUET in request.headers.get("accept", ""):
        raise BadParameter(
            "support for Parquet encoded responses is disabled. Enable with -frontend.support-parquet-encoding=true"
        )
    form = await read_form(request)
    flags = tuple(encoding_flags(request.headers.get("x-loki-response-encoding-flags", "")))
    query = read_query(form, flags, gateway.settings.limits_for(tenant), time.time_ns())
    accepted = request.headers.get("accept-encoding", "")

    queued = time.monotonic()

    def work(ticket: Ticket) -> tuple[Response, Stats]:
        waited = time.monotonic() - queued
        result = run(store, tenant, query, ticket)
        return json_response(streams_answer(result, query.flags, waited), accepted), result.stats

    status, stats = 200, Stats()
    try:
        response, stats = await run_for(request, tenant, work)
    except Exception as error:
        status = failure(error, request.scope["route"].permission).status
        raise
    finally:
        seconds = time.monotonic() - arrived
        gateway.metrics.query_done(tenant, status, query.kind, seconds=seconds, stats=stats)
        if seconds >= SLOW:
            _log_slow(tenant, query, seconds, status, stats)
    return response


def read_query(form: Form, flags: tuple[str, ...], limits: Limits, now: int) -> LogQuery:
    """The query a form asks for.

    Raises:
        BadParameter: a parameter cannot be used.
        LogQLError: the query cannot be parsed, or is over a limit.
    """
    asked = range_parameters(form, now)
    text = first(form, "query")
    expr = parse(text)
    if regexp := first(form, "regexp"):
        # On a line of its own, as the query may end in a comment.
        expr = parse(f"{text}\n|~ {quote(regexp)}")
    check_entries_limit(asked.limit, limits.max_entries_limit_per_query)
    check_length(asked.start, asked.end, limits)
    return LogQuery(text, expr, _look_back(asked, limits, now), flags)


def _look_back(asked: RangeParameters, limits: Limits, now: int) -> RangeParameters:
    if not limits.max_query_lookback:
        return asked
    # A range wholly out of sight becomes an empty one: an answer without entries, as Loki's.
    start = min(max(asked.start, now - limits.max_query_lookback), asked.end)
    return RangeParameters(start, asked.end, asked.limit, asked.direction, asked.step, asked.interval)


def run(store: LogStore, tenant: str, query: LogQuery, ticket: Ticket) -> LogResult:
    """Evaluates a query on a worker thread."""
    asked = query.asked
    return run_log_query(
        store,
        tenant,
        query.expr,
        asked.start,
        asked.end,
        asked.limit,
        asked.direction,
        interval=asked.interval,
        check=ticket.check,
    )


def _log_slow(tenant: str, query: LogQuery, seconds: float, status: int, stats: Stats) -> None:
    event(
        _log,
        logging.INFO,
        "slow query",
        tenant=tenant,
        query=query.text[:1000],
        start=query.asked.start,
        end=query.asked.end,
        status=status,
        seconds=round(seconds, 3),
        lines=stats.lines,
        bytes=stats.bytes,
        units=stats.memory.units + stats.blocks.units,
    )
