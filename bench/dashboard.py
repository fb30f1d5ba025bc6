"""A dashboard opens: 20 queries at once, against the same one after another; then with pushes going on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import snappy

from bench.asking import RANGE
from bench.lines import APPS, Lines
from bench.measured import Measured
from bench.payloads import PODS, SPREAD, START, request
from bench.pushing import PROTOBUF, http_push, push_all
from bench.queries import STEP
from bench.server import MeasuredServer

ROUNDS = 2
"""Times that the 20 run in each way; the cheapest counts."""
MEANWHILE = 8.0
"""Seconds for which pushes go on; rounds of 20 are begun until then."""
PUSHERS = 4
EVERY = 0.08
"""Seconds between the pushes of one pusher: 50 a second over all."""
LINES_A_PUSH = 100
LIMIT = 100
"""Entries of a log panel."""

PANELS = (
    *(f'sum by (pod) (rate({{app="{app}"}}[1m]))' for app in APPS),
    'sum(count_over_time({app="json"} |= "error" [1m]))',
    'sum(count_over_time({app="logfmt"} |= "level=error" [1m]))',
    'sum(count_over_time({app="nginx"} |= "HTTP/1.1\\" 503" [1m]))',
    *(f'sum by (app) (bytes_over_time({{app="{app}"}}[1m]))' for app in APPS),
    'topk(5, sum by (pod) (count_over_time({env="prod"}[5m])))',
    'sum(rate({env="prod"} |= "timeout" [1m]))',
    'sum by (app) (count_over_time({env="prod"} |~ "connection (refused|reset)" [1m]))',
    'sum(count_over_time({env="prod"} != "info" [1m]))',
    'sum by (app) (rate({env="prod"} |= "GET" |= "orders" [1m]))',
    'sum by (app) (count_over_time({env="prod"}[5m]))',
    'sum by (pod) (count_over_time({app="nginx"} |= "HTTP/1.1\\" 404" [5m]))',
    'sum by (pod) (bytes_rate({app="json"} |= "checkout" [1m]))',
    '{env="prod"}',
    '{app="json"} |= "error"',
    '{app="nginx"} |= "HTTP/1.1\\" 500"',
)
"""20 different queries, 17 for graphs and 3 for lists of lines."""

REFRESHED = (
    *(panel for panel in PANELS if not panel.startswith("{")),
    'sum by (app) (bytes_rate({env="prod"} |= "timeout" [1m]))',
    'sum by (level) (count_over_time({app="logfmt"} | logfmt [1m]))',
    'quantile_over_time(0.99, {app="json"} | json | unwrap duration_ms [1m]) by (service)',
)
"""20 different queries for graphs."""
REFRESHES = 3
"""Times that the range moves on by a step; the middle one counts."""


def dashboard(server: MeasuredServer, lines: Lines) -> Iterator[Measured]:
    """CPU of 20 at once over 20 alone, and the latency of pushes beside them. Raises RuntimeError on a wrong answer."""
    expected = [_ask(server, panel) for panel in PANELS]
    alone = together = float("inf")
    wall_alone = wall_together = float("inf")
    for _ in range(ROUNDS):
        spent, began = server.cpu(), time.monotonic()
        for panel in PANELS:
            _ask(server, panel)
        alone, wall_alone = min(alone, server.cpu() - spent), min(wall_alone, time.monotonic() - began)
        spent, began = server.cpu(), time.monotonic()
        _at_once(server, expected)
        together, wall_together = min(together, server.cpu() - spent), min(wall_together, time.monotonic() - began)
    yield Measured(
        "dashboard: 20 queries at once, CPU over one after another",
        together / alone,
        together,
        alone,
        further={"wall_s_alone": wall_alone, "wall_s_at_once": wall_together},
    )
    yield _refreshed(server, lines)
    latencies, rounds = _with_pushes(server, lines, expected)
    further = {
        "median_ms": latencies[len(latencies) // 2] * 1e3,
        "most_ms": latencies[-1] * 1e3,
        "pushes": len(latencies),
        "rounds": rounds,
    }
    yield Measured("dashboard: push p99 meanwhile", latencies[int(len(latencies) * 0.99)] * 1e3, further=further)


def _refreshed(server: MeasuredServer, lines: Lines) -> Measured:
    """CPU of 20 graphs once more over that of the first time: a step later, with the lines of that step pushed."""

    def spent(steps: int) -> float:
        before = server.cpu()
        for panel in REFRESHED:
            _ask(server, panel, steps, kept=True)
        return server.cpu() - before

    first, again = spent(0), []
    per_step = len(lines[APPS[0]]) * STEP // SPREAD
    for steps in range(1, REFRESHES + 1):
        _push_step(server, {app: lines[app][:per_step] for app in APPS}, START + SPREAD + (steps - 1) * STEP)
        again.append(spent(steps))
    for panel in REFRESHED:
        if _ask(server, panel, REFRESHES, kept=True) != _ask(server, panel, REFRESHES):
            raise RuntimeError(f"{panel} answers otherwise with what is kept")
    cpu = sorted(again)[REFRESHES // 2]
    return Measured("dashboard: second refresh, CPU over the first", cpu / first, cpu, first)


def _push_step(server: MeasuredServer, lines: Lines, start: int) -> None:
    """Pushes lines of one step to the streams that are there."""
    bodies = []
    for app in APPS:
        labels = [f'{{app="{app}", env="prod", pod="{app}-{pod}"}}' for pod in range(PODS)]
        gap = STEP // (len(lines[app]) + 1)
        made = request(labels, ((i % PODS, start + i * gap, line) for i, line in enumerate(lines[app], 1)))
        bodies.append(http_push(snappy.compress(made.SerializeToString()), PROTOBUF))
    push_all(server.port, bodies, 1)


def _ask(server: MeasuredServer, panel: str, steps: int = 0, *, kept: bool = False) -> Any:
    """The answer for a range that begins so many steps after the first lines."""
    asked: dict[str, str | int] = {
        "query": panel,
        "start": START + (steps + 1) * STEP,
        "end": START + SPREAD + steps * STEP,
        "step": "60s",
        "limit": LIMIT,
    }
    result = server.ask(RANGE, asked, kept=kept)["data"]["result"]
    if not result:
        raise RuntimeError(f"{panel} found nothing")
    # The order of series and streams is not promised.
    return sorted(result, key=lambda found: sorted(found.get("metric", found.get("stream")).items()))


def _at_once(server: MeasuredServer, expected: Sequence[Any]) -> None:
    with ThreadPoolExecutor(len(PANELS)) as clients:
        for panel, wanted, found in zip(
            PANELS, expected, clients.map(lambda panel: _ask(server, panel), PANELS), strict=True
        ):
            if found != wanted:
                raise RuntimeError(f"{panel} answers otherwise beside 19 others")


def _with_pushes(server: MeasuredServer, lines: Lines, expected: Sequence[Any]) -> tuple[list[float], int]:
    """Latencies of pushes, sorted, and how often the 20 ran meanwhile."""
    until = time.monotonic() + MEANWHILE
    stop = threading.Event()
    rounds = 0
    with ThreadPoolExecutor(PUSHERS) as pushers:
        pushing = [pushers.submit(push_steadily, server, lines, number, stop) for number in range(PUSHERS)]
        try:
            while time.monotonic() < until:
                _at_once(server, expected)
                rounds += 1
        finally:
            stop.set()
        return sorted(seconds for one in pushing for seconds in one.result()), rounds


def push_steadily(server: MeasuredServer, lines: Lines, number: int, stop: threading.Event) -> list[float]:
    """Pushes at fixed times, whatever the one before took; seconds from the time it was due to its answer."""
    part = lines["json"][:LINES_A_PUSH]
    labels = [f'{{app="meanwhile", pod="meanwhile-{number}"}}']
    began = time.monotonic() + EVERY * number / PUSHERS
    took: list[float] = []
    while not stop.is_set():
        due = began + len(took) * EVERY
        first = START + SPREAD * 2 + len(took) * LINES_A_PUSH
        made = request(labels, ((0, first + i, line) for i, line in enumerate(part)))
        body = http_push(snappy.compress(made.SerializeToString()), PROTOBUF)
        time.sleep(max(0.0, due - time.monotonic()))
        push_all(server.port, [body], 1)
        took.append(time.monotonic() - due)
    return took
