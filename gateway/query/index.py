"""index/stats: how much a selector would read, without reading it."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from gateway.query.limits import check_length
from gateway.query.params import first, range_parameters
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.several import reader_of
from gateway.query.work import run_for
from gateway.state import Gateway
from logql import parse_selector


async def index_stats(request: Request) -> Response:
    """Streams, chunks, bytes and entries that match a selector in a time range: four numbers, no envelope."""
    gateway: Gateway = request.app.state.gateway
    store, tenant = reader_of(request)
    limits = gateway.settings.limits_for(tenant)
    now = time.time_ns()
    form = await read_form(request)
    # Loki reads all parameters of a range query here, and finds fault with those that it does not need too.
    asked = range_parameters(form, now)
    accepted = request.headers.get("accept-encoding", "")

    def work(_ticket: Ticket) -> Response:
        matchers = parse_selector(first(form, "query"))
        start = max(asked.start, now - limits.max_query_lookback) if limits.max_query_lookback else asked.start
        check_length(start, asked.end, limits)
        found = store.index_stats(tenant, matchers, start, asked.end)
        body = b'{"streams":%d,"chunks":%d,"bytes":%d,"entries":%d}\n'
        return json_response(body % (found.streams, found.chunks, found.bytes, found.entries), accepted)

    return await run_for(request, tenant, work)
