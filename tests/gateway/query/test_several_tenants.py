"""`X-Scope-OrgID: a|b`: what is asked of several tenants is answered as if they were one, and says whose is what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server import ServerProcess, running_server

T0 = 1_795_168_800 * 10**9
SECOND = 10**9
RANGE = {"start": str(T0), "end": str(T0 + 3600 * SECOND)}
SETTINGS = """
tenancy: {enabled: true}
limits: {max_entries_limit_per_query: 100}
overrides:
  a: {max_entries_limit_per_query: 50}
  strict: {required_labels: [env], max_query_length: 1h}
"""


def ask(server: ServerProcess, tenant: str, path: str, **params: Any) -> httpx.Response:
    return httpx.get(
        f"{server.url}/loki/api/v1/{path}",
        params={"limit": "50"} | RANGE | params,
        headers={"X-Scope-OrgID": tenant},
        timeout=60,
    )


def push(server: ServerProcess, tenant: str, labels: dict[str, str], *entries: tuple[int, str]) -> None:
    values = [[str(T0 + second * SECOND), line] for second, line in entries]
    body = {"streams": [{"stream": labels, "values": values}]}
    answer = httpx.post(f"{server.url}/loki/api/v1/push", json=body, headers={"X-Scope-OrgID": tenant})
    assert answer.status_code == 204, answer.text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("several")
    file = folder / "weir.yml"
    file.write_text(SETTINGS)
    with running_server(folder / "data", "--config", str(file)) as server:
        push(server, "a", {"app": "web", "service_name": "s"}, (1, "n=1 a first"), (4, "n=4 a last"))
        push(server, "b", {"app": "web", "service_name": "s"}, (2, "n=2 b early"))
        assert httpx.post(f"{server.url}/flush", headers={"X-Scope-OrgID": "a"}).status_code < 300
        push(server, "b", {"app": "web", "service_name": "s"}, (3, "n=3 b late"), (3, "n=3 b late"))
        push(server, "b", {"app": "db", "service_name": "s", "__tenant_id__": "mine"}, (5, "n=5 own label"))
        push(server, "c", {"app": "web", "service_name": "s"}, (1, "n=9 not asked for"))
        yield server


def lines(answer: httpx.Response) -> list[tuple[str, str]]:
    """(tenant, line) of a log query's answer, in order of time."""
    assert answer.status_code == 200, answer.text
    found = [
        (int(ts), stream["stream"]["__tenant_id__"], line)
        for stream in answer.json()["data"]["result"]
        for ts, line in stream["values"]
    ]
    return [(tenant, line) for _, tenant, line in sorted(found)]


def points(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {each["metric"].get("__tenant_id__", ""): each["value"][1] for each in answer.json()["data"]["result"]}


def test_lines_of_all_tenants_named_come_with_their_tenant(server: ServerProcess) -> None:
    found = lines(ask(server, "b|a", "query_range", query='{app="web"}'))
    assert found == [("a", "n=1 a first"), ("b", "n=2 b early"), ("b", "n=3 b late"), ("a", "n=4 a last")]


@pytest.mark.parametrize(
    ("direction", "wanted"),
    [("forward", ["n=1 a first", "n=2 b early"]), ("backward", ["n=3 b late", "n=4 a last"])],
)
def test_a_limit_is_for_all_of_them(server: ServerProcess, direction: str, wanted: list[str]) -> None:
    answer = ask(server, "a|b", "query_range", query='{app="web"}', limit=2, direction=direction)
    assert [line for _, line in lines(answer)] == wanted


@pytest.mark.parametrize(
    ("matcher", "wanted"),
    [
        ('__tenant_id__="b"', {"b"}),
        ('__tenant_id__!="b"', {"a"}),
        ('__tenant_id__=~"a|c"', {"a"}),
        ('__tenant_id__!~"a|b"', set()),
    ],
)
def test_a_matcher_on_the_tenant_chooses_among_those_named(
    server: ServerProcess, matcher: str, wanted: set[str]
) -> None:
    found = lines(ask(server, "a|b", "query_range", query=f'{{app="web", {matcher}}}'))
    assert {tenant for tenant, _ in found} == wanted


def test_a_selector_of_the_tenant_alone_means_all_of_its_streams(server: ServerProcess) -> None:
    found = lines(ask(server, "a|b", "query_range", query='{__tenant_id__="b"}'))
    assert [line for _, line in found] == ["n=2 b early", "n=3 b late", "n=5 own label"]


def test_a_label_of_that_name_that_a_stream_has_itself_is_shown_under_another(server: ServerProcess) -> None:
    answer = ask(server, "a|b", "query_range", query='{original___tenant_id__="mine"}')
    (stream,) = answer.json()["data"]["result"]
    assert stream["stream"] == {
        "app": "db",
        "service_name": "s",
        "detected_level": "unknown",
        "__tenant_id__": "b",
        "original___tenant_id__": "mine",
    }


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("sum by (__tenant_id__) (count_over_time({app=~`.+`}[1h]))", {"a": "2", "b": "3"}),
        ("sum by (__tenant_id__) (sum_over_time({app=~`.+`} | logfmt | unwrap n [1h]))", {"a": "5", "b": "10"}),
        ("sum(count_over_time({app=~`.+`} |= `n=` [1h]))", {"": "5"}),
        ("max by (__tenant_id__) (bytes_over_time({app=`web`}[1h]))", {"a": "21", "b": "21"}),
    ],
)
def test_metric_queries_add_up_over_tenants(server: ServerProcess, query: str, wanted: dict[str, str]) -> None:
    at = str(T0 + 3600 * SECOND)
    assert points(ask(server, "a|b", "query", query=query, time=at)) == wanted
    again = ask(server, "a|b", "query", query=query, time=at)  # what is kept of blocks is kept by tenant
    assert points(again) == wanted
    alone = ask(server, "a", "query", query=query.replace("by (__tenant_id__) ", ""), time=at)
    assert alone.json()["data"]["result"][0]["value"][1] == {"5": "2"}.get(wanted.get("", ""), wanted.get("a"))


def test_labels_values_and_series_are_those_of_all(server: ServerProcess) -> None:
    names = ask(server, "a|b", "labels").json()["data"]
    assert names == ["__tenant_id__", "app", "original___tenant_id__", "service_name"]
    assert ask(server, "a|b", "label/app/values").json()["data"] == ["db", "web"]
    assert ask(server, "a|b", "label/__tenant_id__/values").json()["data"] == ["a", "b"]
    assert ask(server, "a|b", "label/__tenant_id__/values", query='{app="db"}').json()["data"] == ["b"]
    assert ask(server, "a|b", "label/original___tenant_id__/values").json()["data"] == ["mine"]
    series = ask(server, "a|b", "series", match='{app="web"}').json()["data"]
    assert series == [{"__tenant_id__": each, "app": "web", "service_name": "s"} for each in ("a", "b")]
    assert len(ask(server, "a|b", "series").json()["data"]) == 3
    assert len(ask(server, "a|b", "series", match='{__tenant_id__="a"}').json()["data"]) == 1


def test_stats_add_up(server: ServerProcess) -> None:
    found = ask(server, "a|b", "index/stats", query='{app="web"}').json()
    assert (found["streams"], found["entries"]) == (2, 4)


def test_the_strictest_limits_hold(server: ServerProcess) -> None:
    answer = ask(server, "a|b", "query_range", query='{app="web"}', limit=80)
    assert (answer.status_code, answer.text) == (
        400,
        "max entries limit per query exceeded, limit > max_entries_limit_per_query (80 > 50)",
    )
    assert ask(server, "b", "query_range", query='{app="web"}', limit=80).status_code == 200
    answer = ask(server, "b|strict", "query_range", query='{app="web"}')
    assert answer.text.startswith("stream selector is missing required matchers [env]")


def test_a_push_and_what_is_of_one_tenant_only_refuse_several(server: ServerProcess) -> None:
    body = {"streams": [{"stream": {"app": "x"}, "values": [[str(T0), "x"]]}]}
    answer = httpx.post(f"{server.url}/loki/api/v1/push", json=body, headers={"X-Scope-OrgID": "a|b"})
    assert (answer.status_code, answer.text) == (400, "multiple org IDs present\n")
    assert ask(server, "a|b", "delete").status_code == 400


@pytest.mark.parametrize("tenant", ["a|", "a|b/c", "a|.."])
def test_each_name_has_to_be_one(server: ServerProcess, tenant: str) -> None:
    assert ask(server, tenant, "labels").status_code in (400, 401)


def test_one_name_twice_is_one_tenant(server: ServerProcess) -> None:
    answer = ask(server, "a|a", "series").json()["data"]
    assert answer == [{"app": "web", "service_name": "s"}]
