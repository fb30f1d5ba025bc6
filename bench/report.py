"""Figures as text: the table that a run prints, and the tables of docs/performance.md.

`python -m bench.report docs/performance.md` writes the tables anew from bench/results.json, between the marks that
stand in the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.rows import OVER_FLOOR, ROWS, row_named

RESULTS = Path(__file__).parent / "results.json"

Result = Mapping[str, Any]
"""A row of results.json."""

HEAD = f"{'':66} {'CPU-s':>8} {'floor':>8} {'figure':>9} {'must':>7} {'aim':>7}"


def printed(result: Result) -> str:
    """One row as a line under HEAD."""
    verdict = {True: "ok", False: "MISSED", None: ""}[result["ok"]]
    return (
        f"{result['name']:66} {_plain(result['cpu_s']):>8} {_plain(result['floor_s']):>8} {_plain(result['ratio']):>9} "
        f"{_plain(result['target']):>7} {_plain(result['aim']):>7} {result['unit']:14} {verdict}"
    ).rstrip()


def print_all(results: Sequence[Result]) -> None:
    """The whole table, with notes and further figures below it."""
    print(f"\n{HEAD}")
    for result in results:
        print(printed(result))
    print()
    for result in results:
        told = [f"{name} {_plain(value)}" for name, value in result.get("further", {}).items()]
        if note := result.get("note"):
            told.insert(0, note)
        if told:
            print(f"{result['name']}: {', '.join(told)}")
    missed = [result["name"] for result in results if result["ok"] is False]
    print(f"\n{len(missed)} of {sum(result['ok'] is not None for result in results)} missed what they must reach")


def read_results(file: Path = RESULTS) -> dict[str, Any]:
    """The last full run. Raises OSError or ValueError."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def machine_text(found: Mapping[str, Any]) -> str:
    """What was measured, where."""
    on = found["machine"]
    return (
        f"{on['cores']} cores ({on['processor']}), {on['memory_GB']:.0f} GB, {on['system'].split()[0]}, "
        f"Python {on['python']}. {found['lines']:,} lines (JSON, logfmt, nginx), "
        f"{found['payload_bytes'] / 1e6:.0f} MB of push payload; the run took {found['wall_s']:.0f} s. "
        f"The same work cost {on['neighbour_cost']:.2f} times the CPU-seconds while the other processors were busy."
    )


def figures_table(found: Mapping[str, Any]) -> str:
    """Every row with its figures."""
    head = "| work | measured | must | aim | Loki | VictoriaLogs | |\n|---|---|---|---|---|---|---|"
    return "\n".join([head, *(_figures_row(result) for result in found["rows"])])


def _figures_row(result: Result) -> str:
    row = row_named(result["name"])
    unit = row.unit
    verdict = {True: "ok", False: "missed", None: ""}[result["ok"]]
    measured = "not yet" if result["ratio"] is None else f"**{_with_unit(result['ratio'], unit)}**"
    if result["cpu_s"] is not None and unit in OVER_FLOOR:
        measured += f" ({_plain(result['cpu_s'])} / {_plain(result['floor_s'])} CPU-s)"
    others = [_with_unit(result[key], unit) for key in ("target", "aim", "loki", "victorialogs")]
    return f"| {row.name} | {measured} | {' | '.join(others)} | {verdict} |"


def notes_list(found: Mapping[str, Any]) -> str:
    """What else was measured with a row, and what its figure lacks."""
    told = []
    for result in found["rows"]:
        parts = [f"{_spoken(name)} {_plain(value)}" for name, value in result.get("further", {}).items()]
        if note := result.get("note"):
            parts.insert(0, note)
        if parts:
            told.append(f"- {result['name']}: {'; '.join(parts)}")
    return "\n".join(told)


def meanings_table() -> str:
    """What each row measures."""
    return "\n".join(["| row | what is measured |", "|---|---|", *(f"| {row.name} | {row.means} |" for row in ROWS)])


def with_tables(page: str, found: Mapping[str, Any]) -> str:
    """A page with the parts between its marks made anew. Raises ValueError if a mark is missing."""
    for name, text in (
        ("machine", machine_text(found)),
        ("figures", figures_table(found)),
        ("notes", notes_list(found)),
        ("rows", meanings_table()),
    ):
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        if not end:
            raise ValueError(f"no marks for {name}")
        page = f"{before}{begin}\n{text}\n\n{end}{after}"
    return page


def _plain(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _with_unit(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{_plain(value)}{unit}" if unit in ("x", "%") else f"{_plain(value)} {unit}"


def _spoken(name: str) -> str:
    return name.replace("_", " ")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(with_tables(file.read_text(encoding="utf-8"), read_results()), encoding="utf-8")
