"""GET and POST /loki/api/v1/patterns."""

from __future__ import annotations

import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import Scope, ScopedRoute, route, tenants_of
from gateway.query.limits import check_length
from gateway.query.params import bounds, first, step_of
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.several import own_matchers
from gateway.query.work import run_for
from gateway.state import Gateway
from logql import parse_selector
from logql.patterns.answer import Pattern, patterns_between
from logql.patterns.series import join_series


def pattern_routes() -> list[ScopedRoute]:
    """Routes of this folder."""
    return [route("/loki/api/v1/patterns", patterns, ("GET", "POST"), Scope.QUERY)]


async def patterns(request: Request) -> Response:
    """Which patterns the lines of matching streams have, and how many lines each has in each step."""
    gateway: Gateway = request.app.state.gateway
    if not gateway.patterns.enabled:
        return Response(status_code=404)
    tenants, store = tenants_of(request), gateway.store
    shown = "|".join(tenants)
    limits = gateway.settings.limits_for(shown)
    now = time.time_ns()
    form = await read_form(request)
    start, end = bounds(form, now)
    step = step_of(form, start, end)
    accepted = request.headers.get("accept-encoding", "")

    def work(_ticket: Ticket) -> Response:
        matchers = parse_selector(first(form, "query"))
        begin = max(start, now - limits.max_query_lookback) if limits.max_query_lookback else start
        check_length(begin, end, limits)
        parts = []
        for tenant in tenants:
            own = own_matchers(matchers, tenant) if len(tenants) > 1 else matchers
            if own is not None:
                parts.append(gateway.patterns.series(store, tenant, own, begin, end))
        found = patterns_between(join_series(parts), begin, end, step)
        return json_response(patterns_answer(found), accepted)

    return await run_for(request, shown, work)


def patterns_answer(found: list[Pattern]) -> bytes:
    """The body of an answer."""
    data = [{"pattern": one.text, "level": one.level, "samples": one.samples} for one in found]
    return msgspec.json.encode({"status": "success", "data": data}) + b"\n"
