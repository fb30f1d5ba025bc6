"""A tenant's stream table and labels index: label sets <-> stream numbers, matchers -> streams, streams -> labels.

Stream numbers live as long as the process; on disk a stream is its id and its label set. One thread adds streams
(the writer); any thread reads, without a lock: arrays that readers hold are replaced, never resized. Which streams
wrote on which day is in `days`.
"""

from __future__ import annotations

import heapq
import re
import threading
import time
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, overload

import numpy as np
import re2
from numpy.typing import NDArray

from storage.arrival import Arrival
from storage.batch import I32, I64, Batch, Labels, Mask
from storage.days import DAY, Days, are_whole
from storage.errors import CorruptCatalog
from storage.growing import Growing
from storage.kernels.labels import mark_pairs, mark_streams
from storage.labels import labels_id, quote, salted_id

__all__ = ["DAY", "LabelMatcher", "StreamTable"]

_CACHE = 16_384
"""Label sets whose number is kept by Python's hash of the set (and checked): those of one process' streams come again
and again, and a miss costs some µs."""
_RECENT = 2_048
"""Label sets that are kept themselves with their number: most pushes name few, and doors hand on one object a set."""
_FEW_VALUES = 64
"""Values up to which their streams are looked up one list after the other; of more, all streams are looked through."""
_DAYS_KEPT = 8 << 20
"""Bytes of the labels of days that are kept for the next question about a whole day."""
_LITERALS = re.compile(r"[^\\.+*?()\[\]{}^$]*")
"""A regex that is one text or several with | between them: dashboards ask with these, and they need no regex."""


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
class _Seen:
    """Labels of some streams: bool[pairs] and bool[names], as many as there were of each; streams: of whom."""

    pairs: Mask
    names: Mask
    streams: I32 | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Name:
    """A label name: its number, and the pair of each of its values."""

    number: int
    values: dict[str, int]


class StreamTable(Sequence[Labels]):
    """Streams of one tenant, numbered from 0 in order of appearance."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: dict[Labels, int] = {}
        self._cache: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        # Streams with a salted id. They are found here even where the set that has their plain id is not known.
        self._odd: dict[Labels, int] = {}
        self._ids = Growing(np.uint64)
        self._count = 0
        # The label set of stream s is the pairs _codes[_starts[s]:_starts[s + 1]].
        self._codes = Growing(np.int32)
        self._starts = Growing(np.int64, [0])
        self._label_sizes = Growing(np.int32)
        self._pair_values: list[str] = []
        self._name_of = Growing(np.int32)
        self._postings: list[int | array[int]] = []
        self._names: dict[str, _Name] = {}
        self._name_list: list[str] = []
        self._days = Days()
        self._arrived: I64 = np.zeros(0, np.int64)
        self._day_labels: dict[int, _Seen] = {}

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
        starts = self._starts.view
        codes = self._codes.view[starts[number] : starts[number + 1]]
        names, values = self._name_list, self._pair_values
        name_of = self._name_of.view[codes].tolist()
        return tuple([(names[name], values[code]) for name, code in zip(name_of, codes.tolist(), strict=True)])

    @property
    def ids(self) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        """uint64[n], stream number -> stable id."""
        return self._ids.view[: self._count]

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
        codes = [self._pair(name, value, number) for name, value in labels]
        self._codes.extend(codes)
        self._starts.append(len(self._codes))
        self._label_sizes.append(sum(len(text.encode("utf-8", "surrogateescape")) for pair in labels for text in pair))
        self._ids.append(stream_id)
        self._numbers[stream_id] = number
        self._count = number + 1
        return number

    def _pair(self, name: str, value: str, stream: int) -> int:
        """The pair of a name and a value, which a stream that is being added has."""
        known = self._names.get(name)
        if known is None:
            known = _Name(len(self._names), {})
            self._name_list.append(name)
            self._names[name] = known
        code = known.values.get(value)
        if code is not None:
            posting = self._postings[code]
            if isinstance(posting, int):
                self._postings[code] = array("i", (posting, stream))
            else:
                posting.append(stream)
            return code
        code = len(self._pair_values)
        self._pair_values.append(value)
        self._postings.append(stream)
        self._name_of.append(known.number)
        known.values[value] = code
        return code

    def label_bytes(self, streams: Mask) -> int:
        """Bytes of the label names and values of the streams marked in bool[any length]."""
        sizes = self._label_sizes.view
        count = min(len(sizes), len(streams))
        return int(sizes[:count][streams[:count]].sum())

    @property
    def pair_count(self) -> int:
        """Distinct label pairs that were ever seen."""
        return len(self._pair_values)

    def cardinality(self, most: int) -> list[tuple[str, int]]:
        """(label name, distinct values of it that were ever seen), at most so many, those with most values first."""
        counts = [(name, len(known.values)) for name, known in self._names.copy().items()]
        return heapq.nsmallest(most, counts, key=lambda item: (-item[1], item[0]))

    # -- selection

    def select(self, matchers: Iterable[LabelMatcher]) -> I32:
        """Numbers of the streams that all matchers accept, ascending; see `accepted`."""
        return np.flatnonzero(self.accepted(matchers)).astype(np.int32)

    def accepted(self, matchers: Iterable[LabelMatcher]) -> Mask:
        """bool[streams], those that all matchers accept.

        A stream without the label counts as having "". Regexes are RE2, anchored at both ends, and run once per
        distinct value of their label. Raises re2.error for a regex that does not compile.
        """
        count = self._count
        accepted: Mask = np.ones(count, np.bool_)
        for matcher in matchers:
            accepted &= self._matches(matcher, count)
        return accepted

    def _matches(self, matcher: LabelMatcher, count: int) -> Mask:
        known = self._names.get(matcher.name)
        values = {} if known is None else known.values
        texts = _literals(matcher)
        # A dict that may grow meanwhile is copied to be gone through: making a list of its items can be interrupted.
        if texts is None:
            regex = re2.compile(f"^(?s:{matcher.value})$")
            codes = [code for value, code in values.copy().items() if regex.match(value)]
            matches_empty = regex.match("") is not None
        else:
            codes = [values[text] for text in texts if text in values]
            matches_empty = "" in texts
        mask = self._having(codes, count)
        if matches_empty:
            mask |= ~self._named(known, count)
        return mask if matcher.op in ("=", "=~") else ~mask

    def _having(self, codes: Sequence[int], count: int) -> Mask:
        mask: Mask = np.zeros(count, np.bool_)
        if len(codes) > _FEW_VALUES:
            wanted: Mask = np.zeros(max(codes) + 1, np.bool_)
            wanted[codes] = True
            mark_streams(self._starts.view, self._codes.view, wanted, mask)
            return mask
        for code in codes:
            posting = self._postings[code]
            if isinstance(posting, int):
                if posting < count:
                    mask[posting] = True
            else:
                # A copy: numpy reads an array without the GIL, and one that is being read cannot grow.
                numbers = np.frombuffer(posting.tobytes(), np.int32)
                mask[numbers[numbers < count]] = True
        return mask

    def _named(self, name: _Name | None, count: int) -> Mask:
        """bool[count], the streams that have a label of that name."""
        if name is None or len(name.values) <= _FEW_VALUES:
            return self._having([] if name is None else list(name.values.values()), count)
        mask: Mask = np.zeros(count, np.bool_)
        mark_streams(self._starts.view, self._codes.view, self._name_of.view == name.number, mask)
        return mask

    def matching(self, matchers: Sequence[LabelMatcher], start: int, end: int, floor: I64 | None = None) -> I32:
        """Numbers of the streams that all matchers accept and that wrote within start <= ts < end (ns), ascending.

        `floor`, int64[streams], ns: what a stream wrote before does not count.

        Raises re2.error as `accepted` does.
        """
        return self._days.active(start, end, self.select(matchers) if matchers else None, floor)

    def label_names(
        self, matchers: Sequence[LabelMatcher], start: int, end: int, floor: I64 | None = None
    ) -> list[str]:
        """Names of the labels of the streams of `matching`, sorted."""
        marked = np.flatnonzero(self._seen(matchers, start, end, floor).names).tolist()
        return sorted([self._name_list[number] for number in marked])

    def label_values(
        self, name: str, matchers: Sequence[LabelMatcher], start: int, end: int, floor: I64 | None = None
    ) -> list[str]:
        """Values of the label `name` on the streams of `matching`, sorted."""
        known = self._names.get(name)
        if known is None:
            return []
        marks = self._seen(matchers, start, end, floor).pairs.tobytes()
        count = len(marks)  # pairs that came since are not asked for
        return sorted([value for value, code in known.values.copy().items() if code < count and marks[code]])

    def _seen(self, matchers: Sequence[LabelMatcher], start: int, end: int, floor: I64 | None) -> _Seen:
        """The labels of the streams of `matching`.

        Those of all streams of whole days, which is what clients ask for again and again, are found out once.
        """
        if matchers or not are_whole(start, end):
            return self._labels_of(self.matching(matchers, start, end, floor))
        days = []
        for day, bounds in self._days.within(start, end):
            if floor is not None and (floor > day * DAY).any():
                days.append(self._labels_of(self._days.active(day * DAY, (day + 1) * DAY, floor=floor)))
                continue
            known = self._day_labels.get(day)
            if known is None or known.streams is not bounds.streams:
                known = self._labels_of(bounds.streams)
                self._keep(day, known)
            days.append(known)
        if len(days) == 1:
            return days[0]
        pairs: Mask = np.zeros(max((len(some.pairs) for some in days), default=0), np.bool_)
        names: Mask = np.zeros(max((len(some.names) for some in days), default=0), np.bool_)
        for some in days:
            pairs[: len(some.pairs)] |= some.pairs
            names[: len(some.names)] |= some.names
        return _Seen(pairs, names)

    def _labels_of(self, streams: I32) -> _Seen:
        starts, codes = self._starts.view, self._codes.view
        name_of = self._name_of.view
        pairs: Mask = np.zeros(len(name_of), np.bool_)
        names: Mask = np.zeros(len(self._names), np.bool_)
        mark_pairs(starts, codes, name_of, streams, pairs, names)
        return _Seen(pairs, names, streams)

    def _keep(self, day: int, labels: _Seen) -> None:
        kept = self._day_labels
        if (len(kept) + 1) * len(labels.pairs) > _DAYS_KEPT:
            kept.clear()
        kept[day] = labels

    # -- labels of many streams

    def label_sets(self, streams: NDArray[np.integer]) -> list[Labels]:
        """The label sets of k streams: as one by one, in a tenth of the time."""
        pairs, places, ends = self._pairs_of(streams)
        found = list(map(pairs.__getitem__, places))
        return [tuple(found[first:last]) for first, last in pairwise(ends)]

    def texts(self, streams: NDArray[np.integer]) -> list[str]:
        """The canonical texts of k streams."""
        pairs, places, ends = self._pairs_of(streams)
        texts = [f"{name}={quote(value)}" for name, value in pairs]
        found = list(map(texts.__getitem__, places))
        return ["{" + ", ".join(found[first:last]) + "}" for first, last in pairwise(ends)]

    def _pairs_of(self, streams: NDArray[np.integer]) -> tuple[list[tuple[str, str]], list[int], list[int]]:
        """The pairs that k streams have, places in them set after set, where each set begins and the last one ends."""
        starts = self._starts.view
        first, counts = starts[streams], starts[streams + 1] - starts[streams]
        ends = np.concatenate(([0], np.cumsum(counts)))
        codes = self._codes.view[np.repeat(first - ends[:-1], counts) + np.arange(ends[-1])]
        used = np.flatnonzero(np.bincount(codes))
        places = np.zeros(int(codes.max(initial=0)) + 1, np.int32)
        places[used] = np.arange(len(used), dtype=np.int32)
        names, values = self._name_list, self._pair_values
        name_of = self._name_of.view[used].tolist()
        pairs = [(names[name], values[code]) for name, code in zip(name_of, used.tolist(), strict=True)]
        return pairs, places[codes].tolist(), ends.tolist()

    def values_of(self, name: str, streams: I32) -> I32:
        """int32[k], a number for the value that each of k streams has of a label, -1 where it has none.

        Equal values have equal numbers.
        """
        known = self._names.get(name)
        count = self._count
        found: I32 = np.full(count, -1, np.int32)
        if known is not None:
            starts = self._starts.view
            codes = self._codes.view[: starts[count]]
            places = np.flatnonzero(self._name_of.view[codes] == known.number)
            found[np.searchsorted(starts[: count + 1], places, side="right") - 1] = codes[places]
        return found[streams]

    def names_of(self, streams: I32) -> tuple[I64, I32]:
        """(places in `streams`, numbers of names): a pair for each label of each of k streams."""
        starts = self._starts.view
        first, counts = starts[streams], starts[streams + 1] - starts[streams]
        owners = np.repeat(np.arange(len(streams)), counts)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return owners, self._name_of.view[self._codes.view[first[owners] + within]]

    def name(self, number: int) -> str:
        """The name of a label, by a number that `names_of` gave."""
        return self._name_list[number]

    # -- time

    def touch(self, streams: I32, ts: I64) -> None:
        """Notes that the streams wrote at `ts` (ns); both of length n, in any order."""
        self._days.touch(streams, ts)

    def touch_stretches(self, arrival: Arrival, batch: Batch) -> None:
        """Notes that the rows of a batch came, of which `arrival` tells."""
        self._days.touch_stretches(arrival, batch)
        arrived = self._arrived
        if len(arrived) < self._count:
            arrived = np.concatenate([arrived, np.zeros(max(self._count - len(arrived), len(arrived)), np.int64)])
            self._arrived = arrived
        arrived[arrival.streams] = time.time_ns()

    def arrived(self, streams: I32) -> I64:
        """int64[k], ns: when rows of streams came last, 0 where none have since the process began."""
        arrived = self._arrived
        known = streams < len(arrived)
        found: I64 = np.zeros(len(streams), np.int64)
        found[known] = arrived[streams[known]]
        return found

    def ends(self, streams: I32) -> tuple[I64, I64]:
        """(int64[k], int64[k]): first and last times of streams (ascending); see Days.ends."""
        return self._days.ends(streams)

    def restart_day(self, day: int, streams: I32, low: I64, high: I64) -> None:
        """Makes a day anew of what is left of it; see Days.restart."""
        self._days.restart(day, streams, low, high)
        self._day_labels.pop(day, None)

    def active(self, start: int, end: int) -> I32:
        """Numbers of the streams that wrote within start <= ts < end (ns, to the millisecond), ascending."""
        return self._days.active(start, end)


def _literals(matcher: LabelMatcher) -> list[str] | None:
    """The texts that a matcher names; None for a regex that is more than texts."""
    if matcher.op in ("=", "!="):
        return [matcher.value]
    return matcher.value.split("|") if _LITERALS.fullmatch(matcher.value) else None
