"""`python -m bench [--only NAME] [--lines N]`, `python -m bench quick [--record]`, `python -m bench list`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import quick
from bench.full import TRIPLES, Inputs, measure
from bench.lines import APPS
from bench.machine import machine
from bench.processors import ONE, neighbour_cost, on
from bench.report import HEAD, RESULTS, print_all, printed
from bench.rows import ROWS

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Runs what is asked for. 1 if the quick bench found a row that got worse, 2 if no row is named so."""
    asked = _arguments()
    if asked.what == "list":
        for row in ROWS:
            print(f"{row.name}\n    {row.unit}; must {row.must}, aim {row.aim}: {row.means}")
        return 0
    # Beside the code and not in the system's place for temporary files, which may be memory.
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as folder, on(ONE):
        if asked.what == "quick":
            return quick.run(Path(folder), asked.record)
        return _full(Path(folder), asked)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=["all", "quick", "list"])
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="only rows whose name holds NAME (may be repeated); writes nothing",
    )
    parser.add_argument(
        "--lines", type=int, default=TRIPLES * len(APPS), help="lines to load; another number than usual writes nothing"
    )
    parser.add_argument("--record", action="store_true", help="with quick: these figures are those to come")
    return parser.parse_args()


def _full(folder: Path, asked: argparse.Namespace) -> int:
    wanted_parts = [part.lower() for part in asked.only or []]

    def wanted(name: str) -> bool:
        return not wanted_parts or any(part in name.lower() for part in wanted_parts)

    if not any(wanted(row.name) for row in ROWS):
        print("no row is named so; `python -m bench list` names them", file=sys.stderr)
        return 2
    began = time.monotonic()
    inputs = Inputs(folder, asked.lines // len(APPS), wanted)
    found: dict[str, dict[str, Any]] = {}
    print(HEAD)
    for made in measure(inputs):
        found[made.name] = made.as_json()
        print(printed(found[made.name]), flush=True)
    results = [found[row.name] for row in ROWS if row.name in found]
    print_all(results)
    if not wanted_parts and inputs.triples == TRIPLES:
        _write(inputs, results, time.monotonic() - began)
    return 0


def _write(inputs: Inputs, results: list[dict[str, Any]], seconds: float) -> None:
    """Writes results.json and the plots. Raises RuntimeError if a row is missing."""
    # matplotlib is slow to import, and a partial run has no need of it.
    from bench.plots import write_plots  # noqa: PLC0415

    if len(results) != len(ROWS):
        raise RuntimeError(f"not measured: {sorted({row.name for row in ROWS} - {made['name'] for made in results})}")
    whole = {
        "machine": machine() | {"neighbour_cost": round(neighbour_cost(), 2)},
        "lines": inputs.pushed.entries,
        "payload_bytes": inputs.pushed.raw_bytes,
        "wall_s": round(seconds),
        "rows": results,
    }
    RESULTS.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    write_plots(whole)
    print(
        f"{RESULTS.relative_to(ROOT)} and docs/images are written; `python -m bench.report docs/performance.md` is next"
    )


if __name__ == "__main__":
    sys.exit(main())
