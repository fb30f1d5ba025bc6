"""Rows that stand in storage more than once: in two blocks, or in a block and in memory. Only the first is shown.

Two sources can share a row only where their times of a stream overlap; there, rows of equal (stream, ts) are looked for
in the columns of times, and contents compared for those alone. Between blocks, which never change, that is done once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Protocol

import numpy as np

from storage.batch import I32, I64, Batch, Mask
from storage.blockread import Block, read_footer, read_rows, wanted_rows
from storage.duplicates import repeats, rows_at
from storage.pages import open_pages
from storage.reading import Times
from storage.rows import concat_batches, take_rows
from storage.streams import StreamTable
from storage.tombstones import Tombstone, hidden, reaching

_SETS, _BLOCKS = 256, 4096
"""Sets of blocks and single blocks of which the process remembers what repeats."""


class Held(Protocol):
    """Rows that came earlier.

    Attributes:
        streams: int32[k], stream numbers.
        low, high: int64[k], ns, between which the rows of each stand.
    """

    streams: I32
    low: I64
    high: I64

    def rows_like(self, stream: I32, ts: I64) -> list[Batch]:
        """The rows whose (stream, ts) is among the given pairs."""


def overlapping(streams: Sequence[I32], low: Sequence[I64], high: Sequence[I64]) -> I32:
    """Streams of which two sources hold overlapping times, ascending; one array a source, as in Held."""
    none: I32 = np.zeros(0, np.int32)
    if len(streams) < 2:
        return none
    stream, first, last = np.concatenate(streams), np.concatenate(low), np.concatenate(high)
    if len(np.unique(stream)) == len(stream):
        return none
    order = np.lexsort((first, stream))
    stream, first, last = stream[order], first[order], last[order]
    # How far the spans before one reach, per stream: the greatest so far of (stream, rank of the end), which starts
    # anew where the stream does because streams ascend.
    ends, rank = np.unique(last, return_inverse=True)
    reach = np.maximum.accumulate(stream.astype(np.int64) * len(ends) + rank)
    same = stream[1:] == stream[:-1]
    return np.unique(stream[1:][same & (first[1:] <= ends[reach[:-1] % len(ends)])])


def within(stream: I32, ts: I64, source: Held) -> Mask:
    """bool[n]: rows whose ts lies in the source's bounds of their stream."""
    if not len(source.streams):
        return np.zeros(len(stream), np.bool_)
    order = np.argsort(source.streams)
    streams = source.streams[order]
    at = np.minimum(np.searchsorted(streams, stream), len(streams) - 1)
    inside: Mask = (streams[at] == stream) & (ts >= source.low[order][at]) & (ts <= source.high[order][at])
    return inside


def repeated(times: Times, earlier: Sequence[Held], read: Callable[[Times], Batch]) -> I64:
    """Places in `times` of the rows that repeat a row of an earlier source, ascending.

    Args:
        times: rows of one source.
        earlier: the sources before it.
        read: reads rows of it, all that is known of them, as rows of a batch.
    """
    found: list[Batch] = []
    doubtful: Mask = np.zeros(len(times), np.bool_)
    for source in earlier:
        near = within(times.stream, times.ts, source)
        if near.any():
            like = source.rows_like(times.stream[near], times.ts[near])
            if like:
                found += like
                doubtful |= near
    if not found:
        return np.zeros(0, np.int64)
    pairs = concat_batches(found)
    at = np.flatnonzero(doubtful)
    at = at[rows_at(times.take(at), pairs.stream, pairs.ts)]
    joined = concat_batches([pairs, read(times.take(at))])
    return at[repeats(joined)[len(pairs) :]]


class BlockRows:
    """A block as a source that came earlier."""

    def __init__(self, block: Block, table: StreamTable, tombstones: Sequence[Tombstone] = ()) -> None:
        """`tombstones`: those that may hide rows of it; what they hide is not there, so that it may come again."""
        self._block = block
        self._table = table
        self._tombstones = tombstones
        self.streams = block.streams
        self.low = block.stream_min
        self.high = block.stream_max

    def rows_like(self, stream: I32, ts: I64) -> list[Batch]:
        """The rows whose (stream, ts) is among the given pairs. Raises CorruptBlock."""
        accepted: Mask = np.zeros(len(self._table), np.bool_)
        accepted[stream] = True
        footer = read_footer(self._block.path)
        found = []
        for group, times in near_times(self._block, self._table, accepted, int(ts.min()), int(ts.max()) + 1):
            like = times.take(rows_at(times, stream, ts))
            if len(like) and self._tombstones:
                like = like.take(np.flatnonzero(~hidden(like, self._block, group, self._tombstones, self._table)))
            if len(like):
                found.append(_read_compact(self._block, group, footer.columns, like))
        return found


def near_times(block: Block, table: StreamTable, accepted: Mask, start: int, end: int) -> Iterator[tuple[int, Times]]:
    """Rows of accepted streams (bool[table]) in spans that overlap start..end (ns), by row group.

    Raises CorruptBlock.
    """
    footer = read_footer(block.path)
    own = accepted[block.streams]
    spans = footer.spans
    near = own[spans.stream] & (spans.max_ts >= start) & (spans.min_ts < end)
    for group in np.unique(spans.group[near]).tolist():
        rows, stream, _ = wanted_rows(footer, block.streams, group, own, start, end)
        yield group, Times(table, rows, stream, open_pages(block.path).timestamps(group, rows))


@lru_cache(maxsize=_SETS)
def shared_streams(blocks: tuple[Block, ...]) -> I32:
    """Streams of which two of the blocks hold overlapping times, ascending."""
    return overlapping(
        [block.streams for block in blocks],
        [block.stream_min for block in blocks],
        [block.stream_max for block in blocks],
    )


def repeated_in_block(
    blocks: tuple[Block, ...], place: int, table: StreamTable, tombstones: tuple[Tombstone, ...] = ()
) -> Mapping[int, I64]:
    """Row group -> rows of blocks[place], ascending, that repeat rows of a block before it. Raises CorruptBlock.

    What one of the tombstones hides repeats nothing.
    """
    shared = shared_streams(blocks)
    if not len(shared):
        return {}
    block = blocks[place]
    if not np.isin(block.streams, shared, assume_unique=True).any():
        return {}
    earlier = tuple(one for one in blocks[:place] if one.min_ts <= block.max_ts and one.max_ts >= block.min_ts)
    if not earlier:
        return {}
    told = tuple(one for one in tombstones if any(one.reaches(block) for block in earlier)) if tombstones else ()
    return _repeated_in_block(block, earlier, table, told)


@lru_cache(maxsize=_BLOCKS)
def _repeated_in_block(
    block: Block, earlier: tuple[Block, ...], table: StreamTable, tombstones: tuple[Tombstone, ...]
) -> Mapping[int, I64]:
    sources = [BlockRows(one, table, reaching(tombstones, one)) for one in earlier]
    start = max(block.min_ts, min(one.min_ts for one in earlier))
    end = min(block.max_ts, max(one.max_ts for one in earlier)) + 1
    accepted: Mask = np.zeros(len(table), np.bool_)
    for one in earlier:
        accepted[one.streams] = True
    columns = read_footer(block.path).columns
    found = {}
    for group, times in near_times(block, table, accepted, start, end):
        at = repeated(times, sources, partial(_read_compact, block, group, columns))
        if len(at):
            found[group] = times.rows[at]
    return found


def _read_compact(block: Block, group: int, columns: Sequence[str], times: Times) -> Batch:
    return _compact(read_rows(block.path, group, times, columns))


def _compact(batch: Batch) -> Batch:
    """The batch's selection as a batch."""
    return batch if batch.selection is None else take_rows(batch, batch.selection)


def forget_repeats() -> None:
    """Lets go of what is remembered of blocks, among which are some that are gone."""
    shared_streams.cache_clear()
    _repeated_in_block.cache_clear()
