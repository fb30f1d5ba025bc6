"""What row groups of blocks came to in range aggregations, kept from one query to the next.

A dashboard asks the same queries again and again, each time for a range that has moved on. Blocks never change, so what
one of their units adds is the same each time: it is kept in steps since the epoch (counts), or as samples, of all the
unit's entries, and each query takes the part within its range. What is in memory is read anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from logql.ast import Grouping, RangeAggregation
from logql.counts import NONE, Changes, Steps
from logql.extractor import BYTES
from logql.source import Unit
from storage.batch import I32, I64, Labels

_LABELS, _PAIR = 200, 150
"""Bytes of a label set and of each of its pairs, besides their texts."""

_PART = 8
"""What takes more than one in this many of the cache's bytes is not kept."""


def steps_of(steps: Steps, unit: Unit) -> Steps:
    """The steps that all windows of a unit's entries end at, as far from the epoch's as those of a query."""
    phase = steps.start % steps.step
    start = phase + (unit.min_ts - phase) // steps.step * steps.step
    return Steps(start, steps.step, -((start - unit.max_ts - steps.width) // steps.step), steps.width)


@dataclass(frozen=True, slots=True, eq=False)
class KeptCounts:
    """The changes of a unit's entries, by group and step.

    Attributes:
        labels: of each group.
        group: int32[m], ascending.
        step: int64[m], how many steps since the epoch; ascending within a group.
        counts: int64[m].
        sums: int64[m]; empty: all 0.
    """

    labels: tuple[Labels, ...]
    group: I32
    step: I64
    counts: I64
    sums: I64

    @staticmethod
    def of(changes: Changes, steps: Steps, labels_of: Callable[[int], Labels]) -> KeptCounts:
        """Changes of a unit, added up, to `steps` that all of its windows are among; `labels_of` a group."""
        group, step = np.divmod(changes.keys, steps.count + 1)
        used, codes = np.unique(group, return_inverse=True)
        return KeptCounts(
            tuple(map(labels_of, used.tolist())),
            codes.astype(np.int32),
            step + steps.start // steps.step,
            changes.counts,
            changes.sums if changes.sums.any() else NONE,
        )

    def within(self, steps: Steps, number: Callable[[Labels], int]) -> Changes:
        """The changes to the steps of a query that are as far from the epoch's; `number` has those of its label sets.

        What leaves before the first step is left out, its label sets too.
        """
        group, counts = self.group, self.counts
        step = self.step - steps.start // steps.step
        sums = self.sums if len(self.sums) else np.zeros(len(counts), np.int64)
        inside = step < steps.count
        if not inside.all():
            group, step, counts, sums = group[inside], step[inside], counts[inside], sums[inside]
        if len(step) and int(step.min()) < 0:
            np.maximum(step, 0, out=step)
            heads = np.flatnonzero(np.concatenate([[True], (step[1:] != step[:-1]) | (group[1:] != group[:-1])]))
            counts, sums = np.add.reduceat(counts, heads), np.add.reduceat(sums, heads)
            some = (counts != 0) | (sums != 0)
            group, step, counts, sums = group[heads][some], step[heads][some], counts[some], sums[some]
        numbers = np.zeros(len(self.labels), np.int64)
        for used in np.flatnonzero(np.bincount(group, minlength=len(self.labels))).tolist():
            numbers[used] = number(self.labels[used])
        return Changes(numbers[group] * (steps.count + 1) + step, counts, sums)

    @property
    def size(self) -> int:
        """Bytes of it."""
        columns = self.group.nbytes + self.step.nbytes + self.counts.nbytes + self.sums.nbytes
        return columns + _labels_size(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class KeptSamples:
    """The samples of a unit's entries, in their order.

    Attributes:
        labels: label sets of samples.
        codes: int32[m], index in `labels`.
        ts: int64[m], ns.
        stream: uint64[m], stream ids.
        values: float64[m].
    """

    labels: tuple[Labels, ...]
    codes: I32
    ts: I64
    stream: NDArray[np.uint64]
    values: NDArray[np.float64]

    def within(self, start: int, end: int) -> KeptSamples:
        """Those with start <= ts < end (ns), with all label sets."""
        inside = (self.ts >= start) & (self.ts < end)
        if inside.all():
            return self
        return KeptSamples(self.labels, self.codes[inside], self.ts[inside], self.stream[inside], self.values[inside])

    def numbers(self, number: Callable[[Labels], int]) -> I32:
        """int32[m], of each one's label set as `number` has them. Label sets without samples are not asked for."""
        table = np.zeros(len(self.labels), np.int32)
        for used in np.flatnonzero(np.bincount(self.codes, minlength=len(self.labels))).tolist():
            table[used] = number(self.labels[used])
        return table[self.codes]

    @property
    def size(self) -> int:
        """Bytes of it."""
        columns = self.codes.nbytes + self.ts.nbytes + self.stream.nbytes + self.values.nbytes
        return columns + _labels_size(self.labels)


def _labels_size(labels: Sequence[Labels]) -> int:
    return sum(_LABELS + sum(_PAIR + len(name) + len(value) for name, value in one) for one in labels)


Kept: TypeAlias = KeptCounts | KeptSamples


class ResultCache:
    """The results asked for last, up to a number of bytes. Safe for any threads.

    Those of blocks that are gone are asked for no more, and make room in time.

    Attributes:
        capacity: bytes that may be kept.
        used: bytes kept.
        hits: results that were there.
        misses: results that were not.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self.hits = 0
        self.misses = 0
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def get(self, key: Hashable) -> Kept | None:
        """What was kept under a key, if it is still there."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
                self._kept.move_to_end(key)
            return found

    def put(self, key: Hashable, kept: Kept) -> None:
        """Keeps a result; it is not written to after that. Others that were not asked for long go."""
        size = kept.size
        if size > self.capacity // _PART:
            return
        with self._lock:
            before = self._kept.pop(key, None)
            self._kept[key] = kept
            self.used += size - (before.size if before is not None else 0)
            while self.used > self.capacity:
                self.used -= self._kept.popitem(last=False)[1].size


class UnitResults:
    """The cache as one range aggregation of a query sees it: nothing is known and kept of what can change."""

    def __init__(
        self,
        cache: ResultCache | None,
        node: RangeAggregation,
        grouping: Grouping | None,
        start: int,
        end: int,
        steps: Steps | None = None,
    ) -> None:
        """What is asked for.

        Args:
            cache: None keeps nothing.
            node: the aggregation.
            grouping: that its samples are made under.
            start: ns, the first that entries may have.
            end: ns, after the last.
            steps: of counts; None for samples, which know none.
        """
        text = " ".join(map(str, (node.range.log, node.range.unwrap, node.op in BYTES, grouping)))
        # A template that asks for the time makes something else of a line each time.
        self._cache = None if cache is None or not cache.capacity or ("{{" in text and "now" in text) else cache
        self._start, self._end = start, end
        self._asked: Hashable = (text, steps and (steps.step, steps.width, steps.start % steps.step))

    def key(self, unit: Unit) -> Hashable | None:
        """What a unit's result is known by; None if it is not to be kept."""
        if self._cache is None:
            return None
        identity = unit.identity()
        return None if identity is None else (identity, self._asked)

    def get(self, key: Hashable | None) -> Kept | None:
        """What is kept under a key."""
        return None if self._cache is None or key is None else self._cache.get(key)

    def put(self, key: Hashable, kept: Kept) -> None:
        """Keeps the result of a whole unit."""
        if self._cache is not None:
            self._cache.put(key, kept)

    def is_inside(self, whole: Unit) -> bool:
        """Whether all entries of a unit are asked for."""
        return whole.min_ts >= self._start and whole.max_ts < self._end

    @staticmethod
    def is_most(unit: Unit, whole: Unit) -> bool:
        """Whether so much of a unit is asked for that the rest may be read too, for the next time."""
        return 2 * (unit.max_ts - unit.min_ts + 1) > whole.max_ts - whole.min_ts
