"""What Logs Drilldown and Grafana's query builder ask about labels and fields, as they ask it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import httpx
import pytest

from tests.gateway.clients_cases.cases import BASE, DRILLDOWN, MINUTE, SECOND, WINDOW, Check, ClientCase, refused

L = "/loki/api/v1"
JSON = "application/json; charset=UTF-8"


def rfc3339(ns: int) -> str:
    """As JavaScript writes a time."""
    return f"{dt.datetime.fromtimestamp(ns // SECOND, dt.UTC):%Y-%m-%dT%H:%M:%S}.000Z"


RFC = {"start": rfc3339(BASE), "end": rfc3339(BASE + 30 * MINUTE)}


def labels(**cardinalities: int) -> Check:
    def check(answer: httpx.Response) -> None:
        assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
        body = answer.json()
        assert list(body) == ["detectedLabels"]
        assert {one.pop("label"): one.pop("cardinality") for one in body["detectedLabels"]} == cardinalities
        assert not any(body["detectedLabels"])

    return check


def empty(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, JSON, {})


def fields(*expected: dict[str, Any], limit: int = 1000) -> Check:
    def check(answer: httpx.Response) -> None:
        assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
        body = answer.json()
        assert body.keys() == {"fields", "limit"}
        assert body["limit"] == limit
        assert sorted(body["fields"], key=str) == sorted(expected, key=str)

    return check


def field(label: str, kind: str, cardinality: int, *parsers: str, path: tuple[str, ...] = ()) -> dict[str, Any]:
    found = {"label": label, "type": kind, "cardinality": cardinality, "parsers": list(parsers) or None}
    return found | ({"jsonPath": list(path)} if path else {})


def values(*expected: str, limit: int = 1000) -> Check:
    def check(answer: httpx.Response) -> None:
        assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
        body = answer.json()
        assert body.keys() == {"values", "limit"}
        assert (sorted(body["values"]), body["limit"]) == (sorted(expected), limit)

    return check


def limits(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    body = answer.json()
    assert body.keys() == {"limits", "pattern_ingester_enabled", "version"}
    assert isinstance(body["pattern_ingester_enabled"], bool)
    assert isinstance(body["version"], str)
    assert body["limits"]["retention_period"] == "0s"
    assert body["limits"]["max_entries_limit_per_query"] == 5000
    assert body["limits"]["volume_enabled"] is True


WEB_FIELDS = (
    field("level", "string", 2, "json", path=("level",)),
    field("status", "int", 30, "json", path=("status",)),
    field("nested_a", "string", 2, "json", path=("nested", "a")),
    field("trace_id", "string", 30),
    field("detected_level", "string", 2),
)
PB_FIELDS = (
    field("level", "string", 1, "logfmt"),
    field("duration", "duration", 1, "logfmt"),
    field("bytes", "bytes", 1, "logfmt"),
    field("n", "int", 1, "logfmt"),
    field("amount", "float", 1, "logfmt"),
    field("msg", "string", 10, "logfmt"),
    field("detected_level", "string", 1),
)
VALUES = f"{L}/detected_field/{{}}/values"

CASES = [
    ClientCase(42, f"{L}/detected_labels", {"query": "", **RFC}, labels(app=4, env=2, job=1, service_name=4)),
    ClientCase(42, f"{L}/detected_labels", RFC, labels(app=4, env=2, job=1, service_name=4)),
    ClientCase(
        42, f"{L}/detected_labels", {"query": '{env="dev"}', **RFC}, labels(app=2, env=1, job=1, service_name=2)
    ),
    # n has nothing but numbers, 600 of them
    ClientCase(42, f"{L}/detected_labels", {"query": '{app="many"}', **RFC}, labels(app=1, service_name=1)),
    ClientCase(42, f"{L}/detected_labels", {"query": '{app="nothing"}', **RFC}, empty),
    ClientCase(43, f"{L}/detected_fields", {"query": '{app="web"}', **RFC}, fields(*WEB_FIELDS)),
    ClientCase(43, f"{L}/detected_fields", {"query": '{app="pb"}', "limit": "1000", **WINDOW}, fields(*PB_FIELDS)),
    ClientCase(
        43,
        f"{L}/detected_fields",
        {"query": '{app="pb"} | logfmt', "limit": "100", "line_limit": "3", "step": "10s", **WINDOW},
        fields(*(one | {"cardinality": min(one["cardinality"], 3)} for one in PB_FIELDS), limit=100),
    ),
    ClientCase(
        43,
        f"{L}/detected_fields",
        {"query": '{app="web"} | json  | drop __error__, __error_details__  | status=`201` | keep status', **RFC},
        fields(*(one | {"cardinality": 1} for one in WEB_FIELDS[:3])),
    ),
    ClientCase(43, f"{L}/detected_fields", {"query": '{app="nothing"}', **RFC}, empty),
    ClientCase(43, f"{L}/detected_fields", {"query": '{app="web"}', **RFC}, fields(*WEB_FIELDS), "POST"),
    *(
        ClientCase(
            44, f"{L}/{path}", {"query": 'rate({app="web"}[1m])', **RFC}, refused("only log selector is supported")
        )
        for path in ("detected_fields", "detected_field/level/values")
    ),
    ClientCase(
        45,
        VALUES.format("level"),
        {"query": '{app="web"}', "limit": "1000", **WINDOW},
        values("error", "info"),
    ),
    ClientCase(
        45,
        VALUES.format("detected_level"),
        {"query": '{env=~".+"}', **WINDOW},
        values("error", "info", "unknown", "warn"),
    ),
    ClientCase(
        45, VALUES.format("trace_id"), {"query": '{app="web"}', "limit": "2", **RFC}, values("t28", "t29", limit=2)
    ),
    ClientCase(45, VALUES.format("nested%5Fa"), {"query": '{app="web"}', **RFC}, values("x0", "x1")),
    ClientCase(45, VALUES.format("bytes"), {"query": '{app="pb"}', **RFC}, values("2.0kB")),
    ClientCase(45, VALUES.format("unheard_of"), {"query": '{app="web"}', **RFC}, empty),
    ClientCase(47, f"{L}/drilldown-limits", {}, limits, headers={"X-Scope-OrgID": "fake", **DRILLDOWN}),
    ClientCase(47, f"{L}/drilldown-limits", {}, limits),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number} {case.path} {case.params.get('query', '')}")
def test_case(client: httpx.Client, case: ClientCase) -> None:
    case.check(case.ask(client))
