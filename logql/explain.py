"""What a query did: how it was understood, what it read and what it did without, and where its time went.

A query that is to be explained is given an `Explanation`, which it fills in, on all threads that work for it. Nothing
is measured of other queries: their spans do nothing, and units are those of the source.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock

from logql.plan_texts import PlanText
from logql.source import Unit
from logql.stats import line_bytes
from logql.timings import Seconds, Stage, Timings
from storage.batch import I64, Batch
from storage.reading import EVERYTHING, Columns, Survey, Times, Totals


class Step(StrEnum):
    """Places on the way of entries where those that are left are counted."""

    LINE_FILTERS = "after line filters"
    COLUMNS = "after stages by columns"
    ROWS = "decided row by row"


@dataclass(frozen=True, slots=True)
class UnitCounts:
    """Units of all scans of a query, by the most that was asked of each.

    Attributes:
        lines_of_blocks: row groups of which lines were read.
        lines_of_memory: runs of the memtable of which lines were read.
        metadata: structured metadata was read, but no lines.
        times: times were enough.
        totals: what a block's footer says was enough; nothing was read.
        unread: nothing was asked: the limit of a log query was reached with what could come before.
    """

    lines_of_blocks: int = 0
    lines_of_memory: int = 0
    metadata: int = 0
    times: int = 0
    totals: int = 0
    unread: int = 0


@dataclass(frozen=True, slots=True)
class LineCounts:
    """Lines of which contents were read; a line that was read twice counts twice.

    Attributes:
        lines: how many.
        line_bytes: bytes of them.
        compressed_bytes: bytes taken from disk for these and for times.
    """

    lines: int = 0
    line_bytes: int = 0
    compressed_bytes: int = 0


@dataclass(slots=True)
class _Asked:
    """What was asked of a unit. Written by the one thread at a time that has the unit."""

    totals: bool = False
    times: bool = False
    metadata: bool = False
    lines: int = 0
    line_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ObservedUnit:
    """A unit as it was, with note taken of what is asked of it; a logql.source.Unit."""

    unit: Unit
    timings: Timings
    asked: _Asked = field(default_factory=_Asked)

    @property
    def min_ts(self) -> int:
        """Of the unit."""
        return self.unit.min_ts

    @property
    def max_ts(self) -> int:
        """Of the unit."""
        return self.unit.max_ts

    @property
    def arrival(self) -> int:
        """Of the unit."""
        return self.unit.arrival

    @property
    def in_memory(self) -> bool:
        """Of the unit."""
        return self.unit.in_memory

    @property
    def bytes_read(self) -> int:
        """Of the unit."""
        return self.unit.bytes_read

    def has_metadata(self, names: frozenset[str] | None) -> bool:
        """Of the unit."""
        with self.timings.span(Stage.INDEX):
            return self.unit.has_metadata(names)

    def totals(self) -> Totals | None:
        """Of the unit."""
        with self.timings.span(Stage.INDEX):
            found = self.unit.totals()
        self.asked.totals |= found is not None
        return found

    def times(self) -> Times:
        """Of the unit."""
        self.asked.times = True
        with self.timings.span(Stage.TIMES):
            return self.unit.times()

    def read(self, times: Times, columns: Columns = EVERYTHING) -> Batch:
        """Of the unit."""
        with self.timings.span(Stage.LINES):
            batch = self.unit.read(times, columns)
        if columns.lines:
            self.asked.lines += len(times)
            self.asked.line_bytes += line_bytes(batch)
        self.asked.metadata |= len(times) > 0
        return batch

    def lengths(self, times: Times) -> I64:
        """Of the unit."""
        with self.timings.span(Stage.TIMES):
            return self.unit.lengths(times)

    def identity(self) -> Hashable | None:
        """None: what is kept of other queries would explain nothing."""
        return None

    def whole(self) -> Unit:
        """The unit, as asked for."""
        return self


class Explanation:
    """Of one query; filled in while it runs, by several threads.

    Attributes:
        survey: what scans looked at.
        plans: of the query's parts that read entries, in the order in which they are read.
    """

    def __init__(self) -> None:
        self.survey = Survey()
        self.plans: list[PlanText] = []
        self._timings = Timings()
        self._lock = Lock()
        self._steps: dict[Step, int] = {}
        self._units: list[ObservedUnit] = []

    def span(self, stage: Stage) -> AbstractContextManager[None]:
        """Counts the time of a block for a stage. Blocks within it are counted for theirs alone."""
        return self._timings.span(stage)

    def observed(self, units: Iterable[Unit]) -> Sequence[Unit]:
        """The units of a scan, all of them, to be read through this."""
        own = [ObservedUnit(unit, self._timings) for unit in units]
        self._units += own
        return own

    def left(self, step: Step, rows: int) -> None:
        """So many entries, and those counted before, came to this step."""
        with self._lock:
            self._steps[step] = self._steps.get(step, 0) + rows

    def steps(self) -> dict[Step, int]:
        """Entries by the steps that the query had."""
        with self._lock:
            return {step: self._steps[step] for step in Step if step in self._steps}

    def seconds(self) -> dict[Stage, Seconds]:
        """What stages took so far."""
        return self._timings.by_stage()

    def units(self) -> UnitCounts:
        """What became of the units."""
        found = UnitCounts()
        counts = dict.fromkeys(found.__slots__, 0)
        for unit in self._units:
            counts[_most_asked(unit)] += 1
        return UnitCounts(**counts)

    def lines(self) -> LineCounts:
        """What was read of the units."""
        return LineCounts(
            sum(unit.asked.lines for unit in self._units),
            sum(unit.asked.line_bytes for unit in self._units),
            sum(unit.bytes_read for unit in self._units),
        )


_NOTHING = nullcontext()


def span(explanation: Explanation | None, stage: Stage) -> AbstractContextManager[None]:
    """Counts the time of a block for a stage, if there is an explanation. Not for what is done a row."""
    return _NOTHING if explanation is None else explanation.span(stage)


def _most_asked(unit: ObservedUnit) -> str:
    """The field of UnitCounts that a unit counts for."""
    asked = unit.asked
    if asked.lines:
        return "lines_of_memory" if unit.in_memory else "lines_of_blocks"
    if asked.metadata:
        return "metadata"
    if asked.times:
        return "times"
    return "totals" if asked.totals else "unread"
