"""Index statistics: how much of some streams lies in a time range. No line is read.

LOKI-DIFF(7): Loki answers zeros for what its ingester holds; this is true for memory and blocks alike.

Blocks say it in their footers' spans, whose times are read where the range cuts a span; the memtable says it in its
columns. An entry that stands in two blocks, or in a block and in memory, counts in each: only reading could tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from storage.batch import I64, Mask
from storage.blockread import Block, read_footer
from storage.blockwrite import metadata_sizes
from storage.footer import Footer
from storage.memtable import Run
from storage.pages import open_pages
from storage.rows import spans
from storage.state import View
from storage.streams import StreamTable


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


def index_stats(view: View, table: StreamTable, accepted: Mask, start: int, end: int) -> IndexStats:
    """The figures of accepted streams in start <= ts < end (ns).

    Args:
        view: the tenant's rows.
        table: the tenant's streams.
        accepted: bool[streams], taken after the view.
        start: ns, inclusive.
        end: ns, exclusive.

    Raises:
        CorruptBlock: a footer or a column of times cannot be read.
    """
    total = _Total(np.zeros(len(accepted), np.bool_))
    for block in view.blocks:
        if block.max_ts >= start and block.min_ts < end:
            _add_block(total, block, table, accepted, start, end)
    _add_runs(total, view.memory, accepted, start, end)
    return IndexStats(int(np.count_nonzero(total.streams)), total.chunks, total.bytes, total.entries)


@dataclass(slots=True, eq=False)
class _Total:
    """Figures so far; `streams` is bool[streams], those with entries."""

    streams: Mask
    chunks: int = 0
    bytes: int = 0
    entries: int = 0


def _add_runs(total: _Total, runs: Iterable[Run], accepted: Mask, start: int, end: int) -> None:
    seen: Mask = np.zeros(len(accepted), np.bool_)
    for run in runs:
        batch = run.batch
        if run.max_ts < start or run.min_ts >= end:
            continue
        inside = accepted[batch.stream] & (batch.ts >= start) & (batch.ts < end)
        seen[batch.stream[inside]] = True
        total.entries += int(np.count_nonzero(inside))
        total.bytes += int(batch.lines.lengths[inside].sum()) + int(metadata_sizes(batch)[inside].sum())
    total.chunks += int(np.count_nonzero(seen))
    total.streams |= seen


def _add_block(total: _Total, block: Block, table: StreamTable, accepted: Mask, start: int, end: int) -> None:
    within = accepted[block.streams] & (block.stream_max >= start) & (block.stream_min < end)
    if not within.any():
        return
    footer = read_footer(block.path)
    said = footer.spans
    numbers = table.numbers(np.array(footer.stream_ids, np.uint64))
    chosen = np.flatnonzero(accepted[numbers[said.stream]] & (said.max_ts >= start) & (said.min_ts < end))
    entries = said.rows[chosen].copy()
    cut = (said.min_ts[chosen] < start) | (said.max_ts[chosen] >= end)
    entries[cut] = _entries_within(block, footer, chosen[cut], start, end)
    some = entries > 0
    chosen, entries = chosen[some], entries[some]
    size = said.line_bytes[chosen] + said.metadata_bytes[chosen]
    total.streams[numbers[said.stream[chosen]]] = True
    total.chunks += len(chosen)
    total.entries += int(entries.sum())
    total.bytes += sum(
        part * inside // rows
        for part, inside, rows in zip(size.tolist(), entries.tolist(), said.rows[chosen].tolist(), strict=True)
    )


def _entries_within(block: Block, footer: Footer, chosen: I64, start: int, end: int) -> I64:
    """int64[k], entries of each of the spans `chosen` (ascending) with start <= ts < end. Reads their times."""
    said = footer.spans
    found = np.zeros(len(chosen), np.int64)
    for group in np.unique(said.group[chosen]).tolist():
        here = np.flatnonzero(said.group[chosen] == group)
        counts = said.rows[chosen[here]]
        rows = spans(said.row[chosen[here]], counts)
        ts = open_pages(block.path).timestamps(group, rows)
        inside = (ts >= start) & (ts < end)
        heads = np.concatenate([[0], np.cumsum(counts)[:-1]])
        found[here] = np.add.reduceat(inside.astype(np.int64), heads)
    return found
