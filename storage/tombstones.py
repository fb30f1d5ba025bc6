"""Tombstones: deletes that hide entries of blocks until compaction has taken them out.

A tombstone hides what had come when it was accepted, and nothing that came later: entries in memory are brought to
blocks before, so that it only has to say something of blocks, and of those only up to a generation. A block that was
written without the entries lists the tombstone's id in its footer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from storage.batch import I32, I64, Batch, Mask
from storage.blockread import Block, read_footer, read_rows, wanted_rows
from storage.kept import Kept
from storage.pages import open_pages
from storage.reading import Times
from storage.rows import take_rows
from storage.streams import StreamTable

_MOST, _ROOM = 1 << 18, 64 << 20
"""Of so many row groups the process remembers what a delete with a filter hides, if that takes no more bytes."""
_ENTRY = 300
"""Bytes that it takes besides the rows."""

Chooser = Callable[[Batch], Mask]
"""bool[n] for a batch of n rows without a selection: those that a delete's filters let through."""


def _at_once() -> bool:
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Tombstone:
    """A delete that blocks still need.

    Attributes:
        id: of the delete request.
        streams: bool[streams that there were when it was accepted], those that its selector matches.
        start, end: ns, end exclusive.
        generation: it says nothing of blocks of a later one.
        chooses: which entries of those it deletes; None: all.
        claim: whether entries may be taken out of blocks for it now. To be asked before that is begun, without any
            lock; once the answer was True, the delete can no longer be called off. While it is False, a block that
            the tombstone reaches is not to be joined with one of a later generation: what is hidden would be shown.
        spared: files that were looked at and have none of its entries; added to, never taken from.
    """

    id: str
    streams: Mask
    start: int
    end: int
    generation: int
    chooses: Chooser | None = None
    claim: Callable[[], bool] = _at_once
    spared: set[Path] = field(default_factory=set)

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
            and block.path not in self.spared
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


def spare(
    block: Block, tombstones: Iterable[Tombstone], table: StreamTable, pause: Callable[[], None] = lambda: None
) -> bool:
    """Looks whether tombstones hide entries of a block; those that do not reach it no more. Whether none does.

    To look takes reading; writing a block anew, for nothing, takes ten times that. `pause` is called in between.

    Raises CorruptBlock.
    """
    for one in reaching(tombstones, block):
        for group in np.unique(read_footer(block.path).spans.group).tolist():
            pause()
            if _hides_some(block, group, one, table):
                return False
        one.spared.add(block.path)
    return True


def _hides_some(block: Block, group: int, one: Tombstone, table: StreamTable) -> bool:
    if one.chooses is not None:
        return len(_chosen(block, group, one, table)) > 0
    accepted = one.selects(block.streams)
    rows, _, _ = wanted_rows(read_footer(block.path), block.streams, group, accepted, one.start, one.end)
    if not len(rows):
        return False
    ts = open_pages(block.path).timestamps(group, rows)
    return bool(((ts >= one.start) & (ts < one.end)).any())


_known: Kept[tuple[Path, int, Tombstone], I64] = Kept(_MOST, _ROOM)


def _chosen(block: Block, group: int, tombstone: Tombstone, table: StreamTable) -> I64:
    """Rows of a row group, ascending, that a tombstone with a filter hides. Raises CorruptBlock."""
    key = block.path, group, tombstone
    found = _known.get(key)
    if found is None:
        found = _choose(block, group, tombstone, table)
        found = _known.put(key, found, _ENTRY + found.nbytes)
    return found


def _choose(block: Block, group: int, tombstone: Tombstone, table: StreamTable) -> I64:
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
