"""Samples of a query in columns: collected as they come, put in order once all are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from logql.budget import SAMPLE, Budget
from logql.kernels.samples import find_places, find_unordered, sort_series
from storage.batch import I32, I64, Labels

F64: TypeAlias = NDArray[np.float64]
U64: TypeAlias = NDArray[np.uint64]

_MOVED = 8
"""Bytes of a sample besides SAMPLE while columns are moved one after the other."""

_SORTED = 24
"""Bytes of a sample besides SAMPLE while its series is sorted: time, stream id and value once more."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleSeries:
    """The samples of one label set.

    Attributes:
        ts: int64[n], ns, in (ts, stream id, arrival) order.
        values: float64[n].
    """

    ts: I64
    values: F64


@dataclass(frozen=True, slots=True, eq=False)
class SampleColumns:
    """The samples of all label sets, one series after the other.

    Attributes:
        labels: of each series, ascending.
        bounds: int64[series + 1], where the samples of each begin.
        ts: int64[n], ns; those of a series in (ts, stream id, arrival) order.
        values: float64[n].
    """

    labels: Sequence[Labels]
    bounds: I64
    ts: I64
    values: F64

    def series(self) -> dict[Labels, SampleSeries]:
        """Each series by its labels, as views."""
        bounds = self.bounds.tolist()
        return {
            labels: SampleSeries(self.ts[first:stop], self.values[first:stop])
            for labels, first, stop in zip(self.labels, bounds[:-1], bounds[1:], strict=True)
        }


class SampleCollector:
    """Takes samples of any series, unit by unit. Safe for the threads that work on one query.

    What it holds is counted in the query's budget before it is kept, and stays counted: the query needs it to the end.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._lock = Lock()
        self._parts: list[_Part] = []

    def add(self, series: I32, ts: I64, stream: U64, arrival: int, values: F64) -> None:
        """Adds m samples; they are not written to after that.

        Args:
            series: int32[m], the number of each one's series.
            ts: int64[m], ns.
            stream: uint64[m], stream ids.
            arrival: of the unit that they are of. Samples of one unit, stream and time come in their order, in one
                call or several.
            values: float64[m].

        Raises:
            LimitError: they do not fit in the query's memory.
        """
        if not len(ts):
            return
        self._budget.take(len(ts) * SAMPLE)
        part = _Part(arrival, len(ts), [_owned(series)], [_owned(ts)], [_owned(stream)], [_owned(values)])
        with self._lock:
            self._parts.append(part)

    def in_order(self, labels: Sequence[Labels]) -> SampleColumns:
        """All samples, which the collector gives up.

        Args:
            labels: of each number.

        Raises:
            LimitError: there is no memory to put them in order.
        """
        parts, self._parts = sorted(self._parts, key=lambda part: part.arrival), []
        counts = np.zeros(len(labels), np.int64)
        for part in parts:
            counts += np.bincount(part.series[0], minlength=len(labels))
        used = [number for number, count in enumerate(counts.tolist()) if count]
        used.sort(key=labels.__getitem__)
        bounds = np.zeros(len(used) + 1, np.int64)
        np.cumsum(counts[used], out=bounds[1:])
        next_place = np.zeros(len(labels), np.int64)
        next_place[used] = bounds[:-1]
        with self._budget.holding(int(bounds[-1]) * _MOVED):
            ts, stream, values = _moved(parts, next_place, int(bounds[-1]))
        self._sort(bounds, ts, stream, values)
        return SampleColumns([labels[number] for number in used], bounds, ts, values)

    def _sort(self, bounds: I64, ts: I64, stream: U64, values: F64) -> None:
        unordered = np.empty(len(bounds) - 1, np.bool_)
        room = int(find_unordered(bounds, ts, stream, unordered))
        if not room:
            return
        with self._budget.holding(room * _SORTED):
            spare = np.empty(room, np.int64), np.empty(room, np.uint64), np.empty(room, np.float64)
            sort_series(bounds, unordered, ts, stream, values, *spare)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Samples of one unit. Each column is the one item of a list, from which it is taken when it is done with."""

    arrival: int
    size: int
    series: list[I32]
    ts: list[I64]
    stream: list[U64]
    values: list[F64]


Number = TypeVar("Number", bound=np.generic)


def _owned(column: NDArray[Number]) -> NDArray[Number]:
    """The column, alone in its memory: a part of a larger one would keep all of that."""
    return np.ascontiguousarray(column) if column.base is None else column.copy()


def _moved(parts: Sequence[_Part], next_place: I64, size: int) -> tuple[I64, U64, F64]:
    """The columns with the samples of each series together, by arrival. Takes them out of the parts as it goes."""
    places = []
    for part in parts:
        place = np.empty(part.size, np.uint32)
        find_places(part.series.pop(), next_place, place)
        places.append(place)
    ts = np.empty(size, np.int64)
    for part, place in zip(parts, places, strict=True):
        ts[place] = part.ts.pop()
    stream = np.empty(size, np.uint64)
    for part, place in zip(parts, places, strict=True):
        stream[place] = part.stream.pop()
    values = np.empty(size, np.float64)
    for part, place in zip(parts, places, strict=True):
        values[place] = part.values.pop()
    return ts, stream, values
