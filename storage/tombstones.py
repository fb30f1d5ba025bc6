"""Tombstones: deletes that hide entries of blocks until compaction has taken them out.

A tombstone hides what had come when it was accepted, and nothing that came later: entries in memory are taken out at
once, so that it only has to say something of blocks, and of those only up to a generation. A block that was written
without the entries lists the tombstone's id in its footer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from storage.batch import I32, I64, Batch, Mask
from storage.blockread import Block, read_footer, read_rows, wanted_rows
from storage.pages import open_pages
from storage.reading import Times
from storage.rows import take_rows
from storage.streams import StreamTable

_GROUPS = 2_048
"""Row groups of which the process remembers what a delete with a filter hides."""

Chooser = Callable[[Batch], Mask]
"""bool[n] for a batch of n rows without a selection: those that a delete's line filters let through."""


@dataclass(frozen=True, slots=True, eq=False)
class Tombstone:
    """A delete that blocks still need.

    Attributes:
        id: of the delete request.
        streams: bool[streams that there were when it was accepted], those that its selector matches.
        start, end: ns, end exclusive.
        generation: it says nothing of blocks of a later one.
        chooses: which entries of those it deletes; None: all.
    """

    id: str
    streams: Mask
    start: int
    end: int
    generation: int
    chooses: Chooser | None = None

    def selects(self, streams: I32) -> Mask:
        """bool[k]: whether streams are among those of its selector."""
        if not len(self.streams):
            return np.zeros(len(streams), np.bool_)
        inside: Mask = streams < len(self.streams)
        return inside & self.streams[np.minimum(streams, len(self.streams) - 1)]

    def reaches(self, block: Block) -> bool:
        """Whether it may hide entries of a block."""
        return (
            self.generation >= block.generation
            and self.id not in block.deletes
            and block.min_ts < self.end
            and block.max_ts >= self.start
            and bool(
                (self.selects(block.streams) & (block.stream_min < self.end) & (block.stream_max >= self.start)).any()
            )
        )


def reaching(tombstones: Iterable[Tombstone], block: Block) -> tuple[Tombstone, ...]:
    """Those that may hide entries of the block."""
    return tuple(one for one in tombstones if one.reaches(block))


def hidden(times: Times, block: Block, group: int, tombstones: Iterable[Tombstone], table: StreamTable) -> Mask:
    """bool[n]: which of a row group's entries some of the tombstones that reach its block hide. Raises CorruptBlock."""
    found: Mask = np.zeros(len(times), np.bool_)
    for one in tombstones:
        if one.chooses is None:
            found |= one.selects(times.stream) & (times.ts >= one.start) & (times.ts < one.end)
        else:
            rows = _chosen(block, group, one, table)
            if len(rows):
                found |= np.isin(times.rows, rows, assume_unique=True)
    return found


@lru_cache(maxsize=_GROUPS)
def _chosen(block: Block, group: int, tombstone: Tombstone, table: StreamTable) -> I64:
    """Rows of a row group, ascending, that a tombstone with a filter hides. Raises CorruptBlock."""
    footer = read_footer(block.path)
    accepted = tombstone.selects(block.streams)
    rows, stream, _ = wanted_rows(footer, block.streams, group, accepted, tombstone.start, tombstone.end)
    if not len(rows):
        return rows
    ts = open_pages(block.path).timestamps(group, rows)
    inside = np.flatnonzero((ts >= tombstone.start) & (ts < tombstone.end))
    times = Times(table, rows, stream, ts).take(inside)
    if not len(times):
        return times.rows
    batch = read_rows(block.path, group, times, footer.columns)
    if batch.selection is not None:
        batch = take_rows(batch, batch.selection)
    assert tombstone.chooses is not None
    return times.rows[tombstone.chooses(batch)]
