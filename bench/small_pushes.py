"""Many small pushes: what one request costs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from bench.floors import json_floor
from bench.ingest import check_count
from bench.lines import Lines
from bench.measured import Measured
from bench.payloads import json_pushes
from bench.pushing import JSON
from bench.server import MeasuredServer

CONNECTIONS = 32
REQUESTS = 1_500
WARM_UP = 500
RUNS = 10
"""Times that REQUESTS are sent; the run that cost the server least counts. Many short runs and not few long ones: what
a small request costs rises twofold while other processes want the cores."""


def small_pushes(folder: Path, lines: Lines) -> Measured:
    """Requests per CPU-second of the server, each with one JSON line."""
    with MeasuredServer(folder / "small") as server:
        cost, latencies, floor = cost_of_one(server, lines["json"], REQUESTS, RUNS)
        server.flush()
        check_count(server, WARM_UP + REQUESTS * RUNS)
    latencies.sort()
    further = {
        "cpu_us_per_request": cost * 1e6,
        "x_codec": cost / floor,
        "median_ms": statistics.median(latencies) * 1e3,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
    }
    name = "small pushes: 1 JSON line, 32 connections, requests per CPU-second"
    return Measured(name, 1 / cost, cost * REQUESTS, floor * REQUESTS, further=further)


def cost_of_one(
    server: MeasuredServer, lines: Sequence[bytes], requests: int, runs: int
) -> tuple[float, list[float], float]:
    """One push's CPU-seconds (least of the runs), all seconds waited, and the floor's CPU-seconds of one body.

    Pushes WARM_UP + requests * runs of the lines to `{app="small"}`. Raises RuntimeError if one is refused.
    """
    bodies = json_pushes(lines[: WARM_UP + requests * runs], "small")
    floor = json_floor(bodies[WARM_UP : WARM_UP + requests], runs) / requests
    latencies: list[float] = []
    cost = float("inf")
    server.push(tuple(bodies[:WARM_UP]), CONNECTIONS, JSON)
    for first in range(WARM_UP, len(bodies), requests):
        spent = server.cpu()
        latencies += server.push(tuple(bodies[first : first + requests]), CONNECTIONS, JSON)
        cost = min(cost, (server.cpu() - spent) / requests)
    return cost, latencies, floor
