"""A dashboard opens: 20 different queries at once are answered as each alone is, while pushes go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.server import ServerProcess, running_server

T0 = 1_795_168_800
"""s."""
LINES = 5000
APPS = ("web", "db", "queue")
SECONDS = 120
RANGE = "/loki/api/v1/query_range"

PANELS = (
    '{env="x"}',
    '{env="x"} |= "error"',
    '{env="x"} |~ "took=[12]"',
    '{app="web"} | logfmt | code="500"',
    '{app="db"} | json',
    '{app="db"} | json | line_format "{{.msg}}" != "x"',
    '{app="queue"} | drop level',
    '{app="queue"} != "info"',
    'count_over_time({env="x"}[1m])',
    'rate({app="web"}[30s])',
    'sum by (app) (count_over_time({env="x"}[10s]))',
    'sum by (app) (bytes_rate({env="x"}[1m]))',
    'sum by (code) (count_over_time({app="web"} |= "at " | logfmt [1m]))',
    'sum by (code) (count_over_time({app="db"} |= "{" | json [1m]))',
    'max by (app) (sum_over_time({app="web"} |= "at " | logfmt | unwrap took [1m]))',
    'quantile_over_time(0.9, {app="web"} |= "at " | logfmt | unwrap took [1m]) by (app)',
    'topk(1, sum by (app) (rate({env="x"} |= "error" [1m])))',
    'sum(rate({env="x"} |= "error" [1m])) / sum(rate({env="x"}[1m]))',
    'absent_over_time({app="nobody"}[1m])',
    'sum by (level) (count_over_time({app="queue"} | pattern "<_> <level> <_>" [1m]))',
)


def entry(number: int) -> tuple[str, str]:
    """Of one app: time in ns and line."""
    ts = T0 * 10**9 + number * (SECONDS * 10**9 // LINES)
    level, code, took = ("error", "info", "warn")[number % 3], ("200", "500")[number % 2], number % 97
    filling = "x" * 200
    return str(ts), (
        f'{{"level": "{level}", "code": "{code}", "took": {took}, "msg": "<{filling}>"}}'
        if number % 3 == 1
        else f"at {level} code={code} took={took} filling={filling}"
    )


def push(url: str, labels: dict[str, str], values: list[tuple[str, str]]) -> None:
    body = json.dumps({"streams": [{"stream": labels, "values": values}]})
    answer = httpx.post(
        f"{url}/loki/api/v1/push", content=body, headers={"Content-Type": "application/json"}, timeout=60
    )
    assert answer.status_code == 204, answer.text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with half of the lines in blocks, half in memory."""
    values = [entry(number) for number in range(LINES)]
    with running_server(tmp_path_factory.mktemp("dashboard") / "data") as made:
        for app in APPS:
            push(made.url, {"app": app, "env": "x"}, values[::2])
        assert httpx.post(f"{made.url}/flush", timeout=60).is_success
        for app in APPS:
            push(made.url, {"app": app, "env": "x"}, values[1::2])
        yield made


def ask(url: str, query: str) -> tuple[str, Any]:
    """Type and result of a query that is answered."""
    asked = {"query": query, "start": str(T0), "end": str(T0 + SECONDS + 1), "step": "10", "limit": str(LINES)}
    answer = httpx.get(f"{url}{RANGE}", params=asked, timeout=120)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return data["resultType"], data["result"]


def test_queries_at_once_are_answered_as_alone_while_pushes_go_on(server: ServerProcess) -> None:
    alone = [ask(server.url, query) for query in PANELS]
    assert all(result for _, result in alone)
    stop = threading.Event()

    def push_on(app: str) -> int:
        number = 0
        while not stop.is_set():
            push(server.url, {"app": app, "env": "other"}, [entry(number + place) for place in range(50)])
            number += 50
        return number

    with ThreadPoolExecutor(len(PANELS)) as clients, ThreadPoolExecutor(2) as pushers:
        pushing = [pushers.submit(push_on, f"pushed-{number}") for number in range(2)]
        try:
            together = list(clients.map(lambda query: ask(server.url, query), PANELS))
        finally:
            stop.set()
        assert all(pusher.result() for pusher in pushing)
    for query, answer, wanted in zip(PANELS, together, alone, strict=True):
        assert answer == wanted, query


def test_a_long_answer_comes_in_chunks(server: ServerProcess) -> None:
    asked = {"query": '{env="x"}', "start": str(T0), "end": str(T0 + SECONDS + 1), "limit": str(LINES)}
    answer = httpx.get(f"{server.url}{RANGE}", params=asked, headers={"Accept-Encoding": "identity"}, timeout=60)
    assert answer.headers["transfer-encoding"] == "chunked"
    assert len(answer.content) > 1 << 20
    assert sum(len(stream["values"]) for stream in answer.json()["data"]["result"]) == LINES


def test_clients_that_leave_in_the_middle_of_a_long_answer_do_no_harm(server: ServerProcess) -> None:
    asked = {"query": '{env="x"}', "start": str(T0), "end": str(T0 + SECONDS + 1), "limit": str(LINES)}
    for _ in range(20):
        with httpx.stream("GET", f"{server.url}{RANGE}", params=asked, timeout=60) as answer:
            next(answer.iter_raw())
    assert ask(server.url, PANELS[1])[1]
    assert "Traceback" not in server.log_text
