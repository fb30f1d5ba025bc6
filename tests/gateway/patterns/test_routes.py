"""/loki/api/v1/patterns over HTTP, beyond what is recorded (tests/conformance/cases/api_patterns.jsonl)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway.world import World
from tests.server import running_server

PATH = "/loki/api/v1/patterns"
NOW = 1_795_168_800
RANGE = {"start": str(NOW), "end": str(NOW + 3600)}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("patterns")
    with (
        running_server(folder / "data", "--set", "tenancy.enabled=true") as server,
        httpx.Client(base_url=server.url, timeout=60, headers={"X-Scope-OrgID": "one"}) as connection,
    ):
        for tenant, count in (("one", 60), ("two", 40)):
            values = [[f"{NOW + nth}000000000", f'GET /cart id={nth} msg="took {nth}ms" é'] for nth in range(count)]
            body = {"streams": [{"stream": {"app": "shop"}, "values": values}]}
            pushed = connection.post("/loki/api/v1/push", json=body, headers={"X-Scope-OrgID": tenant})
            assert pushed.status_code == 204, pushed.text
        yield connection


def ask(client: httpx.Client, tenant: str = "one", **params: str) -> httpx.Response:
    return client.get(PATH, params={"query": '{app="shop"}', **RANGE, **params}, headers={"X-Scope-OrgID": tenant})


def test_the_answer_is_as_drilldown_reads_it(client: httpx.Client) -> None:
    answer = ask(client, step="1m")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert answer.json() == {
        "status": "success",
        "data": [{"pattern": 'GET /cart id=<_> msg="took <_>" é', "level": "unknown", "samples": [[NOW, 60]]}],
    }


@pytest.mark.parametrize("step", ["500ms", "1s", "10s", "3"])
def test_steps_are_ten_seconds_at_least(client: httpx.Client, step: str) -> None:
    expected = [[NOW + 10 * nth, 10] for nth in range(6)]
    assert ask(client, step=step).json()["data"][0]["samples"] == expected


def test_without_a_step_there_are_some_250(client: httpx.Client) -> None:
    expected = [[NOW // 14 * 14 + 14 * nth, 10] for nth in range(5)]
    found = ask(client).json()["data"][0]["samples"]
    assert sum(count for _, count in found) == 60
    assert [second % 14 for second, _ in found] == [0] * len(found)
    assert found[0][0] == expected[0][0]


@pytest.mark.parametrize("query", ['{app="shop"} |= "x"', '{app="shop"} | json', 'rate({app="shop"}[1m])'])
def test_a_query_with_more_than_a_selector_is_refused(client: httpx.Client, query: str) -> None:
    answer = ask(client, query=query)
    assert (answer.status_code, answer.text) == (400, "only label matchers are supported")


def test_the_pattern_finds_its_lines(client: httpx.Client) -> None:
    pattern = ask(client).json()["data"][0]["pattern"].replace('"', '\\"')
    query = f'count_over_time({{app="shop"}} |> "{pattern}" [1h])'
    params = {"query": query, "time": str(NOW + 3599)}
    found = client.get("/loki/api/v1/query", params=params).json()["data"]["result"]
    assert [each["value"][1] for each in found] == ["60"]


def test_several_tenants_count_together(client: httpx.Client) -> None:
    def total(query: str) -> int:
        data = ask(client, "one|two", query=query).json()["data"]
        return sum(count for each in data for _, count in each["samples"])

    assert total('{app="shop"}') == 100
    assert total('{app="shop", __tenant_id__="two"}') == 40


def test_metrics_say_what_became_of_lines(client: httpx.Client) -> None:
    ask(client)
    page = client.get("/metrics").text
    assert 'weir_pattern_lines_total{outcome="counted"} 100.0' in page
    assert "weir_pattern_clusters 2.0" in page


def test_switched_off_there_is_no_such_page(make_world: Callable[..., World]) -> None:
    answer = make_world(patterns={"enabled": False}).get(PATH, query='{app="a"}')
    assert (answer.status_code, answer.content) == (404, b"")


def test_who_has_nothing_is_told_so(world: World) -> None:
    answer = world.get(PATH, query='{app="a"}')
    assert answer.content == b'{"status":"success","data":[]}\n'
