"""Counting entries by label set and step without an object an entry.

For range aggregations that count entries or their bytes and whose pipeline is line filters alone: what an entry adds is
known from its time, its stream, its structured metadata and the length of its line. Counts and bytes are whole numbers,
so the order in which they are added does not show. `samples.py` has the general way, entry by entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from logql.budget import CHANGE, Budget
from logql.errors import PipelineError
from logql.kernels.vectors import spread
from logql.kernels.windows import FULL, UNKNOWN, changes
from logql.vectors import F64, Vectors, bounds_of
from storage.batch import I32, I64, Labels

NONE: I64 = np.zeros(0, np.int64)

_ROOM = 4096
"""Changes of a unit that there is room for at first: entries stand by stream and time, and make few."""

_COMPACT = 1 << 20
"""Changes that are kept before those of one key are added up."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a query, as one of its range aggregations sees them.

    Attributes:
        start: ns, of the first; the offset is taken off.
        step: ns between two.
        count: how many.
        width: ns of the window that ends at each.
    """

    start: int
    step: int
    count: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What some entries change in counts and sums of groups, see kernels/windows.py.

    Attributes:
        keys: int64[m], group * (steps + 1) + step.
        counts: int64[m].
        sums: int64[m].
    """

    keys: I64
    counts: I64
    sums: I64

    def added_up(self) -> Changes:
        """One change a key, ascending."""
        if not len(self.keys):
            return self
        order = np.argsort(self.keys, kind="stable")
        keys = self.keys[order]
        heads = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        return Changes(
            keys[heads], np.add.reduceat(self.counts[order], heads), np.add.reduceat(self.sums[order], heads)
        )


def changes_of(
    steps: Steps, code: I32, groups: I32, ts: I64, entries: I64 = NONE, amounts: I64 = NONE, *, mixed: bool = False
) -> Changes | None:
    """The changes of n entries; None if the group of one of them is not known.

    Args:
        steps: of the query.
        code: int32[n], what each is told apart by.
        groups: int32[codes], code -> group, negative where it is not known.
        ts: int64[n], ns.
        entries: int64[n], how many entries each stands for; none given: one each.
        amounts: int64[n], what each adds to its group's sum; none given: nothing.
        mixed: entries of one code do not stand together; codes are few.
    """
    found = _found(steps, code, groups, ts, entries, amounts, len(groups) if mixed else 1, _ROOM)
    return None if found is None else found.added_up()


def _found(
    steps: Steps, code: I32, groups: I32, ts: I64, entries: I64, amounts: I64, slots: int, room: int
) -> Changes | None:
    """As changes_of, in the order in which they are found; `room` for so many at first."""
    found = Changes(np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64))
    count = changes(
        code,
        groups,
        ts,
        entries,
        amounts,
        slots,
        steps.start,
        steps.step,
        steps.count,
        steps.width,
        found.keys,
        found.counts,
        found.sums,
    )
    if count == UNKNOWN:
        return None
    if count == FULL:
        return _found(steps, code, groups, ts, entries, amounts, slots, 2 * len(ts))
    return Changes(found.keys[:count], found.counts[:count], found.sums[:count])


def enters_once(steps: Steps, first: int, last: int) -> bool:
    """Whether all entries between two times (ns) are in the same windows."""
    return all(
        (steps.start - first - shift) // steps.step == (steps.start - last - shift) // steps.step
        for shift in (0, steps.width)
    )


class CountVector:
    """The series of a count.

    A step that comes upon an entry whose pipeline failed comes to a PipelineError.

    Attributes:
        labels: of each series, ascending: the order of its vectors.
    """

    def __init__(
        self,
        steps: Steps,
        labels: Sequence[Labels],
        total: Changes,
        value: Callable[[I64, I64], F64],
        failure: Callable[[Labels], PipelineError | None],
    ) -> None:
        """Takes the changes of all entries.

        Args:
            steps: of the query.
            labels: of each group.
            total: added up.
            value: what (counts, sums) of windows become.
            failure: the error that a label set stands for.
        """
        order = sorted(range(len(labels)), key=labels.__getitem__)
        self.labels = [labels[group] for group in order]
        self._failures = [failure(one) for one in self.labels]
        self._value = value
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        self._segments = _segments(steps, rank, total)

    def vectors(self, first: int, stop: int) -> Vectors:
        """Those of steps first..stop: a sample of each group with entries in its window, in order of labels."""
        held = self._segments
        here = np.flatnonzero((held.first < stop) & (held.stop > first))
        begins = np.maximum(held.first[here], first) - first
        ends = np.minimum(held.stop[here], stop) - first
        size = stop - first
        entering = np.bincount(begins, minlength=size + 1) - np.bincount(ends, minlength=size + 1)
        bounds = bounds_of(np.cumsum(entering)[:size])
        at = np.empty(int(bounds[-1]), np.int64)
        spread(begins, ends, bounds[:-1].copy(), at)
        at = here[at]
        values = self._value(held.counts[at], held.sums[at])
        return Vectors(bounds, held.series[at], values).until_failure(self._failures)


@dataclass(frozen=True, slots=True, eq=False)
class _Segments:
    """Steps for which the count of a series is the same and not 0; by series and step.

    Attributes:
        series: int64[m], its number.
        first: int64[m], the first step.
        stop: int64[m], the one after the last.
        counts: int64[m], of entries in the window of each of the steps.
        sums: int64[m], what their amounts add up to.
    """

    series: I64
    first: I64
    stop: I64
    counts: I64
    sums: I64


def _segments(steps: Steps, rank: I64, total: Changes) -> _Segments:
    """The segments that changes make; `rank` has the number of each group's series."""
    if not len(total.keys):
        return _Segments(NONE, NONE, NONE, NONE, NONE)
    group, step = np.divmod(total.keys, steps.count + 1)
    last = np.concatenate([group[1:] != group[:-1], [True]])
    heads = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    counts, sums = _running(total.counts, heads), _running(total.sums, heads)
    stop = np.where(last, steps.count, np.concatenate([step[1:], [0]]))
    series = rank[group]
    alive = np.flatnonzero((counts > 0) & (stop > step))
    alive = alive[np.argsort(series[alive], kind="stable")]
    return _Segments(series[alive], step[alive], stop[alive], counts[alive], sums[alive])


def _running(values: I64, heads: I64) -> I64:
    """Running sums that begin anew at each head."""
    total = np.cumsum(values)
    before = np.where(heads > 0, total[heads - 1], 0)
    lengths = np.diff(np.concatenate([heads, [len(values)]]))
    running: I64 = total - np.repeat(before, lengths)
    return running


class Counter:
    """Collects the changes of a query's entries, unit by unit."""

    def __init__(self, steps: Steps, budget: Budget) -> None:
        self.steps = steps
        self._budget = budget
        self._parts: list[Changes] = []
        self._held = 0

    def add(self, part: Changes) -> None:
        """Adds the changes of a unit. Raises LimitError."""
        self._budget.take(len(part.keys) * CHANGE)
        self._parts.append(part)
        self._held += len(part.keys)
        if self._held > _COMPACT and len(self._parts) > 1:
            self._parts = [self.total()]
            self._budget.give_back((self._held - len(self._parts[0].keys)) * CHANGE)
            self._held = len(self._parts[0].keys)

    def total(self) -> Changes:
        """All of them, added up."""
        if not self._parts:
            return Changes(NONE, NONE, NONE)
        return Changes(
            np.concatenate([part.keys for part in self._parts]),
            np.concatenate([part.counts for part in self._parts]),
            np.concatenate([part.sums for part in self._parts]),
        ).added_up()
