"""Range aggregations worked out window by window in plain Python: the oracle of logql.ranges."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from logql.ast import RangeAggregation
from logql.ranges import failure_of
from logql.sample_columns import SampleSeries
from logql.vectors import Sample
from storage.batch import Labels
from tests.logql.plain_vectors import largest, smallest


@dataclass(frozen=True, slots=True)
class Window:
    """The samples of a series within (end - range, end]; at least one.

    Attributes:
        ts: ns, ascending.
        values: as many.
        start, end: ns, of the window, offset and all.
    """

    ts: Sequence[int]
    values: Sequence[float]
    start: int
    end: int

    @property
    def seconds(self) -> float:
        """Its width."""
        return _seconds(self.end - self.start)


RangeFunction = Callable[[Window], float]


def range_function(node: RangeAggregation) -> RangeFunction:
    """The function of a range aggregation."""
    if node.op == "quantile_over_time":
        rank = node.parameter or 0.0
        return lambda window: quantile(rank, window.values)
    return _FUNCTIONS[node.op]


class PlainRangeVector:
    """The series of a range aggregation, read window by window in ascending time.

    Raises PipelineError when it comes upon a sample whose pipeline failed.
    """

    def __init__(self, series: dict[Labels, SampleSeries], width: int, offset: int) -> None:
        """`width` and `offset` in ns."""
        self._series = [
            (labels, samples.ts.tolist(), samples.values.tolist(), failure_of(labels))
            for labels, samples in sorted(series.items())
        ]
        self._width = width
        self._offset = offset

    def at(self, ts: int, function: RangeFunction) -> list[Sample]:
        """One sample of each series that has some in the window of the step at `ts` (ns), in order of labels."""
        end = ts - self._offset
        start = end - self._width
        found = []
        for labels, times, values, failure in self._series:
            first, stop = bisect_right(times, start), bisect_right(times, end)
            if first < stop:
                if failure:
                    raise failure
                window = Window(times[first:stop], values[first:stop], start, end)
                found.append(Sample(labels, function(window)))
        return found


def _seconds(ns: int) -> float:
    whole, rest = divmod(ns, 1_000_000_000)
    return whole + rest / 1e9


def _count(window: Window) -> float:
    return float(len(window.values))


def _sum(window: Window) -> float:
    total = 0.0  # added one by one: `sum` of Python compensates for rounding, Go does not
    for value in window.values:
        total += value
    return total


def _mean(window: Window) -> float:
    """The sum over the count: what Loki makes of it when it shards a query, and what its recorded answers show."""
    return _sum(window) / len(window.values)


def _variance(window: Window) -> float:
    """The population variance by Welford's method from a mean of 0, so that an infinite value gives NaN."""
    mean = total = 0.0
    for count, value in enumerate(window.values, 1):
        delta = value - mean
        mean += delta / count
        total += delta * (value - mean)
    return total / len(window.values)


def quantile(rank: float, values: Sequence[float]) -> float:
    """The quantile by linear interpolation between the two nearest values; NaN counts as the smallest value."""
    if rank < 0:
        return -math.inf
    if rank > 1:
        return math.inf
    ordered = sorted(values, key=lambda value: (not math.isnan(value), 0.0 if math.isnan(value) else value))
    place = rank * (len(ordered) - 1)
    lower = math.floor(place)
    upper = min(len(ordered) - 1, lower + 1)
    weight = place - lower
    return ordered[lower] * (1 - weight) + ordered[upper] * weight


def _rate_counter(window: Window) -> float:
    """The rate of a counter that may be reset, extrapolated to the window's ends as Prometheus does.

    A window of one sample gives 0, where Prometheus gives nothing (Loki).
    """
    if len(window.values) < 2:
        return 0.0
    first, last = window.ts[0], window.ts[-1]
    increase = _increase(window.values)
    sampled = _seconds(last - first)
    if not sampled:
        return math.nan
    gap = sampled / (len(window.values) - 1)
    before, after = _seconds(first - window.start), _seconds(window.end - last)
    if increase > 0 and window.values[0] >= 0:
        before = min(before, sampled * (window.values[0] / increase))
    reach = sampled
    for missing in (before, after):
        reach += missing if missing < gap * 1.1 else gap / 2
    return increase * (reach / sampled) / window.seconds


def _increase(values: Sequence[float]) -> float:
    """How much a counter grew; a value below the one before it began again at 0."""
    increase = values[-1] - values[0]
    previous = 0.0
    for value in values:
        if value < previous:
            increase += previous
        previous = value
    return increase


_FUNCTIONS: dict[str, RangeFunction] = {
    "count_over_time": _count,
    "absent_over_time": _count,
    "rate": lambda window: _sum(window) / window.seconds,
    "bytes_over_time": _sum,
    "bytes_rate": lambda window: _sum(window) / window.seconds,
    "rate_counter": _rate_counter,
    "sum_over_time": _sum,
    "avg_over_time": _mean,
    "min_over_time": lambda window: smallest(window.values),
    "max_over_time": lambda window: largest(window.values),
    "stdvar_over_time": _variance,
    "stddev_over_time": lambda window: math.sqrt(_variance(window)),
    "first_over_time": lambda window: window.values[0],
    "last_over_time": lambda window: window.values[-1],
}
