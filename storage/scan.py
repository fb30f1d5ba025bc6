"""A scan: which units may hold what a query wants, and reading them without duplicates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from storage.archived import Archived, floor_of_block, floor_of_run
from storage.batch import I32, I64, Batch, Mask
from storage.blockread import Block, read_footer, read_rows, wanted_rows
from storage.duplicates import rows_at
from storage.footer import Footer
from storage.leases import Lease
from storage.memtable import Run
from storage.pages import BlockPages, open_pages
from storage.reading import EVERYTHING, Columns, Survey, Times, Totals
from storage.repeats import BlockRows, Held, overlapping, repeated, repeated_in_block
from storage.rows import take_rows
from storage.state import Bounds, View
from storage.streams import StreamTable
from storage.tombstones import Tombstone, hidden, reaching


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What a scan asks for.

    Attributes:
        table: the tenant's streams.
        accepted: bool[streams], those whose entries are wanted.
        start, end: ns, end exclusive.
        floor: int64[streams], ns: older entries of a stream have expired; None if none has.
        lease: held as long as anything of the scan is.
        archived: when records had been passed on: what a floor waits for; None: for nothing.
    """

    table: StreamTable
    accepted: Mask
    start: int
    end: int
    floor: I64 | None = None
    lease: Lease | None = None
    archived: Archived | None = None

    def floor_of_block(self, block: Block) -> I64 | None:
        """The floor of a block's entries, as `floor`."""
        return floor_of_block(self.floor, self.archived, block)

    def floor_of_run(self, run: Run) -> I64 | None:
        """The floor of a run's entries, as `floor`."""
        return floor_of_run(self.floor, self.archived, run)


class MemorySource:
    """The runs of a view. No row of one repeats a row of another."""

    def __init__(self, runs: Sequence[Run], bounds: Bounds, window: Window) -> None:
        self._runs = runs
        held = bounds.held()
        known = min(len(held), len(window.accepted))
        self.streams: I32 = np.flatnonzero(held[:known] & window.accepted[:known]).astype(np.int32)
        self.low: I64 = bounds.oldest[self.streams]
        self.high: I64 = bounds.newest[self.streams]

    def rows_like(self, stream: I32, ts: I64) -> list[Batch]:
        """The rows whose (stream, ts) is among the given pairs."""
        low, high = int(ts.min()), int(ts.max())
        near = [run.batch for run in self._runs if run.max_ts >= low and run.min_ts <= high]
        return [take_rows(batch, rows) for batch in near if len(rows := rows_at(batch, stream, ts))]


class BlockSource:
    """One block, as far as a window reaches into it."""

    def __init__(self, block: Block, window: Window, tombstones: Sequence[Tombstone] = ()) -> None:
        """`tombstones`: those that may hide entries of the block."""
        self.block = block
        self._window = window
        self._tombstones = tombstones
        self._alive_from = window.floor_of_block(block)
        self._floor: I64 | None = None if self._alive_from is None else self._alive_from[block.streams]
        self._near = window.accepted[block.streams]
        self._gone: Mask | None = None
        if self._floor is not None:
            gone = self._near & (block.stream_max < self._floor)
            self._near &= ~gone
            self._gone = gone if gone.any() else None
        self._near &= (block.stream_max >= window.start) & (block.stream_min < window.end)
        if self._floor is not None and not (self._near & (block.stream_min < self._floor)).any():
            self._floor = None
        for one in tombstones:
            if one.chooses is None:
                whole = one.selects(block.streams) & (block.stream_min >= one.start) & (block.stream_max < one.end)
                whole &= self._near
                if whole.any():
                    self._near &= ~whole
                    self._gone = whole if self._gone is None else self._gone | whole
        self._footer: Footer | None = None
        self._pages: BlockPages | None = None

    def is_wanted(self) -> bool:
        """Whether rows of it may be."""
        return bool(self._near.any())

    @property
    def footer(self) -> Footer:
        """The block's footer, read when it is first needed. Raises CorruptBlock."""
        if self._footer is None:
            self._footer = read_footer(self.block.path)
        return self._footer

    @property
    def pages(self) -> BlockPages:
        """The block's pages, found when they are first needed. Raises CorruptBlock."""
        if self._pages is None:
            self._pages = open_pages(self.block.path)
        return self._pages

    @property
    def group_count(self) -> int:
        """Row groups of the block. Raises CorruptBlock."""
        group = self.footer.spans.group
        return int(group[-1]) + 1 if len(group) else 0

    def groups(self) -> list[tuple[int, int, int]]:
        """(row group, min ts, max ts) of the row groups with rows that may be wanted."""
        said = self.footer.spans
        at = self._wanted_spans(slice(0, len(said)))
        if not len(at):
            return []
        group = said.group[at]  # ascending: spans stand in row order
        heads = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
        low = np.minimum.reduceat(said.min_ts[at], heads)
        high = np.maximum.reduceat(said.max_ts[at], heads)
        return list(zip(group[heads].tolist(), low.tolist(), high.tolist(), strict=True))

    def bounds(self, group: int) -> tuple[int, int]:
        """(min ts, max ts) of the spans of a row group with rows that are wanted. Raises CorruptBlock."""
        said = self.footer.spans
        at = self.spans_of(group)
        return int(said.min_ts[at].min()), int(said.max_ts[at].max())

    def _wanted_spans(self, some: slice) -> I64:
        """Which of some spans have entries that may be wanted, ascending."""
        said, window = self.footer.spans, self._window
        # Their streams first: of very many spans few are of one stream, and only their times are looked at.
        found: I64 = some.start + np.flatnonzero(self._near[said.stream[some]])
        wanted = (said.max_ts[found] >= window.start) & (said.min_ts[found] < window.end)
        if self._floor is not None:
            wanted &= said.max_ts[found] >= self._floor[said.stream[found]]
        return found if wanted.all() else found[wanted]

    def spans_of(self, group: int) -> I64:
        """The spans of a row group with entries that may be wanted, ascending."""
        return self._wanted_spans(self._range_of(group))

    def _range_of(self, group: int) -> slice:
        """All spans of a row group."""
        groups = self.footer.spans.group
        return slice(*np.searchsorted(groups, np.array([group, group + 1], groups.dtype)).tolist())

    def is_cut(self, group: int) -> bool:
        """Whether entries of a row group of wanted streams have expired, which others do as time goes by."""
        if self._floor is None:
            return False
        said = self.footer.spans
        some = self._range_of(group)
        stream = said.stream[some]
        return bool((self._near[stream] & (said.min_ts[some] < self._floor[stream])).any())

    def gone(self, group: int) -> bytes:
        """Which streams of a row group, that are asked for, have expired or were deleted whole.

        Two scans that say the same agree.
        """
        if self._gone is None:
            return b""
        streams = np.unique(self.footer.spans.stream[self._range_of(group)])
        return streams[self._gone[streams]].tobytes()

    def hiding(self, group: int) -> tuple[Tombstone, ...]:
        """The tombstones that may hide wanted entries of a row group."""
        if not self._tombstones:
            return ()
        said, at = self.footer.spans, self.spans_of(group)
        stream, low, high = self.block.streams[said.stream[at]], said.min_ts[at], said.max_ts[at]
        return tuple(
            one for one in self._tombstones if bool((one.selects(stream) & (low < one.end) & (high >= one.start)).any())
        )

    def whole(self) -> BlockSource:
        """The block as far as its streams are asked for, whatever the time."""
        window, block = self._window, self.block
        if block.min_ts >= window.start and block.max_ts < window.end:
            return self
        return BlockSource(block, replace(window, start=block.min_ts, end=block.max_ts + 1), self._tombstones)

    def times(self, group: int) -> Times:
        """The rows of a row group that are wanted, repeats of other blocks' among them. Raises CorruptBlock."""
        window = self._window
        rows, stream, inside = wanted_rows(self.footer, self.block.streams, group, self._near, window.start, window.end)
        times = Times(window.table, rows, stream, self.pages.timestamps(group, rows))
        if not inside:
            times = _within(times, window)
        if self.is_cut(group):
            times = _alive(times, self._alive_from)
        hiding = self.hiding(group)
        if hiding:
            gone = hidden(times, self.block, group, hiding, window.table)
            times = _without(times, np.flatnonzero(gone)) if gone.any() else times
        return times

    def totals(self, group: int) -> Totals | None:
        """What the footer says of a row group's rows that are wanted; None if that is not the whole truth."""
        said, window = self.footer.spans, self._window
        at = self.spans_of(group)
        low, high = said.min_ts[at], said.max_ts[at]
        if not len(at) or int(low.min()) < window.start or int(high.max()) >= window.end:
            return None
        if self.is_cut(group) or self.hiding(group):
            return None
        stream = self.block.streams[said.stream[at]]
        return Totals(window.table, stream, said.rows[at], said.line_bytes[at], low, high)


def _within(times: Times, window: Window) -> Times:
    inside = np.flatnonzero((times.ts >= window.start) & (times.ts < window.end))
    return times if len(inside) == len(times) else times.take(inside)


def _alive(times: Times, floor: I64 | None) -> Times:
    """The entries that are not older than the floor of their stream."""
    if floor is None or not len(times):
        return times
    alive = np.flatnonzero(times.ts >= floor[times.stream])
    return times if len(alive) == len(times) else times.take(alive)


def _without(times: Times, places: I64) -> Times:
    """The entries but those at `places`."""
    kept: Mask = np.ones(len(times), np.bool_)
    kept[places] = False
    return times.take(np.flatnonzero(kept))


@dataclass(slots=True, eq=False)
class MemoryUnit:
    """A run of the memtable; a logql.source.Unit.

    Attributes:
        run: its rows.
        window: what is asked for.
        earlier: blocks that may hold rows of the run already.
        arrival: place among the scan's units.
    """

    run: Run
    window: Window
    earlier: Sequence[Held]
    arrival: int
    in_memory: bool = True
    bytes_read: int = 0

    @property
    def min_ts(self) -> int:
        """No entry is older, ns."""
        return max(self.run.min_ts, self.window.start)

    @property
    def max_ts(self) -> int:
        """No entry is newer, ns."""
        return min(self.run.max_ts, self.window.end - 1)

    def has_metadata(self, names: frozenset[str] | None) -> bool:
        """Whether entries have structured metadata of one of the names; None: any at all."""
        batch = self.run.batch
        keys = [*batch.metadata, *(batch.rest.names if batch.rest is not None else ())]
        return bool(keys) if names is None else not names.isdisjoint(keys)

    def totals(self) -> Totals | None:
        """A run says nothing of its streams."""
        return None

    def times(self) -> Times:
        """The wanted entries, in order of arrival."""
        batch, window = self.run.batch, self.window
        if self.run.min_ts >= window.start and self.run.max_ts < window.end:
            wanted = window.accepted[batch.stream]
        else:
            wanted = window.accepted[batch.stream] & (batch.ts >= window.start) & (batch.ts < window.end)
        rows = np.flatnonzero(wanted)
        times = _alive(Times(window.table, rows, batch.stream[rows], batch.ts[rows]), window.floor_of_run(self.run))
        known = repeated(times, self.earlier, lambda some: take_rows(batch, some.rows))
        return _without(times, known) if len(known) else times

    def read(self, times: Times, columns: Columns = EVERYTHING) -> Batch:
        """Entries that `times` gave; everything is there already."""
        del columns
        batch = self.run.batch
        return batch if len(times) == len(batch) else replace(batch, selection=times.rows)

    def lengths(self, times: Times) -> I64:
        """int64[n], bytes of the lines of such entries."""
        return self.run.batch.lines.lengths[times.rows]

    def identity(self) -> Hashable | None:
        """Memory goes to blocks: there is nothing that a run could be known by later."""
        return None

    def whole(self) -> MemoryUnit:
        """The run, as asked for."""
        return self


@dataclass(slots=True, eq=False)
class BlockUnit:
    """A row group of a block; a logql.source.Unit.

    Attributes:
        source: the block.
        group: row group.
        min_ts, max_ts: ns.
        repeats: rows of the group, ascending, that stand in an earlier block.
        arrival: place among the scan's units.
        bytes_read: bytes taken from the file so far.
    """

    source: BlockSource
    group: int
    min_ts: int
    max_ts: int
    repeats: I64
    arrival: int
    in_memory: bool = False
    bytes_read: int = field(default=0)

    def has_metadata(self, names: frozenset[str] | None) -> bool:
        """Whether entries may have structured metadata of one of the names; None: any at all. Raises CorruptBlock."""
        columns = self.source.footer.columns
        if self.source.pages.has_column("meta"):
            return True
        return bool(columns) if names is None else not names.isdisjoint(columns)

    def totals(self) -> Totals | None:
        """What the footer says of the wanted entries. Raises CorruptBlock."""
        return None if len(self.repeats) else self.source.totals(self.group)

    def times(self) -> Times:
        """The wanted entries in block order. Raises CorruptBlock."""
        times = self.source.times(self.group)
        self.bytes_read += self.source.pages.cost(self.group, "ts", times.rows)
        if len(self.repeats):
            times = _without(times, np.flatnonzero(np.isin(times.rows, self.repeats, assume_unique=True)))
        return times

    def read(self, times: Times, columns: Columns = EVERYTHING) -> Batch:
        """Entries that `times` gave, or some of them. Raises CorruptBlock."""
        if columns.lines:
            self.bytes_read += self.source.pages.cost(self.group, "line", times.rows)
        return read_rows(self.source.block.path, self.group, times, self.source.footer.columns, columns)

    def lengths(self, times: Times) -> I64:
        """int64[n], bytes of the lines of such entries. Raises CorruptBlock."""
        return self.source.pages.lengths(self.group, times.rows)

    def identity(self) -> Hashable | None:
        """What the group's entries of a selector depend on: the file, which is written once, and what is not shown.

        None while entries of it expire. Whatever else comes to decide which entries are shown has to be in here.
        What is kept under it is of the whole row group, so that it says what is hidden outside the window too.
        """
        source = self.source.whole()
        if source.is_cut(self.group):
            return None
        hiding = tuple(one.id for one in source.hiding(self.group))
        return source.block.path, self.group, self.repeats.tobytes(), hiding, source.gone(self.group)

    def whole(self) -> BlockUnit:
        """The row group with its matching entries of any time. Raises CorruptBlock."""
        source = self.source.whole()
        if source is self.source:
            return self
        low, high = source.bounds(self.group)
        return BlockUnit(source, self.group, low, high, self.repeats, self.arrival)


def units_of(view: View, window: Window, survey: Survey | None = None) -> list[MemoryUnit | BlockUnit]:
    """The units of a view that may hold what a window wants, by arrival.

    `survey` is told what else was looked at.
    """
    table, accepted, start, end = window.table, window.accepted, window.start, window.end
    survey = survey or Survey()
    survey.streams += len(accepted)
    survey.streams_matching += int(np.count_nonzero(accepted))
    survey.blocks += len(view.blocks)
    units: list[MemoryUnit | BlockUnit] = []
    none: I64 = np.zeros(0, np.int64)
    for place, block in enumerate(view.blocks):
        if block.max_ts < start or block.min_ts >= end:
            survey.blocks_out_of_time += 1
            continue
        source = BlockSource(block, window, reaching(view.tombstones, block))
        if not source.is_wanted():
            survey.blocks_without_streams += 1
            continue
        repeats: Mapping[int, I64] = repeated_in_block(view.blocks, place, table, view.tombstones)
        groups = source.groups()
        survey.groups += source.group_count
        survey.groups_without_rows += source.group_count - len(groups)
        for group, low, high in groups:
            arrival = len(units)
            units.append(
                BlockUnit(source, group, max(low, start), min(high, end - 1), repeats.get(group, none), arrival)
            )
    runs = [run for run in view.memory if run.max_ts >= start and run.min_ts < end]
    survey.runs += len(view.memory)
    survey.runs_out_of_time += len(view.memory) - len(runs)
    if runs:
        earlier = _before_memory(view, window)
        units += [MemoryUnit(run, window, earlier, len(units) + number) for number, run in enumerate(runs)]
    return units


def _before_memory(view: View, window: Window) -> list[Held]:
    """The blocks with rows of streams at times that memory has rows of too."""
    memory = MemorySource(view.memory, view.bounds, window)
    if not len(memory.streams):
        return []
    low, high = int(memory.low.min()), int(memory.high.max())
    return [
        BlockRows(block, window.table, reaching(view.tombstones, block))
        for block in view.blocks
        if block.min_ts <= high
        and block.max_ts >= low
        and len(
            overlapping(
                [block.streams, memory.streams], [block.stream_min, memory.low], [block.stream_max, memory.high]
            )
        )
    ]
