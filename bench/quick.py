"""Half a minute's bench for `make check`: a row fails when its figure is over ALLOWED times the one recorded.

Only CPU-seconds over a floor measured beside them are compared, never seconds: a slower or a busy machine moves both.
What a floor cannot follow is noise at this size, hence best of several, a generous ALLOWED and a second look at what
failed. Figures here are higher than those of the whole bench: what a request costs in any case weighs more.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from bench.asking import best_of, newest, query_row
from bench.floors import ScanFloor, codec_floor
from bench.ingest import AGENTS, CONNECTIONS, load
from bench.lines import Lines, all_lines, first_of
from bench.payloads import START, payloads
from bench.queries import Query, parsing, scans
from bench.server import MeasuredServer
from bench.small_pushes import cost_of_one

RECORDED = Path(__file__).parent / "quick.json"
"""The figures to hold against, as `python -m bench quick --record` found them."""
ALLOWED = 1.5
TRIPLES = 30_000
"""Lines of each app."""
SMALLER = 5_000
"""Triples pushed 100 a request."""
SMALL_PUSHES = 400
SMALL_RUNS = 12
RUNS = 3
"""Times that each load is repeated, hours apart in the lines' time; the least counts."""
SMALLER_RUNS = 10
"""The same 100 lines a request: a load takes 0.1 s, and what else a server does now and then is much beside it."""
APART = 2 * 3600 * 1_000_000_000
"""ns between the first lines of two loads."""
ASKED = 15
"""Times that a query is asked and its floor measured; the least of each counts. At this size both take milliseconds."""
ASKED_SLOW = 3
"""The same for queries that take long."""

Figures = dict[str, float]
"""Cost over floor, by row."""

_PARSING = ("JSON: count by level",)
_LOGS = {"last 100 lines": 100, "log query of 5,000 entries": 5_000}


def run(folder: Path, record: bool) -> int:
    """Measures, and compares with what was recorded or records it. 1 if a row got worse."""
    lines = all_lines(TRIPLES)
    found = figures(folder / "first", lines)
    if record:
        again = figures(folder / "second", lines)
        # The worse of two is recorded and the better of two compared, so that noise alone does not fail a check.
        found = {name: max(figure, again[name]) for name, figure in found.items()}
        RECORDED.write_text(json.dumps({name: float(f"{found[name]:.3g}") for name in found}, indent=1) + "\n")
        print(f"recorded in {RECORDED.name}: {len(found)} rows")
        return 0
    recorded: Figures = json.loads(RECORDED.read_text(encoding="utf-8"))
    if worse(found, recorded):
        print("a second look at what is over ...", flush=True)
        again = figures(folder / "second", lines)
        found = {name: min(figure, again[name]) for name, figure in found.items()}
    failed = worse(found, recorded)
    for name, figure in found.items():
        verdict = "WORSE" if name in failed else ""
        print(f"{name:66} {figure:8.3g} recorded {recorded.get(name, math.nan):8.3g} {verdict}".rstrip())
    if failed:
        print(f"over {ALLOWED}x what bench/quick.json has; if that is meant: python -m bench quick --record")
    return 1 if failed else 0


def worse(found: Figures, recorded: Figures) -> list[str]:
    """Rows over ALLOWED times their recorded figure, and rows that are in one of the two only."""
    return [
        name
        for name in found.keys() | recorded.keys()
        if name not in found or name not in recorded or found[name] > ALLOWED * recorded[name]
    ]


def figures(folder: Path, lines: Lines) -> Figures:
    """Every row once, by one server. Raises RuntimeError if an answer is wrong."""
    found: Figures = {}
    with MeasuredServer(folder) as server:
        begins = iter(range(START, START + (RUNS + SMALLER_RUNS) * APART, APART))

        def ingested(some: Lines, per_request: int, connections: int, runs: int) -> float:
            loads = [payloads(some, per_request, next(begins)) for _ in range(runs)]
            floor = codec_floor(loads[0].bodies, ASKED)
            return min(load(server, pushed.bodies, connections).cpu for pushed in loads) / floor

        found["ingest, 5,000 lines a request"] = ingested(lines, 5_000, CONNECTIONS, RUNS)
        found |= _asked(server, lines)
        found["ingest, 100 lines a request"] = ingested(first_of(lines, SMALLER), 100, AGENTS, SMALLER_RUNS)
        cost, _, floor = cost_of_one(server, lines["json"], SMALL_PUSHES, SMALL_RUNS)
        found["small pushes: 1 JSON line, 32 connections"] = cost / floor
    return found


def _asked(server: MeasuredServer, lines: Lines) -> Figures:
    floors = ScanFloor(lines)
    queries: list[Query] = [*scans(lines), *(query for query in parsing() if query.row in _PARSING)]
    found: Figures = {}
    for query in queries:
        made = query_row(server, query, lines, floors, ASKED_SLOW if query.row in _PARSING else ASKED)
        assert made.figure is not None
        found[query.row] = made.figure
    for name, limit in _LOGS.items():
        cpu, _ = best_of(server, newest(server, lines, limit), ASKED)
        found[f"{name}, over the scan of all lines"] = cpu / floors.seconds(lines, ASKED)
    return found
