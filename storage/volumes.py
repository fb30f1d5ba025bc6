"""How many bytes streams wrote in stretches of time, told from footers and from counters of memory.

Loki's rule (recorded): of a chunk, the share of its bytes that the time asked for covers of the time between its first
and its last row, rounded down. Weir's chunk is a cell, all that a stream wrote in an hour, wherever it lies: so the
answer is the same in memory and in blocks of any cut. What a stream has in several hours is rounded down once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.batch import I32, I64, Labels, Mask
from storage.cells import F64, HOUR, Cells
from storage.labels import labels_text
from storage.streams import StreamTable

MS = 1_000_000
SECOND = 1000 * MS


class VolumeSeriesLimit(Exception):  # noqa: N818 - named for what happened
    """More series than an answer about volume may have been added up for; `limit` of them may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the query hit the max number of series limit (limit: {limit} series)")
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Grouping:
    """What bytes are added up by, and how much of that is wanted.

    Attributes:
        names: labels of a series; streams without one of them are left out if `required`. None: all labels.
        required: whether a stream must have all `names`.
        by_label: a series for each label name instead of each label set.
        limit: series at most, those with most bytes.
        most: series that may be added up before that; 0: any number.
    """

    names: tuple[str, ...] | None = None
    required: bool = False
    by_label: bool = False
    limit: int = 100
    most: int = 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of time.

    Attributes:
        start, end: ns, both included.
        stamp: ns, the time that it is shown under.
    """

    start: int
    end: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Volume:
    """Bytes in one bucket; `series`: those with most first, then by their texts."""

    stamp: int
    series: tuple[tuple[Labels, int], ...]


def whole(start: int, end: int) -> Iterator[Bucket]:
    """One bucket of all of start <= ts <= end (ns)."""
    yield Bucket(start, end, end)


def buckets(start: int, end: int, step: int) -> Iterator[Bucket]:
    """The buckets of a range, cut at multiples of `step` (all ns, at least 1 ms).

    Each is shown under its last ms. The last second of all but the last does not count, as in Loki (recorded), where a
    step has more than that.
    """
    at = start
    while True:
        stop = (at // step + 1) * step
        if stop >= end:
            yield Bucket(at, end, end)
            return
        last = stop - MS
        yield Bucket(at, last // SECOND * SECOND if step >= SECOND else last, last)
        at = stop


def volumes(cells: Cells, table: StreamTable, parts: Iterable[Bucket], grouping: Grouping) -> Iterator[Volume]:
    """The bytes of cells in each of some buckets, ascending; buckets of which no cell has anything are left out.

    Raises:
        VolumeSeriesLimit: there are more series than may be.
    """
    hours = cells.low // HOUR  # ascending
    if not len(cells):
        return
    streams, local = np.unique(cells.stream, return_inverse=True)
    groups = _Groups(table, streams.astype(np.int32), grouping)
    first, last = int(cells.low.min()), int(cells.high.max())
    for part in parts:
        if part.end < first or part.start > last:
            continue
        low, high = np.searchsorted(hours, [part.start // HOUR, part.end // HOUR + 1]).tolist()
        here = slice(low, high)
        touched, size = covered(cells, here, part.start, part.end)
        if not touched.any():
            continue
        owner = local[here][touched]
        sums = np.floor(np.bincount(owner, size[touched], len(streams)))
        seen = np.flatnonzero(np.bincount(owner, minlength=len(streams)))
        yield Volume(part.stamp, tuple(groups.best(seen, sums[seen])))


def covered(cells: Cells, here: slice, start: int, end: int) -> tuple[Mask, F64]:
    """(whether cells touch start <= ts <= end (ns), their bytes in it)."""
    low, high, size = cells.low[here], cells.high[here], cells.size[here]
    span = high - low
    inside = np.minimum(high, end) - np.maximum(low, start)
    return inside >= 0, np.where(inside == span, size, size * inside / np.maximum(span, 1))


class _Groups:
    """Streams, by the series that they count for."""

    def __init__(self, table: StreamTable, streams: I32, grouping: Grouping) -> None:
        self._table = table
        self._streams = streams
        self._grouping = grouping
        self._wanted: I64 = np.arange(len(streams))
        names = grouping.names
        codes = [] if names is None else [table.values_of(name, streams) for name in names]
        if grouping.required and names:
            self._wanted = np.flatnonzero(np.all(np.array(codes) >= 0, axis=0))
        self._group: I64 = np.arange(len(streams)) if names is None else _numbered(codes, len(streams))
        self._places: I64 = np.zeros(len(streams), np.int64)
        """A stream of each group."""
        self._known: dict[int, tuple[str, Labels]] = {}
        if grouping.by_label:
            owners, numbers = table.names_of(streams)
            if names is not None:
                kept = np.isin(
                    numbers, [number for number in np.unique(numbers).tolist() if table.name(number) in names]
                )
                owners, numbers = owners[kept], numbers[kept]
            self._owners, self._numbers = owners, numbers

    def best(self, seen: I64, sizes: F64) -> list[tuple[Labels, int]]:
        """The series with most bytes, of streams `seen` (places, ascending) with so many bytes each.

        Raises VolumeSeriesLimit.
        """
        own: F64 = np.full(len(self._streams), np.nan)
        own[seen] = sizes
        chosen = self._wanted[~np.isnan(own[self._wanted])]
        if self._grouping.by_label:
            is_chosen = np.zeros(len(own), np.bool_)
            is_chosen[chosen] = True
            some = is_chosen[self._owners]
            labels, weights = self._numbers[some].astype(np.int64), own[self._owners[some]]
        else:
            labels, weights = self._group[chosen], own[chosen]
        if not len(labels):
            return []
        sums = np.bincount(labels, weights)
        present = np.flatnonzero(np.bincount(labels))
        if self._grouping.most and len(present) > self._grouping.most:
            raise VolumeSeriesLimit(self._grouping.most)
        if not self._grouping.by_label:
            self._places[labels] = chosen
        named = [(-int(sums[number]), *self._named(number)) for number in _largest(present, sums, self._grouping.limit)]
        return [(found, -size) for size, _, found in sorted(named)[: self._grouping.limit]]

    def _named(self, number: int) -> tuple[str, Labels]:
        """The text and the labels of a series."""
        known = self._known.get(number)
        if known is None:
            if self._grouping.by_label:
                name = self._table.name(number)
                known = name, ((name, ""),)
            else:
                labels = self._labels(int(self._places[number]))
                known = labels_text(labels), labels
            self._known[number] = known
        return known

    def _labels(self, place: int) -> Labels:
        """The labels of the series that the stream at `place` counts for."""
        labels = self._table[int(self._streams[place])]
        names = self._grouping.names
        return labels if names is None else tuple([pair for pair in labels if pair[0] in names])


def _order(series: tuple[Labels, int]) -> tuple[int, str]:
    labels, size = series
    return -size, labels[0][0] if len(labels) == 1 and not labels[0][1] else labels_text(labels)


def _largest(present: I64, sums: NDArray[np.generic], limit: int) -> list[int]:
    """The `limit` numbers with the largest sums, and those that are equal to the last of them."""
    if len(present) > limit:
        sizes = sums[present]
        least = np.partition(sizes, len(sizes) - limit)[len(sizes) - limit]
        present = present[sizes >= least]
    return [int(number) for number in present.tolist()]


def _numbered(codes: Sequence[I32], count: int) -> I64:
    """int64[count], a number for each distinct row of some columns."""
    found: I64 = np.zeros(count, np.int64)
    for column in codes:
        found = np.unique(found * (int(column.max(initial=0)) + 2) + column, return_inverse=True)[1]
    return found


def merged(parts: Iterable[Sequence[Volume]], limit: int) -> list[Volume]:
    """Volumes of several tenants as one: what has the same labels is added up."""
    stamps: dict[int, dict[Labels, int]] = {}
    for part in parts:
        for volume in part:
            sums = stamps.setdefault(volume.stamp, {})
            for labels, size in volume.series:
                sums[labels] = sums.get(labels, 0) + size
    return [Volume(stamp, tuple(sorted(stamps[stamp].items(), key=_order)[:limit])) for stamp in sorted(stamps)]
