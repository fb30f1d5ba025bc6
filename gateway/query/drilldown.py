"""drilldown-limits: what Logs Drilldown asks once a day, to know what it may offer.

The members are Loki's, the values are those of Weir's settings. Loki wants X-Scope-OrgID here even with authentication
off; Weir wants it where it wants it everywhere.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from config import Limits, Settings
from config.otlp import INDEX_LABELS, OtlpConfig
from config.units import format_size
from gateway.auth import tenants_of
from gateway.query.times import prometheus_duration
from gateway.state import Gateway


async def drilldown_limits(request: Request) -> Response:
    """Limits of a tenant, whether patterns are kept, Weir's version."""
    gateway: Gateway = request.app.state.gateway
    tenants = tenants_of(request)
    shown = {
        "limits": shown_limits(gateway.settings, tenants),
        "pattern_ingester_enabled": gateway.patterns.enabled,
        "version": gateway.metrics.version,
    }
    return Response(json.dumps(shown, separators=(",", ":")) + "\n", media_type="application/json")


def shown_limits(settings: Settings, tenants: tuple[str, ...]) -> dict[str, Any]:
    """The limits that hold for a query of some tenants, under Loki's names."""
    limits = settings.limits_for("|".join(tenants))
    return {
        "discover_log_levels": limits.discover_log_levels,
        "discover_service_name": list(limits.discover_service_name),
        "log_level_fields": list(limits.log_level_fields),
        "max_entries_limit_per_query": limits.max_entries_limit_per_query,
        "max_line_size_truncate": limits.max_line_size_truncate,
        "max_query_bytes_read": _size(limits.max_query_bytes_read),
        "max_query_length": prometheus_duration(limits.max_query_length),
        "max_query_lookback": prometheus_duration(limits.max_query_lookback),
        "max_query_range": prometheus_duration(limits.max_query_range),
        "max_query_series": limits.max_query_series,
        "metric_aggregation_enabled": False,
        "otlp_config": _otlp(limits),
        # They go to blocks with the lines they are of.
        "pattern_persistence_enabled": settings.patterns.enabled,
        "query_timeout": prometheus_duration(limits.query_timeout or settings.query.timeout),
        "retention_period": prometheus_duration(_retention(settings, tenants)),
        "retention_stream": [
            {"period": prometheus_duration(rule.period), "priority": rule.priority, "selector": rule.selector}
            for rule in limits.retention_stream
        ],
        "volume_enabled": limits.volume_enabled,
        "volume_max_series": limits.volume_max_series,
    }


def _size(size: int) -> str:
    return format_size(size) if size else "0B"


def _retention(settings: Settings, tenants: tuple[str, ...]) -> int:
    """How long (ns) the entries of the tenant are kept that keeps them longest; 0: for ever."""
    own = [settings.limits_for(tenant).retention_period for tenant in tenants]
    periods = [settings.retention.period if period is None else period for period in own]
    return max(periods) if all(periods) else 0


def _otlp(limits: Limits) -> dict[str, Any]:
    """The rules of OTLP attributes; the default labels as a rule of their own."""
    rules = (limits.otlp_config or OtlpConfig()).model_dump(mode="json")
    resources = rules["resource_attributes"]
    if not resources["ignore_defaults"]:
        defaults = {"action": "index_label", "attributes": list(INDEX_LABELS)}
        resources["attributes_config"] = [defaults, *resources["attributes_config"]]
    return rules
