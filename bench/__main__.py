"""Runs the rows and writes bench/results.json."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.floors import codec_floor
from bench.ingest import ingest
from bench.payloads import payloads

RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """`python -m bench [--lines N]`."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--lines", type=int, default=1_500_000, help="lines to load (a third of each kind)")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print(f"making {asked.lines} lines ...", flush=True)
    load = payloads(asked.lines // 3, 5000, time.time_ns())
    floor = codec_floor(load.bodies)
    print(f"{load.entries} lines, {load.raw_bytes / 1e6:.0f} MB; codec floor {floor:.2f} CPU-s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        cost = ingest(Path(folder) / "data", load)
    rows.append(row("ingest, 5,000 lines a request, in blocks", cost.cpu, floor, 3.0))
    rows.append(row("disk after flush, of payload", cost.disk, load.raw_bytes, 0.185, unit="bytes"))
    rows.append(row("peak RSS while loading", cost.peak_rss, 500e6, 1.0, unit="bytes"))
    RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    for item in rows:
        print(f"{item['name']:<45} {item['ratio']:8.3f}   must {item['target']}")


def row(name: str, cost: float, floor: float, target: float, unit: str = "cpu_s") -> dict[str, Any]:
    """One row of results.json."""
    return {
        "name": name,
        "unit": unit,
        "cpu_s": round(cost, 3),
        "floor_s": round(floor, 3),
        "ratio": round(cost / floor, 4),
        "target": target,
    }


main()
