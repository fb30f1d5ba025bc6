"""index/shards: ranges of stream ids that hold about so many bytes each, for who asks a query in parts."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.query.errors import BadParameter
from gateway.query.limits import check_length
from gateway.query.params import Form, first, range_parameters
from gateway.query.pool import Ticket
from gateway.query.request import json_response, read_form
from gateway.query.several import reader_of
from gateway.query.work import run_for
from gateway.state import Gateway
from logql import parse_selector
from storage import IndexStats, Shard

_SIZE = re.compile(r"([0-9]{1,18}) ?(?:([KMGTPE])I?)?B?", re.IGNORECASE)
_POWERS = " KMGTPE"


def target_bytes(form: Form) -> int:
    """`targetBytesPerShard`: bytes, or with a unit of 1024 as `600MB`.

    Raises:
        BadParameter: it is missing, no size or 0.
    """
    match = _SIZE.fullmatch(first(form, "targetBytesPerShard").strip())
    size = int(match[1]) << 10 * _POWERS.index((match[2] or " ").upper()) if match else 0
    if not 0 < size < 1 << 63:
        raise BadParameter("targetBytesPerShard must be a positive value")
    return size


async def index_shards(request: Request) -> Response:
    """The shards of a selector's streams in a time range, and what they hold together."""
    gateway: Gateway = request.app.state.gateway
    store, tenant = reader_of(request)
    limits = gateway.settings.limits_for(tenant)
    now = time.time_ns()
    form = await read_form(request)
    asked = range_parameters(form, now)
    target = target_bytes(form)
    accepted = request.headers.get("accept-encoding", "")

    def work(_ticket: Ticket) -> Response:
        matchers = parse_selector(first(form, "query"))
        start = max(asked.start, now - limits.max_query_lookback) if limits.max_query_lookback else asked.start
        check_length(start, asked.end, limits)
        return json_response(shards_answer(store.shards(tenant, matchers, start, asked.end, target)), accepted)

    return await run_for(request, tenant, work)


def shards_answer(shards: Sequence[Shard]) -> bytes:
    """The body; `chunkGroups`, which Loki's own parts use among themselves, are none."""
    return msgspec.json.encode(
        {
            "shards": [{"bounds": {"min": one.first, "max": one.last}, "stats": _stats(one.stats)} for one in shards],
            "statistics": _stats(together([one.stats for one in shards])),
            "chunkGroups": [],
        }
    )


def _stats(stats: IndexStats) -> dict[str, int]:
    return {"streams": stats.streams, "chunks": stats.chunks, "bytes": stats.bytes, "entries": stats.entries}


def together(parts: Sequence[IndexStats]) -> IndexStats:
    """What some have together."""
    return IndexStats(
        sum(part.streams for part in parts),
        sum(part.chunks for part in parts),
        sum(part.bytes for part in parts),
        sum(part.entries for part in parts),
    )
