"""`explain=true`: an answer as any, and what it took."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.gateway.world import World

S = 10**9
T0 = 1_795_168_800 * S
RANGE = {"start": str(T0), "end": str(T0 + 60 * S), "step": "10"}
PATH = "/loki/api/v1/query_range"


def fill(world: World) -> None:
    lines = [b'{"level":"%b","n":%d}' % (b"error" if n % 2 else b"info", n) for n in range(20)]
    world.store.add({"app": "web"}, *((T0 + n * S, line) for n, line in enumerate(lines)))
    world.store.add({"app": "db"}, (T0, b"x"))


def ask(world: World, query: str, path: str = PATH, **params: Any) -> httpx.Response:
    asked = RANGE if path == PATH else {"time": RANGE["end"]}
    answer = world.get(path, query=query, **asked, **params)
    assert answer.status_code == 200, answer.text
    return answer


def explain(world: World, query: str, path: str = PATH, **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = ask(world, query, path, explain="true", **params).json()["data"]["explain"]
    return found


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ('{app="web"} |= "error" | json', PATH),
        ('{app="none"}', PATH),
        ('sum by (level) (count_over_time({app="web"} | json [20s]))', PATH),
        ('sum by (level) (count_over_time({app="web"} | json [60s]))', "/loki/api/v1/query"),
        ("1 + 1", "/loki/api/v1/query"),
    ],
)
def test_the_answer_is_the_usual_one_with_one_member_more_at_the_end(world: World, query: str, path: str) -> None:
    fill(world)
    plain, told = ask(world, query, path), ask(world, query, path, explain="true")
    assert list(told.json()["data"]) == [*plain.json()["data"], "explain"]
    # Everything before the figures is the same to the byte.
    assert re.split(rb'"stats":', told.content)[0] == re.split(rb'"stats":', plain.content)[0]
    assert told.json()["data"]["result"] == plain.json()["data"]["result"]


def test_an_answer_of_many_pieces_has_it_too(world: World) -> None:
    world.store.add({"app": "web"}, *((T0 + n, b"x" * 100_000) for n in range(40)))
    told = ask(world, '{app="web"}', explain="true").json()["data"]
    assert sum(len(line) for stream in told["result"] for _, line in stream["values"]) == 4_000_000
    assert told["explain"]["entries"][-1] == {"step": "returned", "entries": 40}


def test_what_is_told_of_a_log_query(world: World) -> None:
    fill(world)
    told = explain(world, '{app="web"}   |=`error`|json|n>14|logfmt', limit=2)
    query = '{app="web"} |= "error" | json | n>14 | logfmt'
    assert told["query"] == query
    assert told["plans"] == [
        {
            "of": query,
            "selector": '{app="web"}',
            "stages": [
                {"stage": '|= "error"', "by": "columns", "literals": [["error"]]},
                {"stage": "| json", "by": "columns", "labels": ["n"]},
                {"stage": "| n>14", "by": "columns"},
                {"stage": "| logfmt", "by": "columns", "labels": ["n"]},
            ],
            "made": "row by row",
        }
    ]
    assert told["units"] == {
        "considered": 2,
        "read": {"blocks": 0, "memory": 1},
        "linesNotRead": {"metadataSufficed": 0, "timesSufficed": 0, "totalsSufficed": 0},
        "skipped": {"outOfTime": 0, "noMatchingStream": 0, "limitReached": 0},
    }
    assert told["lines"]["read"] == 20
    assert [(each["step"], each["entries"]) for each in told["entries"]] == [
        ("matched by streams and time", 20),
        ("after line filters", 10),
        ("after stages by columns", 3),
        ("decided row by row", 2),
        ("came through", 2),
        ("returned", 2),
    ]
    names = [each["stage"] for each in told["stages"]]
    assert names == [
        "parse query",
        "plan",
        "select streams and units",
        "read times",
        "read lines",
        "line filters",
        "stages by columns",
        "stages row by row",
        "encode answer",
        "other",
    ]
    assert all(each["seconds"] >= 0 and each["cpuSeconds"] >= 0 for each in told["stages"])


def test_each_range_aggregation_has_its_plan(world: World) -> None:
    fill(world)
    told = explain(world, 'sum(rate({app="web"}[20s])) / sum(rate({app="db"} |= "x" [20s]))')
    assert [plan["selector"] for plan in told["plans"]] == ['{app="web"}', '{app="db"}']
    assert [plan["made"] for plan in told["plans"]] == ["columns", "columns"]
    assert "aggregate" in [each["stage"] for each in told["stages"]]
    assert told["units"]["linesNotRead"]["timesSufficed"] == 1
    assert told["units"]["read"]["memory"] == 1


@pytest.mark.parametrize("no", ["", "false", "0"])
def test_it_is_there_only_if_asked_for(world: World, no: str) -> None:
    fill(world)
    assert "explain" not in ask(world, '{app="web"}', explain=no).json()["data"]
    assert "explain" not in ask(world, '{app="web"}').json()["data"]
    assert "explain" in ask(world, '{app="web"}', explain="1").json()["data"]


def test_neither_true_nor_false_is_refused(world: World) -> None:
    answer = world.get(PATH, query='{app="web"}', explain="perhaps")
    assert answer.status_code == 400
    assert answer.text == "could not parse 'explain' parameter: 'perhaps' is neither true nor false"


def test_the_old_route_knows_nothing_of_it(world: World) -> None:
    fill(world)
    answer = world.get("/api/prom/query", query='{app="web"}', **RANGE, explain="perhaps")
    assert list(answer.json()) == ["streams", "stats"]
