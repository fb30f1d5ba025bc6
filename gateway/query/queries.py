"""The endpoints of queries: query, query_range and the old /api/prom/query. Read, run, write, counted and logged."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import tenant_of
from gateway.errors import failure
from gateway.logs import describe, event
from gateway.query.answer import answer_of
from gateway.query.asked import Query, read_instant, read_legacy, read_range
from gateway.query.encode import encoding_flags, streams_answer
from gateway.query.encode_legacy import legacy_answer
from gateway.query.encode_metrics import matrix_answer, scalar_answer, vector_answer
from gateway.query.errors import BadParameter
from gateway.query.evaluate import Result, Terms, evaluate
from gateway.query.params import Form, first
from gateway.query.pool import Ticket
from gateway.query.request import read_form
from gateway.query.tags import clean_tags, wants_partial
from gateway.query.work import run_for
from gateway.state import Gateway
from logql import LogResult, Matrix, Scalar, Stats, Vector

_log = logging.getLogger("weir.query")

SLOW = 5.0
"""Seconds from which a query is logged even if it went well."""

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
    """How far a query came: written by its worker thread, read when it has ended or was given up."""

    kind: str = ""
    stats: Stats | None = None


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
    tenant = tenant_of(request)
    store = gateway.store
    if _PARQUET in request.headers.get("accept", ""):
        raise BadParameter(
            "support for Parquet encoded responses is disabled. Enable with -frontend.support-parquet-encoding=true"
        )
    form = await read_form(request)
    flags = encoding_flags(request.headers.get("x-loki-response-encoding-flags", ""))
    tags = clean_tags(request.headers.get("x-query-tags", ""))
    accepted = request.headers.get("accept-encoding", "")
    settings = gateway.settings
    terms = Terms(tenant, settings.limits_for(tenant), settings.query.max_memory, wants_partial(tags), now)
    progress = _Progress()
    queued = time.monotonic()

    def work(ticket: Ticket) -> Response:
        waited = time.monotonic() - queued
        # Here and not before: a query may be 100 KB long, and the event loop has others to serve.
        asked = door.read(form, now)
        progress.kind = asked.kind
        result = evaluate(store, asked, terms, ticket.check)
        progress.stats = result.stats
        write = _write_legacy if door.legacy else _write
        return answer_of(write(result, flags, waited), accepted, ticket.check, gateway.queries)

    status = 200
    try:
        return await run_for(request, tenant, work)
    except Exception as error:
        status = failure(error, request.scope["route"].permission).status
        raise
    finally:
        seconds, stats = time.monotonic() - arrived, progress.stats or Stats()
        if progress.kind:
            gateway.metrics.query_done(tenant, status, progress.kind, door.span, seconds=seconds, stats=stats)
        told = _described(form, tenant, tags, stats)
        if status != 200:
            describe(request.scope, **told)
        elif seconds >= SLOW:
            event(_log, logging.INFO, "slow query", seconds=round(seconds, 3), **told)


def _write(result: Result, flags: Sequence[str], waited: float) -> Iterator[bytes]:
    match result:
        case LogResult():
            return streams_answer(result, flags, waited)
        case Matrix():
            return matrix_answer(result, waited)
        case Vector():
            return vector_answer(result, waited)
        case Scalar():
            return scalar_answer(result, waited)


def _write_legacy(result: Result, _flags: Sequence[str], waited: float) -> Iterator[bytes]:
    assert isinstance(result, LogResult), "read_legacy takes log queries only"
    return legacy_answer(result, waited)


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
