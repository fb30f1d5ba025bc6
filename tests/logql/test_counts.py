"""Counts by columns equal counts entry by entry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql import Budget, LimitError, MetricLimits, parse, run_range
from logql.ast import LogExpr, RangeAggregation
from logql.extractor import Extractor, grouping_of
from logql.metric_result import Matrix
from logql.samples import read_samples
from logql.unit_reader import UnitReader
from storage.batch import Labels
from tests.logql.memory_source import MemorySource, Stored
from tests.logql.plain_ranges import PlainRangeVector, range_function

MS = 1_000_000
Points = dict[Labels, list[tuple[int, float]]]
LIMITS = MetricLimits(max_series=10_000)


def plainly(source: MemorySource, node: RangeAggregation, start: int, end: int, step: int) -> Points:
    """The series of a range aggregation, of samples that were made entry by entry."""
    width, offset = node.range.range, node.range.offset
    reader = UnitReader(source, "t", lambda: None)
    samples = read_samples(
        reader, node, Extractor(node, grouping_of(node, None)), start - offset - width + 1, end - offset + 1
    )
    vector, function = PlainRangeVector(samples.series(), width, offset), range_function(node)
    found: Points = {}
    for ts in range(start, end + 1, step):
        for labels, value in vector.at(ts, function):
            found.setdefault(labels, []).append((ts // MS, value))
    return found


def points(matrix: Matrix) -> Points:
    return {one.labels: list(zip(one.ts, one.values, strict=True)) for one in matrix.series}


entries = st.lists(
    st.builds(
        Stored,
        stream=st.sampled_from([(("app", "a"),), (("app", "b"),), (("app", "b"), ("m", "1"))]),
        ts=st.integers(0, 60).map(lambda at: at * 100 * MS),
        line=st.sampled_from([b"", b"x", b"xyz", b"\xff\xfe x"]),
        metadata=st.lists(
            st.tuples(
                st.sampled_from(["m", "n", *(f"k{number}" for number in range(3))]), st.sampled_from([b"1", b"2"])
            ),
            max_size=2,
            unique_by=lambda pair: pair[0],
        ).map(tuple),
    ),
    max_size=40,
)


@given(
    entries,
    st.sampled_from(["count_over_time", "rate", "bytes_over_time", "bytes_rate"]),
    st.sampled_from(["", "by (app)", "by (m)", "by (m_extracted, n)", "by ()", "without (n)"]),
    st.sampled_from(["", '|= "x"', '!= "x"', '|~ "x.z"']),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(-5, 5),
    st.integers(1, 9),
)
def test_columns_count_what_rows_count(
    stored: list[Stored], op: str, by: str, filters: str, width: int, step: int, offset: int, unit_size: int
) -> None:
    shift = f" offset {offset}00ms" if offset else ""
    node = parse(f'{op}({{app=~".+"}} {filters} [{width}00ms]{shift})')
    assert isinstance(node, RangeAggregation)
    # The grammar has no grouping for counts; a `sum` around them puts it there.
    whole = parse(f'sum {by} ({op}({{app=~".+"}} {filters} [{width}00ms]{shift}))') if by else node
    assert not isinstance(whole, LogExpr)
    source = MemorySource(stored, unit_size)
    step_ns = step * 100 * MS
    start, end = 0, 70 * 100 * MS // step_ns * step_ns
    found = points(run_range(source, "t", whole, start, end, step_ns, limits=LIMITS))
    expected = plainly(source, node, start, end, step_ns)
    if by:
        assert found == grouped(expected, by)
    else:
        assert found == expected


def grouped(series: Points, by: str) -> dict[Labels, Any]:
    keep = by.startswith("by")
    names = set(by[by.index("(") + 1 : -1].replace(",", " ").split())
    sums: dict[Labels, dict[int, float]] = {}
    for labels, values in series.items():
        own = tuple(pair for pair in labels if (pair[0] in names) == keep)
        total = sums.setdefault(own, {})
        for ts, value in values:
            total[ts] = total.get(ts, 0.0) + value
    return {
        labels: [(ts, pytest.approx(value)) for ts, value in sorted(total.items())] for labels, total in sums.items()
    }


def test_an_entry_that_came_with_an_error_stops_a_count_in_its_window() -> None:
    stored = [Stored((("app", "a"),), 5 * MS, b"x", (("__error__", b"JSONParserErr"),))]
    expr = parse('sum by (app) (count_over_time({app="a"}[10ms]))')
    assert not isinstance(expr, LogExpr)
    with pytest.raises(Exception, match="JSONParserErr"):
        run_range(MemorySource(stored), "t", expr, 0, 100 * MS, MS, limits=LIMITS)


def test_a_count_over_its_memory_is_refused() -> None:
    stored = [Stored((("app", f"{number}"),), number * MS, b"x") for number in range(500)]
    expr = parse('count_over_time({app=~".+"}[1s])')
    assert not isinstance(expr, LogExpr)
    with pytest.raises(LimitError, match="needs more memory"):
        run_range(MemorySource(stored), "t", expr, 0, 1000 * MS, MS, limits=LIMITS, budget=Budget(100_000))
