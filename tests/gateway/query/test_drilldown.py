"""drilldown-limits: the members that Logs Drilldown knows, with what holds."""

from __future__ import annotations

from collections.abc import Callable

from tests.gateway.world import World

PATH = "/loki/api/v1/drilldown-limits"
MEMBERS = {
    "discover_log_levels",
    "discover_service_name",
    "log_level_fields",
    "max_entries_limit_per_query",
    "max_line_size_truncate",
    "max_query_bytes_read",
    "max_query_length",
    "max_query_lookback",
    "max_query_range",
    "max_query_series",
    "metric_aggregation_enabled",
    "otlp_config",
    "pattern_persistence_enabled",
    "query_timeout",
    "retention_period",
    "retention_stream",
    "volume_enabled",
    "volume_max_series",
}


def test_the_defaults(world: World) -> None:
    answer = world.get(PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    shown = answer.json()
    limits = shown.pop("limits")
    assert shown == {"pattern_ingester_enabled": True, "version": "1.2.3"}
    assert limits.keys() >= MEMBERS
    told = ("max_query_bytes_read", "max_query_length", "max_query_lookback", "query_timeout", "retention_period")
    assert [limits[name] for name in told] == ["0B", "30d1h", "0s", "1m", "0s"]
    assert (limits["max_entries_limit_per_query"], limits["max_query_series"]) == (5000, 500)
    assert limits["volume_enabled"] is True
    assert limits["otlp_config"]["resource_attributes"]["attributes_config"][0]["action"] == "index_label"


def test_a_tenants_own(make_world: Callable[..., World]) -> None:
    world = make_world(
        tenancy={"enabled": True},
        retention={"period": "30d"},
        limits={"max_entries_limit_per_query": 100},
        overrides={
            "a": {"retention_period": "48h", "max_query_bytes_read": "5MB", "volume_enabled": False},
            "b": {"retention_period": "0", "retention_stream": [{"selector": '{app="x"}', "period": "36h"}]},
        },
    )

    def limits(tenant: str) -> dict[str, object]:
        found = world.ask("GET", PATH, headers={"X-Scope-OrgID": tenant}).json()["limits"]
        assert isinstance(found, dict)
        return found

    assert limits("other")["retention_period"] == "30d"
    own = limits("a")
    assert (own["retention_period"], own["max_query_bytes_read"]) == ("2d", "5MB")
    assert (own["volume_enabled"], own["max_entries_limit_per_query"]) == (False, 100)
    assert limits("b")["retention_period"] == "0s"
    assert limits("b")["retention_stream"] == [{"period": "1d12h", "priority": 0, "selector": '{app="x"}'}]
    assert limits("a|other")["retention_period"] == "30d"
    assert limits("a|b")["retention_period"] == "0s"


def test_a_tenant_is_needed_where_all_requests_need_one(make_world: Callable[..., World]) -> None:
    answer = make_world(tenancy={"enabled": True}).get(PATH)
    assert (answer.status_code, answer.text) == (401, "no org id\n")


def test_without_patterns(make_world: Callable[..., World]) -> None:
    shown = make_world(patterns={"enabled": False}).get(PATH).json()
    assert shown["pattern_ingester_enabled"] is False
    assert shown["limits"]["pattern_persistence_enabled"] is False
