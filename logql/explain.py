"""What a query did: how it was understood, what it read and what it did without, and where its time went.

A query is given an `Explanation`, which it fills in, on all threads that work for it: a full one if it is to be
explained, a light one if something is to be told of it only should it turn out slow. A query without one measures
nothing: its spans do nothing, and units are those of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock

from logql.plan_texts import PlanText
from logql.source import Unit
from logql.stats import Reading, line_bytes
from logql.timings import Clock, Seconds, Stage, Timings, WallTimings
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
        cached: what an earlier query came to was enough; nothing was read.
        unread: nothing was asked: the limit of a log query was reached with what could come before.
    """

    lines_of_blocks: int = 0
    lines_of_memory: int = 0
    metadata: int = 0
    times: int = 0
    totals: int = 0
    cached: int = 0
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
    """What was asked of a unit. Written by the one thread at a time that has the unit.

    Attributes:
        totals, times, metadata: whether that was.
        lines: of which contents were read.
        line_bytes: of these.
        whole: the whole unit, where that is another and was read in its place.
    """

    totals: bool = False
    times: bool = False
    metadata: bool = False
    lines: int = 0
    line_bytes: int = 0
    whole: Unit | None = None


@dataclass(slots=True, eq=False)
class ObservedUnit:
    """A unit as it was, with note taken of what is asked of it; a logql.source.Unit.

    Attributes:
        unit: as it was.
        timings: of the query.
        is_known: whether the query may use what earlier ones came to, and keep for others what this one comes to.
        asked: what was asked of it.
    """

    unit: Unit
    timings: Clock
    is_known: bool = False
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
        """Of the unit; None in a full explanation: what is kept of other queries would explain nothing."""
        return self.unit.identity() if self.is_known else None

    def whole(self) -> Unit:
        """The whole unit, whose reading counts for this one."""
        if not self.is_known:
            return self
        whole = self.unit.whole()
        if whole is self.unit:
            return self
        self.asked.whole = whole
        return ObservedUnit(whole, self.timings, self.is_known, self.asked)


class Explanation:
    """Of one query; filled in while it runs, by several threads.

    Attributes:
        light: whether it costs next to nothing: no seconds of processors, no time of what footers were asked, and units
            may be answered from what earlier queries came to, which a full one does without.
        survey: what scans looked at.
    """

    def __init__(self, *, light: bool = False) -> None:
        self.light = light
        self.survey = Survey()
        self._plans: list[Callable[[], PlanText]] = []
        self._timings: Clock = WallTimings() if light else Timings()
        self._lock = Lock()
        self._steps: dict[Step, int] = {}
        self._units: list[ObservedUnit] = []
        self._cached = 0
        self._reading: Callable[[], Reading] = Reading
        self._ended: tuple[UnitCounts, LineCounts] | None = None

    def span(self, stage: Stage) -> AbstractContextManager[None]:
        """Counts the time of a block for a stage. Blocks within it are counted for theirs alone."""
        return self._timings.span(stage)

    def observed(self, units: Iterable[Unit]) -> Sequence[Unit]:
        """The units of a scan, all of them, to be read through this."""
        own = [ObservedUnit(unit, self._timings, self.light) for unit in units]
        self._units += own
        return own

    def plan(self, text: Callable[[], PlanText]) -> None:
        """The plan of the query's next part that reads entries; put in words only when somebody asks."""
        self._plans.append(text)

    @property
    def plans(self) -> list[PlanText]:
        """Plans of the query's parts that read entries, in the order in which they are read."""
        return [text() for text in self._plans]

    def watch(self, reading: Callable[[], Reading]) -> None:
        """`reading` says what the query has read so far, whoever asks."""
        self._reading = reading

    def so_far(self) -> Reading:
        """What the query has read up to now. For any thread."""
        return self._reading()

    def from_cache(self) -> None:
        """What an earlier query came to answered one of the units."""
        with self._lock:
            self._cached += 1

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

    def end(self) -> None:
        """The query has ended: lets go of its units, which keep files on the disk, and keeps what is to be told."""
        reading = self.so_far()
        self._ended = self.units(), self.lines()
        self._reading = lambda: reading
        self._units.clear()

    def units(self) -> UnitCounts:
        """What became of the units."""
        if self._ended is not None:
            return self._ended[0]
        found = UnitCounts()
        counts = dict.fromkeys(found.__slots__, 0)
        for unit in self._units:
            counts[_most_asked(unit)] += 1
        counts["cached"] = self._cached  # of which nothing was asked
        counts["unread"] -= self._cached
        return UnitCounts(**counts)

    def lines(self) -> LineCounts:
        """What was read of the units."""
        if self._ended is not None:
            return self._ended[1]
        return LineCounts(
            sum(unit.asked.lines for unit in self._units),
            sum(unit.asked.line_bytes for unit in self._units),
            sum(unit.bytes_read + (unit.asked.whole.bytes_read if unit.asked.whole else 0) for unit in self._units),
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
