"""A scan: which units may hold what a query wants, and reading them without duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storage.batch import I32, I64, Batch, Mask
from storage.blockread import Block, read_footer, read_rows, read_times, wanted_rows
from storage.duplicates import repeats, rows_at
from storage.footer import Footer
from storage.memtable import Run
from storage.rows import concat_batches, take_rows
from storage.state import Bounds, View
from storage.streams import StreamTable


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What a scan asks for.

    Attributes:
        table: the tenant's streams.
        accepted: bool[streams], those whose entries are wanted.
        start, end: ns, end exclusive.
    """

    table: StreamTable
    accepted: Mask
    start: int
    end: int

    def rows(self, batch: Batch) -> I64:
        """Row numbers of a batch that are wanted."""
        inside = self.accepted[batch.stream] & (batch.ts >= self.start) & (batch.ts < self.end)
        return np.flatnonzero(inside)


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

    def __init__(self, block: Block, window: Window) -> None:
        self.block = block
        self._window = window
        within = window.accepted[block.streams] & (block.stream_max >= window.start) & (block.stream_min < window.end)
        self.streams: I32 = block.streams[within]
        self.low: I64 = block.stream_min[within]
        self.high: I64 = block.stream_max[within]
        self._footer: Footer | None = None
        self._numbers: I32 | None = None

    @property
    def footer(self) -> Footer:
        """The block's footer, read when it is first needed. Raises CorruptBlock."""
        if self._footer is None:
            self._footer = read_footer(self.block.path)
        return self._footer

    @property
    def numbers(self) -> I32:
        """int32[k], the footer's streams as numbers of the table."""
        if self._numbers is None:
            self._numbers = self._window.table.numbers(np.array(self.footer.stream_ids, np.uint64))
        return self._numbers

    def groups(self) -> list[tuple[int, int, int, int]]:
        """(row group, min ts, max ts, rows) of the row groups with rows that may be wanted."""
        said = self.footer.spans
        window = self._window
        chosen = window.accepted[self.numbers[said.stream]]
        chosen &= (said.max_ts >= window.start) & (said.min_ts < window.end)
        at = np.flatnonzero(chosen)
        if not len(at):
            return []
        group = said.group[at]  # ascending: spans stand in row order
        heads = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
        low = np.minimum.reduceat(said.min_ts[at], heads)
        high = np.maximum.reduceat(said.max_ts[at], heads)
        rows = np.add.reduceat(said.rows[at], heads)
        return list(zip(group[heads].tolist(), low.tolist(), high.tolist(), rows.tolist(), strict=True))

    def read(self, group: int, accepted: Mask, start: int, end: int) -> Batch:
        """Rows of a row group in accepted streams' spans that overlap start..end, in block order."""
        footer, numbers = self.footer, self.numbers
        rows, stream = wanted_rows(footer, numbers, group, accepted[numbers], start, end)
        return read_rows(self.block.path, group, rows, stream, self._window.table, footer.columns)

    def rows_like(self, stream: I32, ts: I64) -> list[Batch]:
        """The rows whose (stream, ts) is among the given pairs: times are read first, lines only where one is."""
        accepted: Mask = np.zeros(len(self._window.table), np.bool_)
        accepted[stream] = True
        low, high = int(ts.min()), int(ts.max()) + 1
        found = []
        for group in range(int(self.footer.spans.group[-1]) + 1):
            rows, numbers = wanted_rows(self.footer, self.numbers, group, accepted[self.numbers], low, high)
            if not len(rows):
                continue
            times = read_times(self.block.path, group, rows, numbers, self._window.table)
            at = rows_at(times, stream, ts)
            if len(at):
                columns = self.footer.columns
                found.append(read_rows(self.block.path, group, rows[at], numbers[at], self._window.table, columns))
        return found


Held = MemorySource | BlockSource


class Overlaps:
    """Which streams of which sources may repeat rows of an earlier source: their times overlap."""

    def __init__(self, sources: Sequence[Held]) -> None:
        """Takes the sources in order of arrival."""
        self._sources = sources
        self._suspects = self._find()

    def _find(self) -> I32:
        """Streams of which two sources hold overlapping times, ascending."""
        none: I32 = np.zeros(0, np.int32)
        if len(self._sources) < 2:
            return none
        stream = np.concatenate([source.streams for source in self._sources])
        low = np.concatenate([source.low for source in self._sources])
        high = np.concatenate([source.high for source in self._sources])
        if len(np.unique(stream)) == len(stream):
            return none
        order = np.lexsort((low, stream))
        stream, low, high = stream[order], low[order], high[order]
        # How far the spans before one reach, per stream: the greatest so far of (stream, rank of the end), which starts
        # anew where the stream does because streams ascend.
        ends, rank = np.unique(high, return_inverse=True)
        reach = np.maximum.accumulate(stream.astype(np.int64) * len(ends) + rank)
        same = stream[1:] == stream[:-1]
        return np.unique(stream[1:][same & (low[1:] <= ends[reach[:-1] % len(ends)])])

    def drop(self, batch: Batch, place: int) -> Batch:
        """The rows of source `place` in `batch` that repeat none of an earlier source."""
        if not len(self._suspects) or not len(batch):
            return batch
        suspect = np.isin(batch.stream, self._suspects)
        if not suspect.any():
            return batch
        earlier: list[Batch] = []
        doubtful: Mask = np.zeros(len(batch), np.bool_)
        for source in self._sources[:place]:
            near = suspect & self._within(batch, source)
            if near.any():
                found = source.rows_like(batch.stream[near], batch.ts[near])
                if found:
                    earlier.extend(found)
                    doubtful |= near
        if not earlier:
            return batch
        at = np.flatnonzero(doubtful)
        joined = concat_batches([*earlier, take_rows(batch, at)])
        repeated = repeats(joined)[len(joined) - len(at) :]
        if not repeated.any():
            return batch
        keep: Mask = np.ones(len(batch), np.bool_)
        keep[at[repeated]] = False
        return take_rows(batch, np.flatnonzero(keep))

    @staticmethod
    def _within(batch: Batch, source: Held) -> Mask:
        """bool[n]: rows whose ts lies in the source's bounds of their stream."""
        order = np.argsort(source.streams)
        streams = source.streams[order]
        if not len(streams):
            return np.zeros(len(batch), np.bool_)
        at = np.minimum(np.searchsorted(streams, batch.stream), len(streams) - 1)
        low, high = source.low[order][at], source.high[order][at]
        inside: Mask = (streams[at] == batch.stream) & (batch.ts >= low) & (batch.ts <= high)
        return inside


def in_query_order(batch: Batch, table: StreamTable) -> Batch:
    """The batch sorted by (ts, stream id, arrival); rows of one stream must stand in (ts, arrival) order or arrival."""
    if len(batch) < 2:
        return batch
    return take_rows(batch, np.lexsort((table.ids[batch.stream], batch.ts)))


@dataclass(frozen=True, slots=True, eq=False)
class MemoryUnit:
    """A run of the memtable; a logql.source.Unit."""

    run: Run
    window: Window
    overlaps: Overlaps
    place: int
    arrival: int
    in_memory: bool = True
    compressed_bytes: int = 0

    @property
    def min_ts(self) -> int:
        """No entry is older, ns."""
        return max(self.run.min_ts, self.window.start)

    @property
    def max_ts(self) -> int:
        """No entry is newer, ns."""
        return min(self.run.max_ts, self.window.end - 1)

    def read(self) -> Batch:
        """The wanted entries in query order."""
        batch = take_rows(self.run.batch, self.window.rows(self.run.batch))
        return in_query_order(self.overlaps.drop(batch, self.place), self.window.table)


@dataclass(frozen=True, slots=True, eq=False)
class BlockUnit:
    """A row group of a block; a logql.source.Unit."""

    source: BlockSource
    group: int
    min_ts: int
    max_ts: int
    window: Window
    overlaps: Overlaps
    place: int
    arrival: int
    compressed_bytes: int
    in_memory: bool = False

    def read(self) -> Batch:
        """The wanted entries in query order. Raises CorruptBlock."""
        window = self.window
        batch = self.source.read(self.group, window.accepted, window.start, window.end)
        rows = window.rows(batch)
        if len(rows) < len(batch):
            batch = take_rows(batch, rows)
        return in_query_order(self.overlaps.drop(batch, self.place), window.table)


def units_of(view: View, table: StreamTable, accepted: Mask, start: int, end: int) -> list[MemoryUnit | BlockUnit]:
    """The units of a view that may hold entries of accepted streams in start <= ts < end, by arrival."""
    window = Window(table, accepted, start, end)
    blocks = [
        source
        for block in view.blocks
        if block.max_ts >= start and block.min_ts < end and len((source := BlockSource(block, window)).streams)
    ]
    runs = [run for run in view.memory if run.max_ts >= start and run.min_ts < end]
    sources: list[Held] = [*blocks]
    if runs:
        sources.append(MemorySource(view.memory, view.bounds, window))
    overlaps = Overlaps(sources)
    units: list[MemoryUnit | BlockUnit] = []
    for place, source in enumerate(blocks):
        for group, low, high, rows in source.groups():
            units.append(
                BlockUnit(
                    source=source,
                    group=group,
                    min_ts=max(low, start),
                    max_ts=min(high, end - 1),
                    window=window,
                    overlaps=overlaps,
                    place=place,
                    arrival=len(units),
                    compressed_bytes=source.block.size * rows // max(source.block.rows, 1),
                )
            )
    units.extend(MemoryUnit(run, window, overlaps, len(blocks), len(units) + number) for number, run in enumerate(runs))
    return units
