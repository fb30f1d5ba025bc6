from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.plots import write_plots
from bench.quick import ALLOWED, RECORDED, worse
from bench.report import figures_table, print_all, read_results, with_tables
from bench.rows import ROWS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return read_results()


def test_the_page_says_what_the_last_run_measured(found: dict[str, Any]) -> None:
    assert with_tables(PAGE, found) == PAGE, "run: python -m bench.report docs/performance.md"


def test_every_row_stands_in_the_results(found: dict[str, Any]) -> None:
    assert [result["name"] for result in found["rows"]] == [row.name for row in ROWS]
    for row, result in zip(ROWS, found["rows"], strict=True):
        assert {"name", "cpu_s", "floor_s", "ratio", "target", "unit"} <= result.keys()
        assert (result["target"], result["aim"], result["unit"]) == (row.must, row.aim, row.unit)


def test_a_ratio_is_what_was_measured_over_its_floor(found: dict[str, Any]) -> None:
    over_floors = [result for result in found["rows"] if result["unit"].startswith("x ") and result["ratio"]]
    assert over_floors
    for result in over_floors:
        assert result["ratio"] == pytest.approx(result["cpu_s"] / result["floor_s"], rel=0.01)


def test_a_row_that_was_not_measured_says_why(found: dict[str, Any]) -> None:
    for result in found["rows"]:
        assert result["ratio"] is not None or result["note"]


def test_a_missed_row_is_called_so(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    results = [dict(found["rows"][0], ratio=2.9, ok=True), dict(found["rows"][0], ratio=3.1, ok=False)]
    print_all(results)
    printed = capsys.readouterr().out
    assert "1 of 2 missed" in printed
    table = figures_table({"rows": results}).splitlines()[2:]
    assert [line.rsplit("|", 2)[1].strip() for line in table] == ["ok", "missed"]


def test_a_page_without_marks_is_refused(found: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no marks"):
        with_tables("# Performance\n", found)


def test_every_image_of_the_page_is_there() -> None:
    images = [part.partition(")")[0] for part in PAGE.split("](images/")[1:]]
    assert images
    for image in images:
        assert (ROOT / "docs" / "images" / image).stat().st_size < 200_000


def test_plots_of_one_run_are_the_same_bytes(found: dict[str, Any], tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_plots(found, tmp_path / folder)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_the_quick_bench_has_something_to_hold_against() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert len(recorded) >= 10
    assert all(figure > 0 for figure in recorded.values())


def test_a_row_is_worse_past_what_is_allowed_or_when_it_is_not_on_both_sides() -> None:
    recorded = {"a": 1.0, "b": 1.0, "gone": 1.0}
    assert sorted(worse({"a": ALLOWED, "b": ALLOWED + 0.01, "new": 0.1}, recorded)) == ["b", "gone", "new"]
    assert worse(recorded, recorded) == []
