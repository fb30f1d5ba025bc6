"""Ranges of stream ids that hold about equal parts of what streams wrote, for who asks a query in parts.

Estimated as volumes are: no line is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.batch import I64
from storage.cells import Cells
from storage.stats import IndexStats
from storage.streams import StreamTable
from storage.volumes import covered

LAST_ID = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Shard:
    """The streams with first <= id <= last, and how much they have in the time asked for."""

    first: int
    last: int
    stats: IndexStats


def shards_of(found: tuple[Cells, StreamTable] | None, start: int, end: int, target: int) -> list[Shard]:
    """Shards that together hold every id, in order, of at most `target` bytes each, or of one stream.

    Args:
        found: cells and the table of their streams; None: there is nothing.
        start: ns.
        end: ns, included.
        target: bytes, over 0.
    """
    nothing = [Shard(0, LAST_ID, IndexStats(0, 0, 0, 0))]
    if found is None:
        return nothing
    cells, table = found
    touched, size = covered(cells, slice(0, len(cells)), start, end)
    if not touched.any():
        return nothing
    streams, local = np.unique(cells.stream[touched], return_inverse=True)
    ids = table.ids[streams]
    order = np.argsort(ids)
    count = len(streams)
    share = size[touched] / np.maximum(cells.size[touched], 1)
    per_stream = [
        np.bincount(local, values, count)[order].astype(np.int64)
        for values in (cells.chunks[touched], size[touched], cells.rows[touched] * share)
    ]
    heads = _heads(per_stream[1], target)
    counts = np.diff(heads, append=count).tolist()
    chunks, sizes, entries = (np.add.reduceat(values, heads).tolist() for values in per_stream)
    firsts = [0, *ids[order][heads[1:]].tolist()]
    lasts = [first - 1 for first in firsts[1:]] + [LAST_ID]
    return [
        Shard(first, last, IndexStats(*stats))
        for first, last, *stats in zip(firsts, lasts, counts, chunks, sizes, entries, strict=True)
    ]


def _heads(sizes: I64, target: int) -> list[int]:
    """Where shards begin among streams of such sizes."""
    ends = np.cumsum(sizes)
    heads = [0]
    while True:
        before = int(ends[heads[-1] - 1]) if heads[-1] else 0
        head = max(int(np.searchsorted(ends, before + target, side="right")), heads[-1] + 1)
        if head >= len(ends):
            return heads
        heads.append(head)
