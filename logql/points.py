"""Points of a range query's answer, collected from vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logql.budget import POINT, Budget
from logql.limits import MetricLimits, check_series, partial_warning
from logql.metric_result import Series
from logql.vectors import F64, Vectors
from storage.batch import I32, I64, Labels

MS = 1_000_000
"""ns of a millisecond: results, and steps, have no finer time."""


def cut(limits: MetricLimits) -> tuple[str, ...]:
    """The warnings of an answer that leaves series out.

    Raises:
        LimitError: this tenant, or this query, wants none left out.
    """
    if not limits.partial:
        check_series(limits.max_series + 1, limits.max_series)
    return (partial_warning(limits.max_series),)


class Points:
    """The points of an answer, of as many series as it may have: those that come first.

    Attributes:
        warnings: what the answer says that is not all of it.
    """

    def __init__(self, limits: MetricLimits, budget: Budget) -> None:
        self._limits = limits
        self._budget = budget
        self._kept = np.zeros(0, np.bool_)
        self._count = 0
        self._series: list[I32] = []
        self._steps: list[I32] = []
        self._values: list[F64] = []
        self.warnings: tuple[str, ...] = ()

    def add(self, vectors: Vectors, first: int) -> None:
        """Adds the vectors of the steps from `first` on.

        Raises:
            LimitError: there are too many series, or the points do not fit in the query's memory.
        """
        series, steps, values = vectors.series, vectors.step_of(), vectors.values
        if not self._keep(series):
            kept = self._kept[series]
            series, steps, values = series[kept], steps[kept], values[kept]
        self._budget.take(len(series) * POINT)
        self._series.append(series.astype(np.int32))
        self._steps.append((steps + first).astype(np.int32))
        self._values.append(values)

    def _keep(self, series: I64) -> bool:
        """Keeps series as long as there may be more, in the order in which they come; whether all given are kept."""
        size = int(series.max(initial=-1)) + 1
        if size > len(self._kept):
            self._kept = np.concatenate([self._kept, np.zeros(size - len(self._kept), np.bool_)])
        new = series[~self._kept[series]]
        if not len(new):
            return True
        numbers, places = np.unique(new, return_index=True)
        numbers = numbers[np.argsort(places)]
        room = self._limits.max_series - self._count
        if len(numbers) > room:
            self.warnings = cut(self._limits)
        self._kept[numbers[:room]] = True
        self._count += len(numbers[:room])
        return len(numbers) <= room

    def series(self, labels: Sequence[Labels], start: int, step: int) -> tuple[Series, ...]:
        """The series, sorted by labels.

        Args:
            labels: of each number.
            start: ns, of the first step.
            step: ns between two.
        """
        if not self._series:
            return ()
        numbers = np.concatenate(self._series)
        order = np.argsort(numbers, kind="stable")
        # A step's place fits an int32, its time does not.
        times = (start + np.concatenate(self._steps)[order].astype(np.int64) * step) // MS
        ts, values = times.tolist(), np.concatenate(self._values)[order].tolist()
        ends = np.cumsum(np.bincount(numbers)).tolist()
        found = [
            Series(labels[number], tuple(ts[begin:end]), tuple(values[begin:end]))
            for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False))
            if begin < end
        ]
        return tuple(sorted(found, key=lambda one: one.labels))
