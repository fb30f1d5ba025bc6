"""Log volume as Logs Drilldown and logcli ask for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.clients_cases.cases import BASE, DRILLDOWN, MINUTE, WINDOW, Check, ClientCase, data_of, refused, web
from tests.server import running_server

VOLUME, VOLUME_RANGE = "/loki/api/v1/index/volume", "/loki/api/v1/index/volume_range"
DAY = {"start": str(BASE - 20 * MINUTE), "end": str(BASE + 40 * MINUTE)}
RFC3339 = {"start": "2020-01-01T00:00:00.000Z", "end": "2020-01-01T01:00:00.000Z"}


def vector(*metrics: dict[str, str]) -> Check:
    """A vector of these series, in this order or one that bytes give; bytes as text, time a number of seconds."""

    def check(answer: httpx.Response) -> None:
        data = data_of(answer)
        assert list(data) == ["resultType", "result", "stats"]
        assert data["resultType"] == "vector"
        assert sorted((one["metric"] for one in data["result"]), key=str) == sorted(metrics, key=str)
        sizes = [int(one["value"][1]) for one in data["result"]]
        assert sizes == sorted(sizes, reverse=True)
        assert all(size > 0 for size in sizes)
        assert all(isinstance(one["value"][0], int | float) for one in data["result"])

    return check


def empty(answer: httpx.Response) -> None:
    assert data_of(answer)["result"] == []


def matrix(answer: httpx.Response) -> None:
    data = data_of(answer)
    assert data["resultType"] == "matrix"
    (only,) = data["result"]
    assert only["metric"] == {"app": "web"}
    stamps = [stamp for stamp, _ in only["values"]]
    assert len(stamps) > 1
    # Each bucket is shown under its last ms.
    assert all(round(stamp * 1000) % 300_000 == 299_999 for stamp in stamps[:-1])
    size = sum(int(size) for _, size in only["values"])
    lines = sum(len(line) for _, line, _ in web())
    assert lines * 0.9 < size < lines + 30 * 60


MANY = [{"app": "many", "n": str(n), "service_name": "many"} for n in range(600)]
WEB = {"app": "web", "env": "prod", "service_name": "web"}
PB = {"app": "pb", "env": "dev", "job": "pb", "service_name": "pb"}
TEXT = {"app": "text", "env": "dev", "service_name": "text"}
NAMES = [{"service_name": name} for name in ("web", "many", "pb", "text")]
SERVICES = '{service_name=~".+"}'

CASES = [
    ClientCase(38, VOLUME, {"query": SERVICES, "limit": "5000", **DAY}, vector(*NAMES), headers=DRILLDOWN),
    ClientCase(38, VOLUME, {"query": "{service_name=~`.+`}", "limit": "5000", **DAY}, vector(*NAMES), "POST"),
    ClientCase(38, VOLUME, {"query": SERVICES, "limit": "5000", **RFC3339}, empty, headers=DRILLDOWN),
    ClientCase(38, VOLUME, {"query": SERVICES, "limit": "2", **DAY}, vector({"service_name": "web"}, NAMES[1])),
    ClientCase(39, VOLUME, {"query": SERVICES, "targetLabels": "env", **DAY}, vector({"env": "prod"}, {"env": "dev"})),
    ClientCase(
        39,
        VOLUME,
        {"query": '{app="pb"}', "aggregateBy": "labels", **DAY},
        vector(*({name: ""} for name in ("app", "env", "job", "service_name"))),
    ),
    ClientCase(39, VOLUME, {"query": "{}", "limit": "1000", **DAY}, vector(WEB, PB, TEXT, *MANY)),
    ClientCase(39, VOLUME, {"query": "{ }", "limit": "1000", **DAY}, vector(WEB, PB, TEXT, *MANY)),
    ClientCase(39, VOLUME, {"query": '{app="web", n=""}', **DAY}, vector({"app": "web"})),
    ClientCase(40, VOLUME_RANGE, {"query": '{app="web"}', "step": "300", **DAY}, matrix),
    ClientCase(40, VOLUME_RANGE, {"query": '{app="web"}', "step": "365d", **WINDOW}, vector({"app": "web"})),
    ClientCase(40, VOLUME_RANGE, {"query": '{app="no"}', "step": "300", **DAY}, empty),
    ClientCase(40, VOLUME_RANGE, {"query": '{app="web"}', "step": "1ms", **DAY}, refused("exceeded", how="starts")),
    ClientCase(40, VOLUME, {"query": '{app="web"}', "limit": "-1", **DAY}, refused("limit must be a positive value")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number} {case.path} {case.params['query']}")
def test_case(client: httpx.Client, case: ClientCase) -> None:
    case.check(case.ask(client))


def test_all_of_the_catalogue_about_volume_is_asked() -> None:
    assert {case.number for case in CASES} | {41} == set(range(38, 42))


def test_a_long_answer_is_compressed(client: httpx.Client) -> None:
    params = {"query": "{}", "limit": "1000", **DAY}
    answer = client.get(VOLUME, params=params, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    plain = client.get(VOLUME, params=params, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == answer.json()


def test_equal_volumes_are_cut_by_their_names(client: httpx.Client) -> None:
    params = {"query": '{app="many", n=~".+"}', "limit": "15", **DAY}
    found = [one["metric"]["n"] for one in data_of(client.get(VOLUME, params=params))["result"]]
    # Lines are longer from 10 and from 100 on.
    assert found == sorted(map(str, range(100, 600)))[:15]


def shards(client: httpx.Client, **params: str) -> dict[str, Any]:
    answer = client.get("/loki/api/v1/index/shards", params={"query": '{app=~".+"}', **DAY, **params})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=UTF-8")
    found: dict[str, Any] = answer.json()
    return found


def test_shards_are_ranges_of_ids_that_cover_all(client: httpx.Client) -> None:
    found = shards(client, targetBytesPerShard="1KB")
    bounds = [one["bounds"] for one in found["shards"]]
    assert len(bounds) > 3
    assert (bounds[0]["min"], bounds[-1]["max"]) == (0, 2**64 - 1)
    assert sum(one["stats"]["streams"] for one in found["shards"]) == found["statistics"]["streams"] == 603
    assert found["statistics"]["entries"] == 30 + 10 + 5 + 600
    assert found["chunkGroups"] == []
    assert len(shards(client, targetBytesPerShard="600MB")["shards"]) == 1


@pytest.mark.parametrize("target", ["", "0", "-1", "x", "1.5", "1ZB"])
def test_shards_want_a_size(client: httpx.Client, target: str) -> None:
    params = {"query": '{app=~".+"}', "targetBytesPerShard": target, **DAY}
    answer = client.get("/loki/api/v1/index/shards", params=params)
    assert (answer.status_code, answer.text) == (400, "targetBytesPerShard must be a positive value")


def test_limits_of_a_tenant(tmp_path: Path) -> None:
    """Case 41: volume is off; and the series that may be added up."""
    stream = [{"stream": {"app": app}, "values": [[str(BASE), "x"]]} for app in ("a", "b", "c")]
    limits = {
        "off": {"volume_enabled": False},
        "few": {"volume_max_series": 2},
        "some": {"volume_max_series": 3},
        "two": {},
    }
    settings = tmp_path / "settings.yml"
    settings.write_text(json.dumps({"tenancy": {"enabled": True, "several": True}, "overrides": limits}))
    with running_server(tmp_path / "data", "--config", str(settings)) as server, httpx.Client() as client:
        for tenant in limits:
            headers = {"X-Scope-OrgID": tenant}
            pushed = client.post(f"{server.url}/loki/api/v1/push", json={"streams": stream}, headers=headers)
            assert pushed.status_code == 204

        def ask(tenant: str, path: str = VOLUME) -> httpx.Response:
            headers = {"X-Scope-OrgID": tenant}
            return client.get(server.url + path, params={"query": '{app=~".+"}', "limit": "1"}, headers=headers)

        for path in (VOLUME, VOLUME_RANGE):
            off = ask("off", path)
            assert (off.status_code, off.text) == (404, "not found")
        few = ask("few")
        assert (few.status_code, few.text) == (
            400,
            "the query hit the max number of series limit (limit: 2 series)",
        )
        assert len(data_of(ask("some"))["result"]) == 1
        # Of several tenants what has the same labels is added up.
        (both,) = data_of(ask("some|two"))["result"]
        assert both["metric"] == {"app": "a"}
