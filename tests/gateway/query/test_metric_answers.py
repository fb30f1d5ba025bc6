"""Metric queries over HTTP: the bytes of matrix, vector and scalar, and what goes with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.query.encode_metrics import sample_value, seconds
from tests.gateway.world import World

S = 10**9
T0 = 1_795_168_800 * S
FLAGS = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}


def fill(world: World) -> None:
    world.store.add({"app": "web"}, *((T0 + n * 30 * S, b"line %d" % n) for n in range(4)))
    world.store.add({"app": "a<b>&\u2028"}, (T0 + 60 * S, b"x", {"trace": b"t1"}))


def over(world: World, query: str, **params: Any) -> httpx.Response:
    asked = {"query": query, "start": str(T0), "end": str(T0 + 120 * S), "step": "60", **params}
    return world.ask("GET", "/loki/api/v1/query_range", params=asked, headers=FLAGS)


def at(world: World, query: str, time: str = str(T0 + 90 * S), **headers: str) -> httpx.Response:
    return world.ask("GET", "/loki/api/v1/query", params={"query": query, "time": time}, headers={**FLAGS, **headers})


def without_stats(answer: httpx.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    return re.sub(rb',"stats":\{.*\}\}(\}|,"warnings)', rb"\1", answer.content)


def test_a_matrix_has_no_flags_and_no_newline(world: World) -> None:
    fill(world)
    assert without_stats(over(world, 'count_over_time({app="web"}[1m])')) == (
        b'{"status":"success","data":{"resultType":"matrix","result":['
        b'{"metric":{"app":"web"},"values":[[1795168800,"1"],[1795168860,"2"],[1795168920,"1"]]}]}'
    )


def test_labels_of_metrics_are_escaped_for_html(world: World) -> None:
    fill(world)
    assert without_stats(at(world, 'rate({trace="t1"}[1m]) or count_over_time({app=~"a.*"}[40s])')) == (
        rb'{"status":"success","data":{"resultType":"vector","result":['
        rb'{"metric":{"app":"a\u003cb\u003e\u0026\u2028","trace":"t1"},"value":[1795168890,"1"]}]}'
    )


def test_a_scalars_time_is_in_milliseconds_as_lokis(world: World) -> None:
    assert without_stats(at(world, "1+1", "1700000000.123")) == (
        b'{"status":"success","data":{"resultType":"scalar","result":[1700000000123,"2"]}'
    )


def test_a_number_over_a_range_is_a_matrix(world: World) -> None:
    assert without_stats(over(world, "0 - 0.5", step="120")) == (
        b'{"status":"success","data":{"resultType":"matrix","result":['
        b'{"metric":{},"values":[[1795168800,"-0.5"],[1795168920,"-0.5"]]}]}'
    )


@pytest.mark.parametrize("limits", [{}, {"max_query_lookback": "1h", "max_query_length": "1h"}])
def test_grafanas_health_check(make_world: Callable[..., World], limits: dict[str, str]) -> None:
    answer = at(make_world(limits=limits), "vector(1)+vector(1)", "4000000000")
    assert without_stats(answer) == (
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[4000000000,"2"]}]}'
    )


def test_nothing_is_an_empty_list(world: World) -> None:
    for answer in (over(world, 'rate({app="no"}[1m])'), at(world, 'rate({app="no"}[1m])')):
        assert answer.json()["data"]["result"] == []


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0"), (1, "0.001"), (1500, "1.5"), (-5000, "-5"), (-1, "-0.001"), (1_700_000_000_120, "1700000000.12")],
)
def test_times_are_numbers_in_their_shortest_form(ms: int, text: str) -> None:
    assert seconds(ms) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (2.0**53, "9007199254740992"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
    ],
)
def test_values_have_no_exponent(value: float, text: str) -> None:
    assert sample_value(value) == text


def test_a_log_query_is_no_instant_query(world: World) -> None:
    answer = at(world, '{app="web"}')
    assert (answer.status_code, answer.text) == (
        400,
        "log queries are not supported as an instant query type, please change your query to a range query type",
    )
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, "parse error : syntax error: unexpected $end"),
        ({"query": "1", "time": "1e9"}, 'strconv.ParseInt: parsing "1e9": invalid syntax'),
        ({"query": "{", "limit": "x", "time": "y", "direction": "z"}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ({"query": "{", "time": "y", "direction": "z"}, 'strconv.ParseInt: parsing "y": invalid syntax'),
        ({"query": "{", "direction": "z"}, "invalid direction 'z'"),
    ],
)
def test_the_first_mistake_of_an_instant_query_is_told(world: World, params: dict[str, str], text: str) -> None:
    answer = world.get("/loki/api/v1/query", **params)
    assert (answer.status_code, answer.text) == (400, text)


def test_what_the_data_makes_impossible_is_a_500_and_a_failed_line_a_400(world: World) -> None:
    fill(world)
    world.store.add({"app": "web", "env": "x"}, (T0, b"x"))
    ambiguous = over(world, 'rate({app=~".+"}[1m]) / on() rate({app=~".+"}[1m])')
    assert ambiguous.status_code == 500
    assert "many-to-many matching not allowed" in ambiguous.text
    failed = over(world, 'sum_over_time({app="web"} | pattern "<x> <_>" | unwrap x [1m])')
    assert failed.status_code == 400
    assert failed.text.startswith("pipeline error: 'SampleExtractionErr' for series: '{")


def test_stats_of_a_metric_query_equal_what_was_read(world: World) -> None:
    fill(world)
    stats = over(world, 'sum(count_over_time({app="web"} |= "2" [1m]))').json()["data"]["stats"]
    # The window before the first point is read too; entries lie from T0 on.
    assert stats["summary"]["totalLinesProcessed"] == 4
    assert stats["summary"]["totalBytesProcessed"] == 4 * len(b"line 0")
    assert stats["summary"]["totalPostFilterLines"] == 1
    assert stats["ingester"]["store"]["chunk"]["headChunkLines"] == 4
    assert stats["summary"]["execTime"] > 0
    done = 'loki_logql_querystats_latency_seconds_count{range="range",status_code="200",type="metric"}'
    assert world.metric(done) == 1
    at(world, "vector(1)")
    assert world.metric(done.replace('"range",', '"instant",')) == 1


def test_post_says_the_same(world: World) -> None:
    fill(world)
    asked = {"query": 'count_over_time({app="web"}[1m])', "time": str(T0 + 90 * S)}
    posted = world.ask("POST", "/loki/api/v1/query", data=asked)
    assert posted.json()["data"]["result"] == at(world, asked["query"]).json()["data"]["result"] != []


@pytest.mark.parametrize("path", ["query", "query_range", "index/stats", "format_query"])
@pytest.mark.parametrize("method", ["HEAD", "PATCH", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(world: World, path: str, method: str) -> None:
    answer = world.ask(method, f"/loki/api/v1/{path}")
    assert (answer.status_code, answer.content) == (405, b"")


def test_too_many_series_are_an_error_and_for_logs_drilldown_a_warning(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_query_series": 3})
    for number in range(5):
        world.store.add({"app": f"web{number}"}, (T0, b"x"))
    query, tag = 'count_over_time({app=~".+"}[5m])', {"X-Query-Tags": "feature=x,Source=Grafana-LokiExplore-App"}
    refused = at(world, query)
    assert refused.status_code == 400
    assert refused.text.startswith("maximum number of series (3) reached for a single query; consider reducing")
    assert over(world, query).status_code == 400
    warning = "maximum number of series (3) reached for a single query; returning partial results"
    asked = {"query": query, "start": str(T0), "end": str(T0 + 60 * S), "step": "60"}
    for answer in (
        at(world, query, **tag),
        world.ask("GET", "/loki/api/v1/query_range", params=asked, headers=tag),
    ):
        assert answer.status_code == 200
        assert [series["metric"]["app"] for series in answer.json()["data"]["result"]] == ["web0", "web1", "web2"]
        assert answer.json()["warnings"] == [warning]
        assert answer.content.endswith(b',"warnings":[' + json.dumps(warning).encode() + b"]}")
    assert at(world, query, **{"X-Query-Tags": "source=grafana"}).status_code == 400
