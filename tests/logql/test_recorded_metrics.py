"""Metric queries of the conformance corpus give the answers that Loki gave."""

from __future__ import annotations

import re
from typing import Any

import pytest

from logql import LogQLError, parse
from logql.ast import LogExpr
from logql.limits import MetricLimits
from logql.metric_engine import run_instant, run_range
from logql.metric_result import Matrix, Scalar, Vector
from logql.numbers import plain
from tests.logql.dataset import DATA, json_lines
from tests.logql.memory_source import MemorySource
from tests.logql.pushed_dataset import pushed_dataset

CASES = json_lines(DATA / "recorded_metrics.jsonl")


@pytest.fixture(scope="module")
def source() -> MemorySource:
    return MemorySource(pushed_dataset(), 997)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_recorded_answer(case: dict[str, Any], source: MemorySource) -> None:
    if "result" in case:
        assert shown(run(case, source)) == wanted(case)
        return
    with pytest.raises(LogQLError) as caught:
        run(case, source)
    text = str(caught.value)
    assert re.fullmatch(case["error_regex"], text, re.DOTALL) if "error_regex" in case else text == case["error"]


def run(case: dict[str, Any], source: MemorySource) -> Matrix | Vector | Scalar:
    expr = parse(case["query"])
    assert not isinstance(expr, LogExpr)
    if "time" in case:
        return run_instant(source, "tenant", expr, case["time"], limits=MetricLimits())
    return run_range(source, "tenant", expr, case["start"], case["end"], case["step"], limits=MetricLimits())


def shown(result: Matrix | Vector | Scalar) -> object:
    match result:
        case Matrix():
            return "matrix", [
                (dict(one.labels), list(zip(one.ts, map(plain, one.values), strict=True))) for one in result.series
            ]
        case Vector():
            return "vector", [(dict(labels), [(result.ts, plain(value))]) for labels, value in result.samples]
        case Scalar():
            return "scalar", (result.ts, plain(result.value))


def wanted(case: dict[str, Any]) -> object:
    result = case["result"]
    if case["type"] == "scalar":
        return "scalar", (result[0], Close(result[1]))  # a scalar's time is in ms (Loki)
    series = [
        (one["metric"], [(round(ts * 1000), Close(value)) for ts, value in one.get("values") or [one["value"]]])
        for one in result
    ]
    return case["type"], series if case.get("ordered") else sorted(series, key=lambda one: sorted(one[0].items()))


class Close:
    """A recorded value; the last digits of sums over several series depend on the order of the series, also in Loki."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str):
            return NotImplemented
        return other == self.text or float(other) == pytest.approx(float(self.text), rel=1e-9, abs=1e-12, nan_ok=True)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.text)
