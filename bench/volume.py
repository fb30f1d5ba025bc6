"""How many bytes there are by app, asked of the index: what Grafana's Drilldown opens with."""

from __future__ import annotations

from collections.abc import Iterator

from bench.asking import best_of
from bench.floors import ScanFloor
from bench.lines import APPS, Lines
from bench.measured import Measured, over_floor
from bench.payloads import SPREAD, START
from bench.queries import STEP
from bench.server import MeasuredServer

RUNS = 5
"""Measured runs after one that warms up; the least counts."""
MOST_BESIDE = 16
"""Bytes of an entry beside its line at most: 8 of a pair of metadata, and texts that are counted once."""
ROWS = {"volume by app, all": "volume", "volume by pod, 50 steps, all": "volume_range"}
"""Row -> endpoint."""


def volumes(server: MeasuredServer, lines: Lines) -> Iterator[Measured]:
    """CPU of each row's question over the scan floor of all lines.

    Raises RuntimeError: an answer is wrong.
    """
    floor = ScanFloor(lines).seconds(APPS, RUNS)
    size = sum(len(line) for kind in lines.values() for line in kind)
    count = sum(map(len, lines.values()))
    for row, endpoint in ROWS.items():
        label = row.split()[2].rstrip(",")
        params: dict[str, str | int] = {
            "query": '{env="prod"}',
            "start": START,
            "end": START + SPREAD,
            "targetLabels": label,
            "step": STEP // 1_000_000_000,
        }

        def ask(endpoint: str = endpoint, params: dict[str, str | int] = params) -> None:
            result = server.ask(f"/loki/api/v1/index/{endpoint}", params)["data"]["result"]
            found = sum(int(value) for series in result for _, value in series.get("values", [series.get("value")]))
            # A step's last second does not count, in volume_range.
            least = size * (STEP - 2_000_000_000) // STEP if endpoint == "volume_range" else size
            if not least <= found <= size + MOST_BESIDE * count:
                raise RuntimeError(f"{endpoint} says {found} bytes, the lines have {size}")

        cpu, wall = best_of(server, ask, RUNS)
        yield over_floor(row, cpu, floor, wall_ms=wall * 1e3)
