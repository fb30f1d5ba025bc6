"""When the streams of a tenant wrote: per day the first and the last time of each.

Any thread reads without a lock but for a moment: arrays that readers hold are replaced, or widened in place, never
resized.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from storage.arrival import Arrival
from storage.batch import I32, I64, Batch, Mask
from storage.kernels.arrival import widen_day
from storage.kernels.order import times_of_stretches

DAY = 86_400_000_000_000
"""ns of a day; days are numbered from the epoch."""
_MS = 1_000_000
_WAITING = 256
"""Streams new to a day that wait until they are sorted in, and at least so many; else a 16th of those that are there:
to sort in each push's would cost what the day has, at each push."""
_SIXTEENTH = 16
_FEW = 8
"""Streams asked for are looked up one by one if they are fewer than one in this many of the day's."""


@dataclass(frozen=True, slots=True, eq=False)
class DayBounds:
    """When the streams of one day wrote. `first` and `last` are widened in place as known streams write on.

    Attributes:
        streams: int32[k], stream numbers, ascending. The same array as long as no stream is added.
        first: int32[k], ms since the day began, rounded down.
        last: int32[k], ms since the day began, rounded up.
    """

    streams: I32
    first: I32
    last: I32


_NOTHING = DayBounds(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32))


@dataclass(slots=True, eq=False)
class _Day:
    """One day: what is sorted in, and what waits (each piece ascending and distinct) and how much that is."""

    bounds: DayBounds = _NOTHING
    waiting: list[DayBounds] | None = None
    count: int = 0


class Days:
    """The days of one tenant."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._days: dict[int, _Day] = {}

    def touch(self, streams: I32, ts: I64) -> None:
        """Notes that the streams wrote at `ts` (ns); both of length n, in any order."""
        if not len(ts):
            return
        number, low, high = np.empty(len(ts), np.int32), *np.empty((2, len(ts)), np.int64)
        count = times_of_stretches(streams, ts, number, low, high)
        number, low, high = number[:count], low[:count], high[:count]
        self._touch(number, low, high, (int(low.min()), int(high.max())), (streams, ts))

    def touch_stretches(self, arrival: Arrival, batch: Batch) -> None:
        """Notes that the rows of a batch came, of which `arrival` tells."""
        self._touch(arrival.streams, arrival.low, arrival.high, (arrival.first, arrival.last), (batch.stream, batch.ts))

    def _touch(self, number: I32, low: I64, high: I64, ends: tuple[int, int], rows: tuple[I32, I64]) -> None:
        """Notes rows: by their stretches where all are of one day."""
        first_day, last_day = ends[0] // DAY, ends[1] // DAY
        if first_day == last_day:
            self._touch_day(first_day, number, low, high)
            return
        streams, ts = rows
        days = ts // DAY
        for day in np.unique(days).tolist():
            at = days == day
            self._touch_day(day, streams[at], ts[at], ts[at])

    def _touch_day(self, day: int, streams: I32, low: I64, high: I64) -> None:
        begin = day * DAY
        with self._lock:
            found = self._days.setdefault(day, _Day())
            old = found.bounds
            if widen_day(old.streams, old.first, old.last, streams, low, high, begin):
                return
            first, last = ((low - begin) // _MS).astype(np.int32), (-((begin - high) // _MS)).astype(np.int32)
            piece = _distinct(streams, first, last)
            if found.waiting is None:
                found.waiting = []
            found.waiting.append(piece)
            found.count += len(piece.streams)
            if found.count >= max(_WAITING, len(old.streams) // _SIXTEENTH):
                _sort_in(found)

    def restart(self, day: int, streams: I32, low: I64, high: I64) -> None:
        """Makes a day anew of what is left of it: streams that wrote from `low` to `high` (ns, of it), in any order.

        For a moment at which nothing is noted.
        """
        begin = day * DAY
        first, last = ((low - begin) // _MS).astype(np.int32), (-((begin - high) // _MS)).astype(np.int32)
        with self._lock:
            if len(streams):
                self._days[day] = _Day(_distinct(streams, first, last))
            else:
                self._days.pop(day, None)

    def within(self, start: int, end: int) -> Iterator[tuple[int, DayBounds]]:
        """The days that start <= ts < end (ns) touches, with the number of each, as they stand."""
        for day, found in self._days.copy().items():
            if day * DAY < end and (day + 1) * DAY > start:
                if found.waiting:
                    with self._lock:
                        _sort_in(found)
                yield day, found.bounds

    def ends(self, among: I32) -> tuple[I64, I64]:
        """(int64[k], int64[k]): first and last times of streams (ascending), ns to the ms; last < first: none known."""
        first: I64 = np.full(len(among), np.iinfo(np.int64).max, np.int64)
        last: I64 = np.full(len(among), np.iinfo(np.int64).min, np.int64)
        for day, bounds in self.within(-(1 << 63), (1 << 63) - 1):
            places = _places(bounds.streams, among)
            if len(places):
                here = np.searchsorted(among, bounds.streams[places])
                begin = day * DAY
                first[here] = np.minimum(first[here], begin + bounds.first[places].astype(np.int64) * _MS)
                last[here] = np.maximum(last[here], begin + bounds.last[places].astype(np.int64) * _MS)
        return first, last

    def active(self, start: int, end: int, among: I32 | None = None, floor: I64 | None = None) -> I32:
        """Numbers of the streams that wrote within start <= ts < end (ns, to the millisecond), ascending.

        `among`, int32[k] ascending: only of these. `floor`, int64[streams], ns: what a stream wrote before
        does not count.
        """
        highest = start if floor is None or not len(floor) else int(floor.max())
        found = []
        for day, bounds in self.within(start, end):
            begin = day * DAY
            part = bounds if among is None else _taken(bounds, _places(bounds.streams, among))
            if floor is not None and begin < highest:
                part = _alive(part, floor, begin)
            if begin < start or begin + DAY > end:
                low, high = (start - begin) // _MS, -(-(end - begin) // _MS)
                found.append(part.streams[(part.last >= low) & (part.first < high)])
            else:
                found.append(part.streams)
        if not found:
            return np.zeros(0, np.int32)
        return found[0] if len(found) == 1 else np.unique(np.concatenate(found)).astype(np.int32)


def are_whole(start: int, end: int) -> bool:
    """Whether start <= ts < end (ns) is a number of whole days."""
    return start % DAY == 0 and end % DAY == 0


def _distinct(streams: I32, first: I32, last: I32) -> DayBounds:
    """Bounds of streams (in any order, some of them more than once)."""
    if len(streams) == 1:
        return DayBounds(streams.copy(), first, last)
    order = np.argsort(streams, kind="stable")
    ordered = streams[order]
    heads = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return DayBounds(ordered[heads], np.minimum.reduceat(first[order], heads), np.maximum.reduceat(last[order], heads))


def _sort_in(day: _Day) -> None:
    """Puts what waits among the others. The lock is held."""
    waiting, day.waiting, day.count = day.waiting or [], None, 0
    if not waiting:
        return
    new = _distinct(
        np.concatenate([piece.streams for piece in waiting]),
        np.concatenate([piece.first for piece in waiting]),
        np.concatenate([piece.last for piece in waiting]),
    )
    old = day.bounds
    at = np.searchsorted(old.streams, new.streams)
    known = at < len(old.streams)
    known[known] = old.streams[at[known]] == new.streams[known]
    old.first[at[known]] = np.minimum(old.first[at[known]], new.first[known])
    old.last[at[known]] = np.maximum(old.last[at[known]], new.last[known])
    if not known.all():
        at, more = at[~known], _taken(new, np.flatnonzero(~known))
        day.bounds = DayBounds(
            np.insert(old.streams, at, more.streams),
            np.insert(old.first, at, more.first),
            np.insert(old.last, at, more.last),
        )


def _alive(bounds: DayBounds, floor: I64, begin: int) -> DayBounds:
    """The streams of a day that begins at `begin` (ns) of which something is not older than their floor."""
    known = bounds.streams[: np.searchsorted(bounds.streams, len(floor))]
    low = np.maximum(floor[known], begin) - begin
    return _taken(bounds, np.flatnonzero(bounds.last[: len(known)] >= low // _MS))


def _taken(bounds: DayBounds, places: I64) -> DayBounds:
    return DayBounds(bounds.streams[places], bounds.first[places], bounds.last[places])


def _places(streams: I32, among: I32) -> I64:
    """Where in `streams` those stand that are in `among`; both ascending."""
    if not len(streams) or not len(among):
        return np.zeros(0, np.int64)
    if len(among) * _FEW < len(streams):
        at: I64 = np.searchsorted(streams, among)
        at = at[: np.searchsorted(at, len(streams))]
        found: I64 = at[streams[at] == among[: len(at)]]
        return found
    wanted: Mask = np.zeros(max(int(among[-1]), int(streams[-1])) + 1, np.bool_)
    wanted[among] = True
    return np.flatnonzero(wanted[streams])
