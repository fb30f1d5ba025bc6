from __future__ import annotations

import math

import pytest

from logql.ast import LogExpr, LogRange, RangeAggregation, Selector
from logql.errors import PipelineError
from logql.ranges import RangeVector, Window, quantile, range_function
from logql.samples import SampleSeries
from logql.tokens import Position
from storage.batch import Labels

S = 1_000_000_000
NAN, INF = math.nan, math.inf
A: Labels = (("app", "a"),)


def value(op: str, *values: float, parameter: float | None = None) -> float:
    """Of samples one second apart in a window of 10 s that ends with the last of them."""
    count = len(values)
    node = RangeAggregation(op, LogRange(LogExpr(Selector((), Position(1, 1))), 10 * S, 0, None), parameter, None)
    end = 100 * S
    ts = [end - (count - 1 - n) * S for n in range(count)]
    return range_function(node)(Window(ts, list(values), end - 10 * S, end))


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


def test_a_window_has_its_end_but_not_its_start() -> None:
    vector = RangeVector({A: SampleSeries([0, 5, 10], [1.0, 1.0, 1.0])}, width=10, offset=0)
    counts = {
        ts: [sample.value for sample in vector.at(ts, lambda window: float(len(window.ts)))] for ts in range(-1, 21)
    }
    assert (counts[-1], counts[0], counts[9], counts[10], counts[19], counts[20]) == ([], [1], [2], [2], [1], [])


def number_of(window: Window) -> float:
    return float(len(window.values))


def test_an_offset_shifts_windows_not_results() -> None:
    vector = RangeVector({A: SampleSeries([100], [1.0])}, width=10, offset=50)
    assert [ts for ts in range(200) if vector.at(ts, number_of)] == list(range(150, 160))
    ahead = RangeVector({A: SampleSeries([100], [1.0])}, width=10, offset=-50)
    assert [ts for ts in range(200) if ahead.at(ts, number_of)] == list(range(50, 60))


FAILED: Labels = (("__error__", "JSONParserErr"), ("app", 'a"b'))


def test_a_failed_sample_is_an_error_only_in_a_window() -> None:
    vector = RangeVector({FAILED: SampleSeries([100], [1.0])}, width=10, offset=0)
    assert not vector.at(99, number_of)
    with pytest.raises(PipelineError) as caught:
        vector.at(100, number_of)
    assert str(caught.value) == (
        """pipeline error: 'JSONParserErr' for series: '{__error__="JSONParserErr", app="a\\"b"}'.\n"""
        'Use a label filter to intentionally skip this error. (e.g | __error__!="JSONParserErr").\n'
        'To skip all potential errors you can match empty errors.(e.g __error__="")\n'
        'The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__="" )\n'
    )


def test_an_error_that_the_query_speaks_of_is_a_label() -> None:
    labels = (*FAILED[:1], ("__preserve_error__", "true"))
    vector = RangeVector({labels: SampleSeries([100], [1.0])}, width=10, offset=0)
    assert vector.at(100, number_of)
