"""Measures queries against a loaded server; an answer that is wrong ends the run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from bench.floors import ScanFloor
from bench.lines import APPS, Lines
from bench.measured import Measured, over_floor
from bench.payloads import PODS, SPREAD, START, times
from bench.queries import Query, differ, totals
from bench.server import MeasuredServer

RANGE = "/loki/api/v1/query_range"
RUNS = 3
"""Measured runs after one that warms up; the least counts."""
WALL_RUNS = 15
"""Answers whose middle is the wall time of a small log query."""
ENTRIES = 5_000
"""Entries of the largest log query that default limits allow."""


def query_row(
    server: MeasuredServer, query: Query, lines: Lines, floors: ScanFloor, runs: int = RUNS, note: str = ""
) -> Measured:
    """CPU of one query over the floor of the lines it covers.

    Args:
        server: loaded with `lines`.
        query: to be asked.
        lines: that the answer must be about.
        floors: of these lines.
        runs: of which the least counts, for the floor likewise.
        note: beside the query's own.

    Raises:
        RuntimeError: the answer is wrong.
    """
    expected = query.truth(lines)

    def ask() -> None:
        found = totals(server.ask(RANGE, query.parameters())["data"]["result"], query.scale)
        if differ(found, expected):
            raise RuntimeError(f"{query.text} says {found}, the lines say {expected}")

    floor = floors.seconds(query.apps, runs)
    cpu, wall = best_of(server, ask, runs)
    return over_floor(query.row, cpu, floor, "; ".join(filter(None, (query.note, note))), wall_ms=wall * 1e3)


def best_of(server: MeasuredServer, ask: Callable[[], object], runs: int = RUNS) -> tuple[float, float]:
    """Least CPU-seconds of the server and least wall seconds for one `ask`, of some runs after a warm-up."""
    ask()
    cpu = wall = float("inf")
    for _ in range(runs):
        spent, began = server.cpu(), time.monotonic()
        ask()
        cpu = min(cpu, server.cpu() - spent)
        wall = min(wall, time.monotonic() - began)
    return cpu, wall


def last_lines(server: MeasuredServer, lines: Lines) -> Measured:
    """The newest 100 lines of all streams, as a client waits for them."""
    ask = newest(server, lines, 100)
    ask()
    took, spent = [], server.cpu()
    for _ in range(WALL_RUNS):
        began = time.monotonic()
        ask()
        took.append(time.monotonic() - began)
    cpu = (server.cpu() - spent) / WALL_RUNS
    further = {"cpu_ms": cpu * 1e3, "least_ms": min(took) * 1e3, "most_ms": max(took) * 1e3}
    return Measured("last 100 lines, wall", statistics.median(took) * 1e3, further=further)


def many_entries(server: MeasuredServer, lines: Lines) -> Measured:
    """The newest ENTRIES lines; how much of it is for the entries shows beside the same query for one."""
    cpu, wall = best_of(server, newest(server, lines, ENTRIES))
    one, _ = best_of(server, newest(server, lines, 1))
    further = {"wall_ms": wall * 1e3, "cpu_ms_of_1_entry": one * 1e3}
    return Measured("log query of 5,000 entries, CPU", cpu * 1e3, cpu, further=further)


def newest(server: MeasuredServer, lines: Lines, limit: int) -> Callable[[], None]:
    """Asks for the newest `limit` lines; that raises RuntimeError if the answer is not those."""
    expected = _newest_entries(lines, limit)
    oldest = min(when for when, _, _ in expected)
    # Lines of one time: which of them are among the last is the server's choice by stream.
    certain = {entry for entry in expected if entry[0] > oldest}
    possible = certain | {entry for entry in _newest_entries(lines, limit + len(APPS)) if entry[0] == oldest}
    parameters: dict[str, str | int] = {
        "query": '{env="prod"}',
        "start": START,
        "end": START + SPREAD + 1,
        "limit": limit,
        "direction": "backward",
    }

    def ask() -> None:
        result = server.ask(RANGE, parameters)["data"]["result"]
        entries = [(int(when), found["stream"]["pod"], line) for found in result for when, line in found["values"]]
        found = set(entries)
        if len(entries) != limit or not certain <= found <= possible:
            raise RuntimeError(f"the newest {limit} lines are not those that were pushed last")

    return ask


def _newest_entries(lines: Lines, limit: int) -> set[tuple[int, str, str]]:
    def backward() -> Iterator[tuple[int, str, str]]:
        for i in range(len(when) - 1, -1, -1):
            for app in APPS:
                yield when[i], f"{app}-{i % PODS}", lines[app][i].decode()

    when = times(len(lines[APPS[0]]))
    return {entry for entry, _ in zip(backward(), range(limit), strict=False)}
