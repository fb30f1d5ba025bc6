from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logql.ast import LogExpr, LogRange, RangeAggregation, Selector
from logql.counts import Steps
from logql.errors import PipelineError
from logql.kernels import ranges as kernels
from logql.ranges import RangeVector
from logql.sample_columns import SampleColumns, SampleSeries
from logql.tokens import Position
from logql.vectors import Sample
from storage.batch import Labels
from tests.logql.plain_ranges import PlainRangeVector, quantile, range_function
from tests.logql.vector_lists import exactly, listed, lists_of

S = 1_000_000_000
NAN, INF = math.nan, math.inf
A: Labels = (("app", "a"),)
B: Labels = (("app", "b"),)
FAILED: Labels = (("__error__", "JSONParserErr"), ("app", 'a"b'))

Timed = Sequence[tuple[int, float]]
"""Samples: (ts in ns, value), ascending."""


def node_of(op: str, width: int, parameter: float | None = None) -> RangeAggregation:
    return RangeAggregation(op, LogRange(LogExpr(Selector((), Position(1, 1))), width, 0, None), parameter, None)


def columns(series: Mapping[Labels, Timed]) -> SampleColumns:
    """The samples as a collector gives them."""
    labels = sorted(series)
    timed = [sample for one in labels for sample in series[one]]
    bounds = np.cumsum([0, *(len(series[one]) for one in labels)])
    return SampleColumns(
        labels, bounds, np.array([ts for ts, _ in timed], np.int64), np.array([value for _, value in timed], np.float64)
    )


def over(
    series: Mapping[Labels, Timed],
    op: str,
    steps: Steps,
    parameter: float | None = None,
    checks: list[int] | None = None,
) -> RangeVector:
    calls = checks if checks is not None else []
    return RangeVector(columns(series), node_of(op, steps.width, parameter), steps, lambda: calls.append(1))


def value(op: str, *values: float, parameter: float | None = None) -> float:
    """Of samples one second apart in a window of 10 s that ends with the last of them."""
    end = 100 * S
    timed = [(end - (len(values) - 1 - n) * S, value) for n, value in enumerate(values)]
    (((_, found),),) = listed(over({A: timed}, op, Steps(end, 1, 1, 10 * S), parameter), 0, 1)
    return found


@pytest.mark.parametrize(
    ("op", "values", "wanted"),
    [
        ("count_over_time", (1, 1, 1), 3),
        ("rate", (1, 1, 1), 0.3),
        ("bytes_over_time", (10, 5), 15),
        ("bytes_rate", (10, 5), 1.5),
        ("sum_over_time", (1.0, 1e100, 1.0, -1e100), 0),
        ("avg_over_time", (1, 2, 6), 3),
        ("avg_over_time", (INF, 1, INF), INF),
        ("avg_over_time", (INF, -INF), NAN),
        ("min_over_time", (NAN, 2, 1), 1),
        ("max_over_time", (NAN, 2, 1, NAN), 2),
        ("stdvar_over_time", (1, 5), 4),
        ("stddev_over_time", (1, 5), 2),
        ("stdvar_over_time", (INF,), NAN),
        ("first_over_time", (7, 8), 7),
        ("last_over_time", (7, 8), 8),
    ],
)
def test_functions(op: str, values: tuple[float, ...], wanted: float) -> None:
    assert value(op, *values) == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize(
    ("rank", "values", "wanted"),
    [(0.5, (1, 2, 10), 2), (0.25, (1, 2), 1.25), (1, (3, 1), 3), (0, (3, 1), 1), (-1, (1,), -INF), (1.5, (1,), INF)],
)
def test_quantiles_interpolate(rank: float, values: tuple[float, ...], wanted: float) -> None:
    assert quantile(rank, values) == pytest.approx(wanted)
    assert value("quantile_over_time", *values, parameter=rank) == pytest.approx(wanted)


def test_nan_is_the_smallest_value_of_a_quantile() -> None:
    assert math.isnan(quantile(0, (1, NAN, 2)))
    assert quantile(1, (1, 2, NAN)) == 2


def test_a_counters_rate_counts_resets_and_reaches_to_the_windows_ends() -> None:
    # 0 1 2 | 1: grew by 3 within 3 s; the first value is 0, so nothing came before it
    assert value("rate_counter", 0, 1, 2, 1) == pytest.approx(3 / 10)
    # 10 11 12: the window begins 8 s earlier, more than 1.1 gaps, so half a gap is added
    assert value("rate_counter", 10, 11, 12) == pytest.approx(2 * (2.5 / 2) / 10)
    assert value("rate_counter", 5) == 0


def counts(series: dict[Labels, Timed], first: int, last: int, width: int) -> dict[int, float]:
    """Counts of the one series at all times of first..last that have any."""
    found = listed(over(series, "count_over_time", Steps(first, 1, last - first + 1, width)), 0, last - first + 1)
    return {first + step: vector[0].value for step, vector in enumerate(found) if vector}


def test_a_window_has_its_end_but_not_its_start() -> None:
    found = counts({A: [(0, 1.0), (5, 1.0), (10, 1.0)]}, -1, 20, 10)
    assert (min(found), found[0], found[9], found[10], found[19], max(found)) == (0, 1, 2, 2, 1, 19)


def test_a_failed_sample_is_an_error_only_in_a_window() -> None:
    vector = over({FAILED: [(100, 1.0)]}, "count_over_time", Steps(98, 1, 4, 10))
    assert listed(vector, 0, 2) == [[], []]
    with pytest.raises(PipelineError) as caught:
        listed(vector, 0, 4)
    assert str(caught.value) == (
        """pipeline error: 'JSONParserErr' for series: '{__error__="JSONParserErr", app="a\\"b"}'.\n"""
        'Use a label filter to intentionally skip this error. (e.g | __error__!="JSONParserErr").\n'
        'To skip all potential errors you can match empty errors.(e.g __error__="")\n'
        'The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__="" )\n'
    )


def test_the_steps_before_an_error_are_there_and_the_first_failed_series_is_named() -> None:
    other = (("__error__", "LogfmtParserErr"),)
    vector = over({A: [(98, 1.0)], FAILED: [(100, 1.0)], other: [(100, 1.0)]}, "count_over_time", Steps(98, 1, 9, 10))
    found = vector.vectors(0, 9)
    assert lists_of(vector, found) == [[Sample(A, 1.0)], [Sample(A, 1.0)]]
    assert "JSONParserErr" in str(found.failure)


def test_an_error_that_the_query_speaks_of_is_a_label() -> None:
    labels = (*FAILED[:1], ("__preserve_error__", "true"))
    assert counts({labels: [(100, 1.0)]}, 100, 100, 10) == {100: 1}


def test_without_samples_there_is_nothing_however_far_the_steps_are() -> None:
    far = 1 << 70
    assert listed(over({}, "sum_over_time", Steps(far, far, 3, far)), 0, 3) == [[], [], []]


def test_much_work_looks_often_at_whether_the_query_is_still_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = [(ts, float(ts % 7) / 3) for ts in range(100)]
    steps = Steps(0, 1, 120, 50)
    few: list[int] = []
    wanted = listed(over({A: timed, B: timed}, "quantile_over_time", steps, 0.3, few), 0, 120)
    monkeypatch.setattr("logql.ranges._WORK", 500)
    many: list[int] = []
    assert listed(over({A: timed, B: timed}, "quantile_over_time", steps, 0.3, many), 0, 120) == wanted
    assert (len(few), len(many) > 30) == (1, True)


OPS = (
    "count_over_time", "absent_over_time", "rate", "bytes_over_time", "bytes_rate", "rate_counter", "sum_over_time",
    "avg_over_time", "min_over_time", "max_over_time", "stdvar_over_time", "stddev_over_time", "first_over_time",
    "last_over_time", "quantile_over_time",
)  # fmt: skip
whole = st.integers(-3, 9).map(float)
anything = st.one_of(whole, st.sampled_from([0.0, -0.0, NAN, INF, -INF, 0.1, 1e100, 2.0**53]), st.floats())
about_zero = st.sampled_from([0.0, -0.0, 1.0, -1.0, NAN])


@st.composite
def timed(draw: st.DrawFn) -> list[tuple[int, float]]:
    some = draw(st.sampled_from([whole, anything, about_zero]))
    values = draw(st.one_of(st.lists(some, max_size=12), st.lists(some, min_size=30, max_size=80)))
    times = st.lists(st.integers(0, 30), min_size=len(values), max_size=len(values))
    return list(zip(sorted(draw(times)), values, strict=True))


@given(
    series=st.dictionaries(st.sampled_from([A, B, (("app", "c"),), ()]), timed(), max_size=3),
    unit=st.sampled_from([1, S // 7, S]),
    rank=st.one_of(st.sampled_from([0.0, 1.0, 0.5, 0.99, -0.1, 1.1]), st.floats(0, 1)),
    start=st.integers(-5, 10),
    step=st.integers(1, 5),
    width=st.integers(1, 20),
    count=st.integers(1, 30),
    cut=st.integers(1, 30),
)
@example({A: [(0, -0.0)]}, 1, 0.0, 0, 1, 1, 1, 1)
def test_a_window_becomes_what_it_becomes_alone(
    series: dict[Labels, Timed], unit: int, rank: float, start: int, step: int, width: int, count: int, cut: int
) -> None:
    scaled = {labels: [(ts * unit, value) for ts, value in one] for labels, one in series.items()}
    steps = Steps(start * unit, step * unit, count, width * unit)
    plain = PlainRangeVector({labels: plain_series(one) for labels, one in scaled.items()}, steps.width, 0)
    cut = min(cut, count)
    for op in OPS:
        function = range_function(node_of(op, steps.width, rank))
        wanted = [plain.at(steps.start + number * steps.step, function) for number in range(count)]
        vector = over(scaled, op, steps, rank)
        assert exactly(listed(vector, 0, cut) + listed(vector, cut, count)) == exactly(wanted), op


def plain_series(timed: Timed) -> SampleSeries:
    return SampleSeries(np.array([ts for ts, _ in timed], np.int64), np.array([value for _, value in timed]))


@given(st.lists(anything, min_size=1, max_size=300) | st.lists(about_zero, min_size=25, max_size=300), st.floats(0, 1))
def test_quantiles_of_many_values(values: list[float], rank: float) -> None:
    function = kernels.QUANTILE
    found, there = np.empty((1, 1)), np.empty((1, 1), np.bool_)
    bounds, ts = np.array([0, len(values)]), np.zeros(len(values), np.int64)
    state = np.zeros(2, np.int64)
    given_values = np.array(values)
    kernels.fill_windows(function, rank, ts, given_values, np.zeros(0), bounds, 0, 1, 1, 10**9, state, found, there)
    wanted = quantile(rank, values)
    assert exactly([[Sample(A, float(found[0, 0]))]]) == exactly([[Sample(A, wanted)]])
    assert given_values.tolist() == pytest.approx(values, nan_ok=True, rel=0, abs=0)
