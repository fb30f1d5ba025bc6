"""The routes of this folder and of gateway/rejected, and GET /weir/v1/why."""

from __future__ import annotations

import time

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import Scope, ScopedRoute, route, tenants_of
from gateway.query.params import bounds, first
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.work import run_for
from gateway.rejected.routes import refusals, rejected, sees_strangers, tests_of
from gateway.state import Gateway
from gateway.why.findings import Looking, findings
from gateway.why.limits import limits_in_use, uses_of
from gateway.why.streams import found_in, stream_told, streams

STREAMS = 100
"""Streams that are looked at: those that wrote last."""


def why_routes() -> list[ScopedRoute]:
    """Routes about lines that are missing."""
    return [
        route("/weir/v1/rejected", rejected, ["GET"], Scope.QUERY),
        route("/weir/v1/streams", streams, ["GET"], Scope.QUERY),
        route("/weir/v1/limits", limits_in_use, ["GET"], Scope.QUERY),
        route("/weir/v1/why", why, ["GET"], Scope.QUERY),
    ]


async def why(request: Request) -> Response:
    """Where the lines of a selector are, as far as the server can tell."""
    gateway: Gateway = request.app.state.gateway
    tenants, store = tenants_of(request), gateway.store
    form = await read_form(request)
    now = time.time_ns()
    start, end = bounds(form, now)
    accepted = request.headers.get("accept-encoding", "")
    matchers, tests = await anyio.to_thread.run_sync(tests_of, first(form, "query"))
    # The journal and the budgets are the event loop's.
    refused = list(refusals(gateway.rejected, tenants, tests, strangers=sees_strangers(request)))
    uses = [use for tenant in tenants for use in uses_of(gateway, tenant, now)]

    def work(_ticket: Ticket) -> Response:
        matching, found = found_in(store, tenants, matchers, start, end, STREAMS)
        looking = Looking(gateway, store, tenants, matchers, start, end, now, matching, found, refused, uses)
        said = {
            "findings": [each.told() for each in findings(looking)],
            "matching": matching,
            "streams": [stream_told(one) for one in found],
            "rejected": [each.told() for each in refused],
            "limits": [use.told() for use in uses],
        }
        return json_response(msgspec.json.encode(said) + b"\n", accepted)

    return await run_for(request, "|".join(tenants), work)
