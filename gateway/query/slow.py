"""The queries that took long: a line of the log each, and the last of them with what is known of why."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import tenants_of
from gateway.logs import event

_log = logging.getLogger("weir.query")

KEPT = 100
"""Slow queries that are kept, over all tenants."""

_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class SlowQuery:
    """One that took long.

    Attributes:
        tenant: `a|b` for several.
        asked: who asked what, as About tells it: a form may be 10 MB long.
        ended: time.time() seconds.
        seconds: from the request's arrival to its answer's first bytes.
        queued: seconds of these that it waited for a place.
        status: of the answer.
        error: its text, "" of one that went well.
        explain: what it did, as `data.explain` has it; None of one that did not come so far.
    """

    tenant: str
    asked: Mapping[str, Any]
    ended: float
    seconds: float
    queued: float
    status: int
    error: str
    explain: dict[str, Any] | None

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            **self.asked,
            "ended": round(self.ended, 3),
            "seconds": round(self.seconds, 3),
            "queuedSeconds": round(self.queued, 3),
            "status": self.status,
            "error": self.error[:1000],
            "explain": self.explain,
        }


class SlowQueries:
    """The slow queries of one server, the last KEPT of them. For the event loop.

    Attributes:
        count: how many there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kept: deque[SlowQuery] = deque(maxlen=KEPT)

    def add(self, one: SlowQuery, **told: Any) -> None:
        """Keeps and logs one; `told` is what else the log is to say of it."""
        self.count += 1
        self._kept.append(one)
        if one.explain is not None:
            told["explain"] = summary(one.explain)
        event(_log, logging.INFO, "slow query", seconds=round(one.seconds, 3), status=one.status, **told)

    def of(self, tenants: Collection[str]) -> list[dict[str, Any]]:
        """Those of these tenants, the last first."""
        return [
            one.told() for one in reversed(self._kept) if all(tenant in tenants for tenant in one.tenant.split("|"))
        ]


def summary(explain: dict[str, Any]) -> str:
    """An explanation in a line of text."""
    return "; ".join(_summed(explain))


def _summed(explain: dict[str, Any]) -> Iterator[str]:
    streams, blocks, units, lines = (explain[name] for name in ("streams", "blocks", "units", "lines"))
    yield f"streams {streams['matching']} of {streams['considered']}"
    yield f"blocks {blocks['considered']}, {sum(blocks['skipped'].values())} skipped"
    read, unread, skipped = units["read"], units["linesNotRead"], units["skipped"]
    yield (
        f"units {units['considered']}: {sum(read.values())} read, {sum(unread.values())} without lines, "
        f"{sum(skipped.values())} skipped"
    )
    yield f"lines {lines['read']}, {lines['bytes'] / _MEGABYTE:.1f} MB"
    yield "entries " + " > ".join(str(step["entries"]) for step in explain["entries"])
    rows = [stage["stage"] for plan in explain["plans"] for stage in plan["stages"] if stage["by"] != "columns"]
    if rows:
        yield "row by row: " + ", ".join(rows)[:200]
    stages = sorted(explain["stages"], key=lambda stage: -stage["seconds"])
    yield "time " + ", ".join(f"{stage['stage']} {stage['seconds']:.3f} s" for stage in stages if stage["seconds"])


async def slow_queries(request: Request) -> Response:
    """The tenant's slow queries, the last first."""
    slow: SlowQueries = request.app.state.gateway.slow
    said = {"queries": slow.of(tenants_of(request))}
    return Response(msgspec.json.encode(said) + b"\n", media_type="application/json")
