"""GET /weir/v1/streams: when each stream last came in. No line is read for it."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import tenants_of
from gateway.query.params import bounds, first, limit_of
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.several import named, own_matchers
from gateway.query.work import run_for
from gateway.state import Gateway, LogStore
from logql import Matcher, parse_selector
from storage import StreamActivity

EVERYTHING = "{}"
"""The selector of all streams."""


def selector_of(text: str) -> tuple[Matcher, ...]:
    """The matchers of a selector; of `{}` or nothing none, which all streams match. Raises LogQLError."""
    return () if text.replace(" ", "") in ("", EVERYTHING) else tuple(parse_selector(text))


def found_in(
    store: LogStore, tenants: tuple[str, ...], matchers: tuple[Matcher, ...], start: int, end: int, limit: int
) -> tuple[int, list[StreamActivity]]:
    """How many streams of some tenants match, and the last that wrote; of several each shows whose it is."""
    total, found = 0, []
    for tenant in tenants:
        own = own_matchers(matchers, tenant) if len(tenants) > 1 else matchers
        if own is None:
            continue
        count, some = store.activity(tenant, own, start, end, limit)
        total += count
        found += [(one, tenant) for one in some]
    found.sort(key=lambda pair: -pair[0].last)
    return total, [one if len(tenants) == 1 else _named(one, tenant) for one, tenant in found[:limit]]


def _named(one: StreamActivity, tenant: str) -> StreamActivity:
    labels = named(one.labels, tenant)
    return StreamActivity(labels, one.first, one.last, one.arrived, one.rows, one.size, one.is_expired)


def stream_told(one: StreamActivity) -> dict[str, Any]:
    """As JSON has it: times in ns as text, as Loki has them; null where it is not known."""
    return {
        "stream": dict(one.labels),
        "firstEntry": str(one.first),
        "lastEntry": str(one.last),
        "lastArrival": str(one.arrived) if one.arrived else None,
        "lines": one.rows,
        "bytes": one.size,
        "expired": one.is_expired,
    }


async def streams(request: Request) -> Response:
    """The streams of a selector that wrote last, and what each has in a time."""
    gateway: Gateway = request.app.state.gateway
    tenants, store = tenants_of(request), gateway.store
    form = await read_form(request)
    start, end = bounds(form, time.time_ns())
    limit = limit_of(form)
    accepted = request.headers.get("accept-encoding", "")

    def work(_ticket: Ticket) -> Response:
        total, found = found_in(store, tenants, selector_of(first(form, "query")), start, end, limit)
        said = {"matching": total, "streams": [stream_told(one) for one in found]}
        return json_response(msgspec.json.encode(said) + b"\n", accepted)

    return await run_for(request, "|".join(tenants), work)
