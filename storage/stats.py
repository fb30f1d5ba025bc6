"""Index statistics: how much of some streams lies in a time range. No line is read.

LOKI-DIFF(7): Loki answers zeros for what its ingester holds; this is true for memory and blocks alike.

Blocks say it in their footers' spans; times are read where the range cuts a span, and where entries are deleted or have
expired, which do not count. The memtable says it in its columns. An entry that stands in two blocks, or in a block and
in memory, counts in each: only reading could tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from storage.batch import I64, Mask
from storage.blockwrite import metadata_sizes
from storage.memtable import Run
from storage.scan import BlockSource, Window
from storage.state import View
from storage.tombstones import reaching


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
    for block in view.blocks:
        if block.max_ts >= window.start and block.min_ts < window.end:
            source = BlockSource(block, window, reaching(view.tombstones, block))
            if source.is_wanted():
                _add_block(total, source)
    _add_runs(total, view.memory, window)
    return IndexStats(int(np.count_nonzero(total.streams)), total.chunks, total.bytes, total.entries)


@dataclass(slots=True, eq=False)
class _Total:
    """Figures so far; `streams` is bool[streams], those with entries."""

    streams: Mask
    chunks: int = 0
    bytes: int = 0
    entries: int = 0


def _add_runs(total: _Total, runs: Iterable[Run], window: Window) -> None:
    accepted, start, end = window.accepted, window.start, window.end
    seen: Mask = np.zeros(len(accepted), np.bool_)
    for run in runs:
        batch = run.batch
        if run.max_ts < start or run.min_ts >= end:
            continue
        inside = accepted[batch.stream] & (batch.ts >= start) & (batch.ts < end)
        if window.floor is not None:
            inside &= batch.ts >= window.floor[batch.stream]
        seen[batch.stream[inside]] = True
        total.entries += int(np.count_nonzero(inside))
        total.bytes += int(batch.lines.lengths[inside].sum()) + int(metadata_sizes(batch)[inside].sum())
    total.chunks += int(np.count_nonzero(seen))
    total.streams |= seen


def _add_block(total: _Total, source: BlockSource) -> None:
    said = source.footer.spans
    for group, _, _ in source.groups():
        chosen = source.spans_of(group)
        rows = said.rows[chosen]
        entries = rows if source.totals(group) is not None else _entries_of(source, group, chosen)
        some = entries > 0
        chosen, rows, entries = chosen[some], rows[some], entries[some]
        size = said.line_bytes[chosen] + said.metadata_bytes[chosen]
        total.streams[source.block.streams[said.stream[chosen]]] = True
        total.chunks += len(chosen)
        total.entries += int(entries.sum())
        total.bytes += sum(
            part * inside // count
            for part, inside, count in zip(size.tolist(), entries.tolist(), rows.tolist(), strict=True)
        )


def _entries_of(source: BlockSource, group: int, chosen: I64) -> I64:
    """int64[k], the wanted entries in each of a row group's spans `chosen` (ascending). Reads times."""
    said = source.footer.spans
    first = said.row[chosen]
    at = np.searchsorted(first, source.times(group).rows, side="right") - 1
    return np.bincount(at, minlength=len(chosen)).astype(np.int64)
