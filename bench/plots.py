"""Plots of a run into docs/images: SVG whose bytes change only where a figure does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.report import Result
from bench.rows import CODEC, SCAN

IMAGES = Path(__file__).parents[1] / "docs" / "images"

_MARKS = (("Loki", "loki", "s", "#d95f02"), ("VictoriaLogs", "victorialogs", "D", "#7570b3"))
_BAR = "#4c78a8"
_MISSED = "#b0b8c4"


def write_plots(found: Mapping[str, Any], folder: Path = IMAGES) -> None:
    """Writes ratios.svg and growth.svg from the contents of results.json."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {result["name"]: result for result in found["rows"]}
    # Text stays text: small files, and a change shows as one in a diff.
    with mpl.rc_context({"svg.hashsalt": "weir", "svg.fonttype": "none", "font.size": 9}):
        _save(_ratios(results), folder / "ratios.svg")
        _save(_growth(results), folder / "growth.svg")


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None, "Creator": None})
    # Matplotlib ends lines of paths with spaces.
    text = file.read_text(encoding="utf-8")
    file.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def _ratios(results: Mapping[str, Result]) -> Figure:
    """Rows over a floor: a bar a row, the bounds as lines over it, the others as marks."""
    shown = [
        result
        for result in results.values()
        if result["unit"] in (CODEC, SCAN) and result["ratio"] is not None and result["target"] is not None
    ]
    figure = Figure(figsize=(8, 0.42 * len(shown) + 1.5), layout="constrained")
    axes = figure.subplots()
    places = range(len(shown))
    axes.barh(
        places,
        [result["ratio"] for result in shown],
        height=0.62,
        color=[_BAR if result["ok"] else _MISSED for result in shown],
    )
    for place, result in enumerate(shown):
        axes.vlines(result["target"], place - 0.42, place + 0.42, colors="#c0392b", linewidth=2)
        axes.vlines(result["aim"], place - 0.42, place + 0.42, colors="#27ae60", linewidth=2)
    for label, key, mark, colour in _MARKS:
        known = [(result[key], place) for place, result in enumerate(shown) if result[key] is not None]
        axes.plot(
            [figure for figure, _ in known],
            [place for _, place in known],
            marker=mark,
            markersize=5,
            linestyle="",
            color=colour,
            label=label,
        )
    axes.plot([], [], color="#c0392b", linewidth=2, label="must")
    axes.plot([], [], color="#27ae60", linewidth=2, label="aim")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("CPU-seconds over the floor (bars: Weir; grey: more than it must be)")
    axes.set_yticks(places, [result["name"] for result in shown])
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    _plain_frame(axes)
    return figure


def _growth(results: Mapping[str, Result]) -> Figure:
    """Cost of a line and peak memory at both ends of each growth."""
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, ends in (
        ("growth 0.3 to 3 M lines", ("0.3 M lines", "3 M lines")),
        ("growth 10 to 10,000 streams", ("10 streams", "10,000 streams")),
    ):
        for axes, row, unit in ((left, "CPU per line", "us"), (right, "peak RSS", "MB")):
            further = results[f"{name}: {row}"].get("further", {})
            heights = [further.get(f"{unit}_{end}", 0.0) for end in ("small", "large")]
            axes.bar_label(axes.bar(ends, heights, width=0.6, color=_BAR), fmt="%.3g")
    left.set_title("CPU-µs per line, in blocks")
    right.set_title("peak RSS, MB")
    for axes in (left, right):
        axes.tick_params(axis="x", labelsize=7)
        _plain_frame(axes)
    return figure


def _plain_frame(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
