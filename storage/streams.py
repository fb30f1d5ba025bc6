"""A tenant's stream table and labels index: label sets <-> stream numbers, matchers -> streams, streams per day.

Stream numbers live as long as the process; on disk a stream is its id and its label set. One thread adds streams
(the writer); any thread reads, without a lock: arrays that readers hold are replaced, never resized.
"""

from __future__ import annotations

import sys
import threading
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np
import re2
from numpy.typing import NDArray

from storage.arrival import Arrival
from storage.batch import I32, I64, Batch, Labels, Mask
from storage.errors import CorruptCatalog
from storage.kernels.arrival import widen_day
from storage.kernels.order import times_of_stretches
from storage.labels import labels_id, salted_id
from storage.rows import spans

DAY = 86_400_000_000_000
"""ns of a day; days are numbered from the epoch."""
_MS = 1_000_000
_CACHE = 16_384
"""Label sets whose number is kept by Python's hash of the set (and checked): those of one process' streams come again
and again, and a miss costs some µs."""
_RECENT = 2_048
"""Label sets that are kept themselves with their number: most pushes name few, and doors hand on one object a set."""


class LabelMatcher(Protocol):
    """A matcher as logql.source.Matcher states it."""

    @property
    def name(self) -> str:
        """The label's name."""

    @property
    def op(self) -> str:
        """One of = != =~ !~."""

    @property
    def value(self) -> str:
        """A literal or a regex."""


@dataclass(frozen=True, slots=True, eq=False)
class DayBounds:
    """When the streams of one day wrote. `first` and `last` are widened in place as known streams write on.

    Attributes:
        streams: int32[k], stream numbers, ascending.
        first: int32[k], ms since the day began, rounded down.
        last: int32[k], ms since the day began, rounded up.
    """

    streams: I32
    first: I32
    last: I32


def _copied(values: array[int], dtype: Any) -> NDArray[Any]:
    """A copy. numpy reads an array without the GIL, and one that is being read cannot grow: the writer would fail."""
    return np.frombuffer(values.tobytes(), dtype)


class StreamTable(Sequence[Labels]):
    """Streams of one tenant, numbered from 0 in order of appearance."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: dict[Labels, int] = {}
        self._cache: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        # Streams with a salted id. They are found here even where the set that has their plain id is not known.
        self._odd: dict[Labels, int] = {}
        self._ids = np.zeros(64, np.uint64)
        self._count = 0
        # The label set of stream s is the pairs _codes[_starts[s]:_starts[s + 1]].
        self._codes = array("i")
        self._starts = array("q", [0])
        self._label_sizes = array("i")
        self._pair_names: list[str] = []
        self._pair_values: list[str] = []
        self._postings: list[int | array[int]] = []
        self._names: dict[str, dict[str, int]] = {}
        self._days: dict[int, DayBounds] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> Labels: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Labels]: ...
    def __getitem__(self, number: int | slice) -> Labels | Sequence[Labels]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(self._count))]
        if not 0 <= number < self._count:
            raise IndexError(number)
        codes = self._codes[self._starts[number] : self._starts[number + 1]]
        names, values = self._pair_names, self._pair_values
        return tuple([(names[code], values[code]) for code in codes])

    @property
    def ids(self) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        """uint64[n], stream number -> stable id."""
        return self._ids[: self._count]

    def intern(self, labels: Labels) -> int:
        """The number of a label set; a new one if it was never seen."""
        recent = self._recent.get(labels)
        if recent is not None:
            return recent
        number = self._number(labels)
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        self._recent[labels] = number
        return number

    def _number(self, labels: Labels) -> int:
        key = hash(labels)
        number = self._cache.get(key)
        if number is not None and self[number] == labels:
            return number
        with self._lock:
            number = self._find_or_add(labels)
            if len(self._cache) >= _CACHE:
                self._cache.clear()
            self._cache[key] = number
        return number

    def restore(self, labels: Labels, stream_id: int) -> int:
        """The number of a stream read from disk, where its id (perhaps a salted one) is on record.

        Raises CorruptCatalog if another label set has the id.
        """
        with self._lock:
            number = self._numbers.get(stream_id)
            if number is None:
                number = self._add(labels, stream_id)
                if stream_id != labels_id(labels):
                    self._odd[labels] = number
            elif self[number] != labels:
                raise CorruptCatalog(f"stream id {stream_id:016x} stands for two label sets")
            return number

    def numbers(self, ids: np.ndarray) -> I32:
        """int32[k], the numbers of streams given by id (uint64[k]). Raises KeyError for an id that is not here."""
        return np.fromiter((self._numbers[number] for number in ids.tolist()), np.int32, len(ids))

    def _find_or_add(self, labels: Labels) -> int:
        known = self._odd.get(labels)
        if known is not None:
            return known
        stream_id, salt = labels_id(labels), 0
        while (number := self._numbers.get(stream_id)) is not None:
            if self[number] == labels:
                return number
            salt += 1
            stream_id = salted_id(labels, salt)
        number = self._add(labels, stream_id)
        if salt:
            self._odd[labels] = number
        return number

    def _add(self, labels: Labels, stream_id: int) -> int:
        number = self._count
        for name, value in labels:
            values = self._names.setdefault(name, {})
            code = values.get(value)
            if code is None:
                code = len(self._pair_values)
                self._pair_names.append(sys.intern(name))  # one object a name, not one a push
                self._pair_values.append(value)
                self._postings.append(number)
                values[value] = code
            else:
                posting = self._postings[code]
                if isinstance(posting, int):
                    self._postings[code] = array("i", (posting, number))
                else:
                    posting.append(number)
            self._codes.append(code)
        self._starts.append(len(self._codes))
        self._label_sizes.append(sum(len(text.encode("utf-8", "surrogateescape")) for pair in labels for text in pair))
        if number == len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros(len(self._ids), np.uint64)])
        self._ids[number] = stream_id
        self._numbers[stream_id] = number
        self._count = number + 1
        return number

    def label_bytes(self, streams: Mask) -> int:
        """Bytes of the label names and values of the streams marked in bool[any length]."""
        sizes = _copied(self._label_sizes, np.int32)
        count = min(len(sizes), len(streams))
        return int(sizes[:count][streams[:count]].sum())

    # -- selection

    def select(self, matchers: Iterable[LabelMatcher]) -> I32:
        """Numbers of the streams that all matchers accept, ascending.

        A stream without the label counts as having "". Regexes are RE2, anchored at both ends, and run once per
        distinct value of their label. Raises re2.error for a regex that does not compile.
        """
        count = self._count
        accepted: Mask = np.ones(count, np.bool_)
        for matcher in matchers:
            accepted &= self._matches(matcher, count)
        return np.flatnonzero(accepted).astype(np.int32)

    def _matches(self, matcher: LabelMatcher, count: int) -> Mask:
        values = self._names.get(matcher.name, {})
        if matcher.op in ("=", "!="):
            codes = [values[matcher.value]] if matcher.value in values else []
            matches_empty = matcher.value == ""
        else:
            regex = re2.compile(f"^(?s:{matcher.value})$")
            codes = [code for value, code in list(values.items()) if regex.match(value)]
            matches_empty = regex.match("") is not None
        mask = self._having(codes, count)
        if matches_empty:
            mask |= ~self._having(list(values.values()), count)
        return mask if matcher.op in ("=", "=~") else ~mask

    def _having(self, codes: Iterable[int], count: int) -> Mask:
        mask: Mask = np.zeros(count, np.bool_)
        for code in codes:
            posting = self._postings[code]
            if isinstance(posting, int):
                if posting < count:
                    mask[posting] = True
            else:
                numbers = _copied(posting, np.int32)
                mask[numbers[numbers < count]] = True
        return mask

    def label_names(self, streams: I32) -> list[str]:
        """Names of the labels of the given streams, sorted."""
        return sorted({self._pair_names[code] for code in self._codes_of(streams)})

    def label_values(self, name: str, streams: I32) -> list[str]:
        """Values of the label `name` on the given streams, sorted."""
        codes = self._codes_of(streams)
        return sorted({self._pair_values[code] for code in codes if self._pair_names[code] == name})

    def _codes_of(self, streams: I32) -> list[int]:
        if not len(streams):
            return []
        starts = _copied(self._starts, np.int64)
        codes = _copied(self._codes, np.int32)
        wanted = codes[spans(starts[streams], starts[streams + 1] - starts[streams])]
        return [int(code) for code in np.unique(wanted)]

    # -- time

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
            old = self._days.get(day)
            if old is not None and widen_day(old.streams, old.first, old.last, streams, low, high, begin):
                return
        first, last = ((low - begin) // _MS).astype(np.int32), (-((begin - high) // _MS)).astype(np.int32)
        numbers, inverse = np.unique(streams, return_inverse=True)
        firsts = np.full(len(numbers), np.iinfo(np.int32).max, np.int32)
        lasts = np.full(len(numbers), -1, np.int32)
        np.minimum.at(firsts, inverse, first)
        np.maximum.at(lasts, inverse, last)
        self.merge_day(day, DayBounds(numbers.astype(np.int32), firsts, lasts))

    def merge_day(self, day: int, bounds: DayBounds) -> None:
        """Widens a day's bounds by those of some of its streams."""
        with self._lock:
            old = self._days.get(day)
            if old is None:
                self._days[day] = bounds
                return
            at = np.searchsorted(old.streams, bounds.streams)
            known = at < len(old.streams)
            known[known] = old.streams[at[known]] == bounds.streams[known]
            if known.all():
                inside = (bounds.first >= old.first[at]) & (bounds.last <= old.last[at])
                if inside.all():
                    return
                first, last = old.first.copy(), old.last.copy()
                first[at] = np.minimum(first[at], bounds.first)
                last[at] = np.maximum(last[at], bounds.last)
                self._days[day] = DayBounds(old.streams, first, last)
                return
            streams = np.union1d(old.streams, bounds.streams).astype(np.int32)
            first = np.full(len(streams), np.iinfo(np.int32).max, np.int32)
            last = np.full(len(streams), -1, np.int32)
            for part in (old, bounds):
                where = np.searchsorted(streams, part.streams)
                first[where] = np.minimum(first[where], part.first)
                last[where] = np.maximum(last[where], part.last)
            self._days[day] = DayBounds(streams, first, last)

    def active(self, start: int, end: int) -> I32:
        """Numbers of the streams that wrote within start <= ts < end (ns, to the millisecond), ascending."""
        found = []
        for day, bounds in list(self._days.items()):
            begin = day * DAY
            if begin >= end or begin + DAY <= start:
                continue
            low = (start - begin) // _MS
            high = -(-(end - begin) // _MS)
            found.append(bounds.streams[(bounds.last >= low) & (bounds.first < high)])
        if not found:
            return np.zeros(0, np.int32)
        return found[0] if len(found) == 1 else np.unique(np.concatenate(found)).astype(np.int32)
