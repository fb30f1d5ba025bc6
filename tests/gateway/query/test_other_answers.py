"""The old query route, index/stats, format_query, and labels that are not UTF-8."""

from __future__ import annotations

import re

import pytest

from gateway.query.times import rfc3339
from tests.gateway.world import World

T0 = 1_795_168_800 * 10**9
RANGE = {"start": str(T0), "end": str(T0 + 3600 * 10**9)}


def fill(world: World) -> None:
    world.store.add(
        {"app": "web"}, (T0, b"first <1>"), (T0 + 1_500_000_000, b"second", {"trace": b"t"}), (T0 + 7, b"x")
    )


def test_the_old_route_gives_labels_as_text_and_times_as_rfc_3339(world: World) -> None:
    fill(world)
    answer = world.get("/api/prom/query", query='{app="web"}', direction="forward", **RANGE)
    assert re.sub(rb'"stats":\{.*\}\}\n$', b'"stats":STATS}\n', answer.content) == (
        rb'{"streams":[{"labels":"{app=\"web\", trace=\"t\"}",'
        rb'"entries":[{"ts":"2026-11-20T10:00:01.5Z","line":"second"}]},'
        rb'{"labels":"{app=\"web\"}","entries":[{"ts":"2026-11-20T10:00:00Z","line":"first \u003c1\u003e"},'
        rb'{"ts":"2026-11-20T10:00:00.000000007Z","line":"x"}]}],"stats":STATS}' + b"\n"
    )


def test_the_old_route_takes_a_regexp_and_the_new_one_ignores_it(world: World) -> None:
    fill(world)
    asked = {"query": '{app="web"} # all', "regexp": "^f", **RANGE}
    old = world.get("/api/prom/query", **asked).json()["streams"]
    assert [entry["line"] for stream in old for entry in stream["entries"]] == ["first <1>"]
    new = world.get("/loki/api/v1/query_range", **asked).json()["data"]["result"]
    assert sum(len(stream["values"]) for stream in new) == 3


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"query": 'rate({app="a"}[1m])'}, "legacy endpoints only support streams result type"),
        ({"query": 'rate({app="a"}[1m])', "regexp": "x"}, "only log selector is supported"),
        ({}, "parse error : syntax error: unexpected $end"),
        ({"query": "{", "limit": "0"}, "limit must be a positive value"),
    ],
)
def test_what_the_old_route_refuses(world: World, params: dict[str, str], text: str) -> None:
    answer = world.get("/api/prom/query", **params)
    assert (answer.status_code, answer.text) == (400, text)


def test_an_empty_old_answer_has_an_empty_list(world: World) -> None:
    assert world.get("/api/prom/query", query='{app="no"}', **RANGE).json()["streams"] == []


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (120_000_000, "1970-01-01T00:00:00.12Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
        (-(2**63), "1677-09-21T00:12:43.145224192Z"),
    ],
)
def test_times_as_go_writes_them(ns: int, text: str) -> None:
    assert rfc3339(ns) == text


def test_index_stats_are_four_bare_numbers(world: World) -> None:
    fill(world)
    answer = world.get("/loki/api/v1/index/stats", query='{app="web"}', **RANGE)
    assert answer.content == b'{"streams":1,"chunks":1,"bytes":16,"entries":3}\n'
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    nothing = world.get("/loki/api/v1/index/stats", query='{app="no"}', **RANGE)
    assert nothing.content == b'{"streams":0,"chunks":0,"bytes":0,"entries":0}\n'
    posted = world.ask("POST", "/loki/api/v1/index/stats", data={"query": '{app="web"}', **RANGE})
    assert posted.content == answer.content


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, "parse error : syntax error: unexpected $end"),
        ({"query": '{app="a"} |= "x"'}, "only label matchers are supported"),
        ({"query": '{app="a"}', "direction": "x"}, "invalid direction 'x'"),
        ({"query": '{app="a"}', "start": "2", "end": "1"}, "end timestamp must not be before or equal to start time"),
        (
            {"query": '{app="a"}', "start": "1", "end": "2880001"},
            "the query time range exceeds the limit (query length: 800h0m0s, limit: 30d1h)",
        ),
    ],
)
def test_what_index_stats_refuses(world: World, params: dict[str, str], text: str) -> None:
    answer = world.get("/loki/api/v1/index/stats", **params)
    assert (answer.status_code, answer.text) == (400, text)


def test_format_query(world: World) -> None:
    good = world.get("/loki/api/v1/format_query", query='rate({ app="x" }|="<y>"[60s])>1')
    assert good.content == (
        rb'{"status":"success","data":"(rate({app=\"x\"} |= \"\u003cy\u003e\"[1m]) \u003e 1)"}' + b"\n"
    )
    assert (good.status_code, good.headers["content-type"]) == (200, "application/json; charset=utf-8")
    bad = world.ask("POST", "/loki/api/v1/format_query", data={"query": "sum("})
    assert (bad.status_code, bad.headers["content-type"]) == (400, "application/json; charset=utf-8")
    assert bad.content == (
        b'{"status":"invalid-query","error":"parse error at line 1, col 5: syntax error: unexpected $end"}\n'
    )


def test_label_bytes_that_are_not_utf8_become_replacement_characters_everywhere(world: World) -> None:
    world.store.add({"app": "web", "odd": b"a\xffb".decode("utf-8", "surrogateescape")}, (T0, b"x"))
    for path, params in (
        ("/loki/api/v1/label/odd/values", RANGE),
        ("/loki/api/v1/series", RANGE),
        ("/loki/api/v1/query_range", {"query": '{app="web"}', **RANGE}),
        ("/loki/api/v1/query", {"query": 'rate({app="web"}[1h])', "time": str(T0 + 10**9)}),
    ):
        answer = world.get(path, **params)
        assert (answer.status_code, b"ufffdb" in answer.content) == (200, True), (path, answer.text)


def test_parsed_labels_stand_beside_the_line(world: World) -> None:
    world.store.add({"app": "web", "k": "1"}, (T0, b'{"a":{"b":"<x>"},"k":"2"}', {"trace": b"t"}))
    answer = world.ask(
        "GET",
        "/loki/api/v1/query_range",
        params={"query": '{app="web"} | json | label_format app="{{.a_b}}"', **RANGE},
        headers={"X-Loki-Response-Encoding-Flags": "categorize-labels"},
    )
    assert (
        b'{"structuredMetadata":{"trace":"t"},"parsed":{"a_b":"<x>","app":"<x>","k_extracted":"2"}}' in answer.content
    )
    assert [one["stream"] for one in answer.json()["data"]["result"]] == [{"k": "1"}]
