"""Which limits a tenant is near, of those whose use the server knows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import tenants_of
from gateway.push.admission import stream_rules
from gateway.state import Gateway

_MIB = 1 << 20

NEAR = 0.8
"""The part of a limit from which it is near its edge."""


@dataclass(frozen=True, slots=True)
class Use:
    """One limit.

    Attributes:
        tenant: whose; "" of what all share.
        setting: that is the limit.
        what: is limited, in words.
        used: now.
        limit: at most.
        unit: of both.
    """

    tenant: str
    setting: str
    what: str
    used: float
    limit: float
    unit: str

    @property
    def share(self) -> float:
        """Used / limit."""
        return self.used / self.limit if self.limit else 0.0

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "tenant": self.tenant,
            "setting": self.setting,
            "what": self.what,
            "used": round(self.used, 3),
            "limit": self.limit,
            "unit": self.unit,
            "share": round(self.share, 4),
            "near": self.share >= NEAR,
        }


def uses_of(gateway: Gateway, tenant: str, now: int) -> list[Use]:
    """The limits of a tenant that are set, and those that all share, the most used first; `now` in ns."""
    limits, states, found = gateway.settings.limits_for(tenant), gateway.stream_states, []
    rules = stream_rules(limits)
    if limits.ingestion_rate_mb:
        burst = limits.ingestion_burst_size_mb * _MIB
        left = states.bytes_left(tenant, now, limits.ingestion_rate_mb * _MIB, burst)
        what = "bytes of the burst that are used up and not yet made good by the rate"
        found.append(Use(tenant, "limits.ingestion_rate_mb", what, burst - left, burst, "bytes"))
    if rules.max_streams:
        active = states.active(tenant, now)
        found.append(Use(tenant, "limits.max_streams_per_user", "active streams", active, rules.max_streams, "streams"))
    settings, ingest, queries = gateway.settings, gateway.ingest, gateway.queries
    what = "bytes of pushes being worked on"
    found.append(Use("", "server.ingest_in_flight", what, ingest.used, ingest.limit, "bytes"))
    most = settings.query.max_concurrent
    found.append(Use("", "query.max_concurrent", "queries at work", queries.running, most, "queries"))
    what = "open HTTP connections"
    most = settings.server.max_connections
    found.append(Use("", "server.max_connections", what, gateway.metrics.connections, most, "connections"))
    return sorted(found, key=lambda use: -use.share)


async def limits_in_use(request: Request) -> Response:
    """How near the tenant is to its limits."""
    gateway: Gateway = request.app.state.gateway
    now = time.time_ns()
    seen: dict[tuple[str, str], Use] = {}
    for tenant in tenants_of(request):
        for use in uses_of(gateway, tenant, now):
            seen[use.tenant, use.setting] = use
    said = {"limits": [use.told() for use in sorted(seen.values(), key=lambda use: -use.share)]}
    return Response(msgspec.json.encode(said) + b"\n", media_type="application/json")
