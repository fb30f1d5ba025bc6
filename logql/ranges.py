"""Range aggregations: windows laid over samples, and what they become, as in Loki."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from logql.ast import RangeAggregation
from logql.counts import Steps
from logql.errors import PipelineError
from logql.kernels import ranges as kernels
from logql.sample_columns import SampleColumns
from logql.stages.row import ERROR, PRESERVE_ERROR
from logql.vectors import F64, Vectors, bounds_of
from storage.batch import I64, Labels
from storage.labels import labels_text

_FUNCTIONS = {
    "count_over_time": kernels.COUNT,
    "absent_over_time": kernels.COUNT,
    "rate": kernels.RATE,
    "bytes_over_time": kernels.SUM,
    "bytes_rate": kernels.RATE,
    "rate_counter": kernels.COUNTER_RATE,
    "sum_over_time": kernels.SUM,
    "avg_over_time": kernels.MEAN,
    "min_over_time": kernels.SMALLEST,
    "max_over_time": kernels.LARGEST,
    "stdvar_over_time": kernels.VARIANCE,
    "stddev_over_time": kernels.DEVIATION,
    "first_over_time": kernels.FIRST,
    "last_over_time": kernels.LAST,
    "quantile_over_time": kernels.QUANTILE,
}

_SUMS = (kernels.SUM, kernels.MEAN, kernels.RATE)

_WHOLE = 2.0**53
"""Below it sums of whole numbers are exact in any order."""

_WORK = 5_000_000
"""Samples looked at between two looks at whether the query is still wanted; some 20 ms."""


def count_function(node: RangeAggregation) -> Callable[[I64, I64], F64]:
    """What windows of so many entries with sums of bytes become, of an aggregation that counts either."""
    seconds = _seconds(node.range.range)
    match node.op:
        case "rate":
            return lambda counts, _: counts / seconds
        case "bytes_over_time":
            return lambda _, sums: sums.astype(np.float64)
        case "bytes_rate":
            return lambda _, sums: sums / seconds
    return lambda counts, _: counts.astype(np.float64)


class RangeVector:
    """The series of a range aggregation.

    A step that comes upon a sample whose pipeline failed comes to a PipelineError.

    Attributes:
        labels: of each series, ascending: the order of its vectors.
    """

    def __init__(self, samples: SampleColumns, node: RangeAggregation, steps: Steps, check: Callable[[], None]) -> None:
        """Lays the windows of `node` over samples.

        Args:
            samples: of the entries in all windows.
            node: the aggregation.
            steps: of the query, as `node` sees them.
            check: called now and then; raises to stop the query.
        """
        self.labels: Sequence[Labels] = samples.labels
        self._samples = samples
        self._steps = steps
        self._check = check
        self._failures = [failure_of(labels) for labels in samples.labels]
        self._function, self._constant = _function_of(node)
        self._rank = node.parameter or 0.0
        self._sums = np.zeros(0)
        if self._function in _SUMS and _are_whole(samples.values):
            self._sums = np.zeros(len(samples.values) + 1)
            np.cumsum(samples.values, out=self._sums[1:])
            self._sums += 0.0  # a sum that begins with 0 is never -0

    def vectors(self, first: int, stop: int) -> Vectors:
        """Those of steps first..stop: a sample of each series that has some in its window, in order of labels."""
        shape = stop - first, len(self.labels)
        if not len(self.labels):
            # Steps may lie where no int64 is.
            return Vectors(np.zeros(shape[0] + 1, np.int64), np.zeros(0, np.int64), np.zeros(0))
        found, there = np.empty(shape, np.float64), np.empty(shape, np.bool_)
        samples, steps = self._samples, self._steps
        state = np.zeros(2, np.int64)
        more = True
        while more:
            self._check()
            more = kernels.fill_windows(
                self._function,
                self._rank,
                samples.ts,
                samples.values,
                self._sums,
                samples.bounds,
                steps.start + first * steps.step,
                steps.step,
                steps.width,
                _WORK,
                state,
                found,
                there,
            )
        if self._constant is not None:
            found[:] = self._constant
        bounds = bounds_of(np.count_nonzero(there, axis=1))
        return Vectors(bounds, np.nonzero(there)[1], found[there]).until_failure(self._failures)


def _function_of(node: RangeAggregation) -> tuple[int, float | None]:
    """The kernel's function of an aggregation; the value of all windows instead, if it does not depend on them."""
    rank = node.parameter or 0.0
    if node.op == "quantile_over_time" and not 0 <= rank <= 1:
        return kernels.COUNT, -np.inf if rank < 0 else np.inf
    return _FUNCTIONS[node.op], None


def _are_whole(values: F64) -> bool:
    """Whether all values are whole numbers whose sums are exact. Looks at some at a time: there may be millions."""
    total = 0.0
    for first in range(0, len(values), 1 << 16):
        some = values[first : first + (1 << 16)]
        with np.errstate(invalid="ignore"):
            if not (some == np.trunc(some)).all():
                return False
        total += float(np.abs(some).sum())
        if not total < _WHOLE:
            return False
    return True


def failure_of(labels: Labels) -> PipelineError | None:
    """The error of a series whose lines failed in the pipeline, unless the query itself speaks of `__error__`."""
    found = dict(labels)
    if ERROR not in found or PRESERVE_ERROR in found:
        return None
    return PipelineError(found[ERROR], labels_text(labels))


def _seconds(ns: int) -> float:
    whole, rest = divmod(ns, 1_000_000_000)
    return whole + rest / 1e9
