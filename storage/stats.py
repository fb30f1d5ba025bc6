"""Index statistics: how much of some streams lies in a time range. No line is read.

LOKI-DIFF(7): Loki answers zeros for what its ingester holds; this is true for memory and blocks alike.

Blocks say it in their footers' spans; times are read where the range cuts a span, and where entries are deleted or have
expired, which do not count. Those that stand twice count once (storage.doubled). The memtable says it in its columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from storage.batch import I64, Mask
from storage.blockwrite import metadata_sizes
from storage.doubled import excess_of_block, repeated_in_runs
from storage.memtable import Run
from storage.repeats import repeated_in_block
from storage.scan import BlockSource, Window
from storage.state import View
from storage.streams import StreamTable
from storage.tombstones import reaching

_NO_ROWS: I64 = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class IndexStats:
    """What matches a selector in a time range.

    Attributes:
        streams: streams with entries in it.
        chunks: stretches of rows that hold them: a stream's in one row group and hour, and in memory all of a stream's.
        bytes: of lines, and of names and values of structured metadata. Pro-rated by entries where the range cuts a
            stretch of a block.
        entries: entries.
    """

    streams: int
    chunks: int
    bytes: int
    entries: int


def index_stats(view: View, window: Window) -> IndexStats:
    """The figures of what a window asks of a tenant's rows.

    Raises:
        CorruptBlock: a footer or a column of times cannot be read.
    """
    total = _Total(np.zeros(len(window.accepted), np.bool_))
    for place, block in enumerate(view.blocks):
        if block.max_ts >= window.start and block.min_ts < window.end:
            source = BlockSource(block, window, reaching(view.tombstones, block))
            if source.is_wanted():
                _add_block(total, source, view, place, window.table)
    runs = [run for run in view.memory if run.max_ts >= window.start and run.min_ts < window.end]
    _add_runs(total, runs, repeated_in_runs(view, runs, window.table), window)
    return IndexStats(int(np.count_nonzero(total.streams)), total.chunks, total.bytes, total.entries)


@dataclass(slots=True, eq=False)
class _Total:
    """Figures so far; `streams` is bool[streams], those with entries."""

    streams: Mask
    chunks: int = 0
    bytes: int = 0
    entries: int = 0


def _add_runs(total: _Total, runs: Iterable[Run], doubled: Mapping[Run, I64], window: Window) -> None:
    accepted, start, end = window.accepted, window.start, window.end
    seen: Mask = np.zeros(len(accepted), np.bool_)
    for run in runs:
        batch = run.batch
        inside = accepted[batch.stream] & (batch.ts >= start) & (batch.ts < end)
        floor = window.floor_of_run(run)
        if floor is not None:
            inside &= batch.ts >= floor[batch.stream]
        if run in doubled:
            inside[doubled[run]] = False
        seen[batch.stream[inside]] = True
        total.entries += int(np.count_nonzero(inside))
        total.bytes += int(batch.lines.lengths[inside].sum()) + int(metadata_sizes(batch)[inside].sum())
    total.chunks += int(np.count_nonzero(seen))
    total.streams |= seen


def _add_block(total: _Total, source: BlockSource, view: View, place: int, table: StreamTable) -> None:
    said = source.footer.spans
    all_rows, all_sizes = said.rows, said.line_bytes + said.metadata_bytes
    repeats = repeated_in_block(view.blocks, place, table, view.tombstones)
    if repeats:
        all_rows = all_rows.copy()
        for excess in excess_of_block(view, place, table):
            all_rows[excess.spans] -= excess.rows
            all_sizes[excess.spans] -= excess.line_bytes + excess.metadata_bytes
    for group, _, _ in source.groups():
        chosen = source.spans_of(group)
        entries = all_rows[chosen]
        if source.totals(group) is None:
            entries = _entries_of(source, group, chosen, repeats.get(group, _NO_ROWS))
        chosen, entries = chosen[entries > 0], entries[entries > 0]
        rows, size = all_rows[chosen], all_sizes[chosen]
        total.streams[source.block.streams[said.stream[chosen]]] = True
        total.chunks += len(chosen)
        total.entries += int(entries.sum())
        # size * entries // rows, of which the product may be more than 64 bits have.
        total.bytes += int((size // rows * entries + size % rows * entries // rows).sum())


def _entries_of(source: BlockSource, group: int, chosen: I64, repeats: I64) -> I64:
    """int64[k], the wanted entries in each of a row group's spans `chosen` (ascending), but `repeats`. Reads times."""
    said = source.footer.spans
    first, found = said.row[chosen], source.times(group).rows
    if len(repeats):
        found = np.setdiff1d(found, repeats, assume_unique=True)
    at = np.searchsorted(first, found, side="right") - 1
    return np.bincount(at, minlength=len(chosen)).astype(np.int64)
