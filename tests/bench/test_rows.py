from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench.lines import all_lines
from bench.measured import Measured, over_floor
from bench.queries import parsing, scans
from bench.rows import ROWS, row_named

BENCH = Path(__file__).parents[2] / "bench"


def test_names_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_an_aim_is_at_least_as_good_as_what_must_be() -> None:
    for row in ROWS:
        if row.must is not None and row.aim is not None:
            assert row.ok(row.aim), row.name


def test_every_row_says_what_is_measured() -> None:
    assert [row.name for row in ROWS if not row.means] == []


def test_every_query_has_a_row() -> None:
    for query in (*scans(all_lines(2)), *parsing()):
        assert row_named(query.row).unit == "x scan"


def test_every_row_is_measured_somewhere() -> None:
    texts = [
        node.value
        for file in BENCH.glob("*.py")
        if file.name not in ("rows.py", "quick.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    # The rows of growth are named in two parts.
    missing = [row.name for row in ROWS if row.name not in texts and row.name.partition(":")[0] not in texts]
    assert missing == []


@pytest.mark.parametrize(("figure", "ok"), [(3000.0, True), (2999.0, False), (None, None)])
def test_more_can_be_better(figure: float | None, ok: bool | None) -> None:
    row = row_named("small pushes: 1 JSON line, 32 connections, requests per CPU-second")
    assert row.ok(figure) is ok


def test_a_row_that_need_not_reach_anything_is_neither_ok_nor_missed() -> None:
    assert Measured("growth 0.3 to 3 M lines: CPU per line", 9.0).as_json()["ok"] is None


def test_a_figure_over_a_floor() -> None:
    made = over_floor("count with literal filter, all", 0.6, 0.4, wall_ms=1.0).as_json()
    assert (made["cpu_s"], made["floor_s"], made["ratio"], made["target"]) == (0.6, 0.4, 1.5, 1.3)
    assert made["ok"] is False
    assert made["further"] == {"wall_ms": 1.0}
