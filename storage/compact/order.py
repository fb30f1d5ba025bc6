"""Rows of several sources in one order: (hour, stream, ts, arrival), without those that repeat an earlier one.

Every source is read once and in its own order, a row group's times at a time. What is known to come before anything
that is not read yet is a window: its rows are merged and given out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from storage.batch import I64, Batch, Mask
from storage.blockread import Block
from storage.compact.source import NO_ROWS, Rows, Source, join_rows
from storage.duplicates import repeats
from storage.errors import StorageError
from storage.kernels.order import merge_stretches
from storage.labels import labels_text
from storage.rows import concat_batches
from storage.streams import StreamTable

MAX_EQUAL = 1 << 20
"""Rows of one stream and time, in two sources or more, from which these are not joined: all would be held in memory."""
COMPARED_BYTES = 16 << 20
"""Bytes of lines and metadata that are compared at once, but for rows of one stream and time."""
MAX_COMPARED = 64 << 20
"""Bytes of such rows from which blocks are not joined."""


class CannotJoin(StorageError):  # noqa: N818 - named for what it is
    """Blocks have so many rows of one stream and time that joining them would take too much memory.

    Attributes:
        blocks: those that have them, two at least. Others may be joined.
    """

    def __init__(self, what: str, blocks: Sequence[Block]) -> None:
        names = ", ".join(block.path.name for block in blocks)
        super().__init__(f"{names} have more than {what} of one stream and time")
        self.blocks = tuple(blocks)


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Hours and streams of some sources, numbered in block order.

    Attributes:
        streams: int64[k], numbers of the streams in order of their texts.
        names: those texts.
        stream: int64[buckets], the place of each one's stream in `streams`.
    """

    streams: I64
    names: Sequence[str]
    stream: I64


def number_buckets(sources: Sequence[Source], table: StreamTable) -> Buckets:
    """Numbers hours and streams of all sources, and tells each source those of its spans."""
    numbers = np.unique(np.concatenate([source.stream for source in sources])).astype(np.int64)
    names = np.array([labels_text(table[number]) for number in numbers.tolist()], dtype=object)
    by_name = np.argsort(names, kind="stable")
    rank = np.empty(len(numbers), np.int64)
    rank[by_name] = np.arange(len(numbers))
    ranks = rank[np.searchsorted(numbers, np.concatenate([source.stream for source in sources]))]
    hours, of_hour = np.unique(np.concatenate([source.hour for source in sources]), return_inverse=True)
    assert len(hours) <= 24, "a block has rows of one day"
    found, buckets = np.unique(of_hour * len(numbers) + ranks, return_inverse=True)
    at = 0
    for source in sources:
        source.number_buckets(buckets[at : at + len(source.stream)])
        at += len(source.stream)
    return Buckets(numbers[by_name], names[by_name].tolist(), found % len(numbers))


class _Cursor:
    """Where a source is: rows that are read and not given out yet."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._next = 0
        self.rows = NO_ROWS

    @property
    def ended(self) -> bool:
        """Whether all row groups are read."""
        return self._next == self._source.groups

    def fill(self) -> None:
        """Reads row groups until there is a row."""
        while not len(self.rows) and not self.ended:
            self.more()

    def more(self) -> None:
        """Reads another row group."""
        self.rows = join_rows([self.rows, self._source.rows(self._next)])
        self._source.let_go()
        self._next += 1

    def last(self) -> tuple[int, int]:
        """(bucket, ts) of the last row."""
        return int(self.rows.bucket[-1]), int(self.rows.ts[-1])

    def before(self, bucket: int, ts: int) -> int:
        """How many rows come before every row of a bucket and time."""
        low, high = np.searchsorted(self.rows.bucket, [bucket, bucket + 1]).tolist()
        return int(low + np.searchsorted(self.rows.ts[low:high], ts))

    def take(self, count: int) -> Rows:
        """Gives out the first rows."""
        given, self.rows = self.rows.take(slice(0, count)), self.rows.take(slice(count, None))
        return given


def in_order(sources: Sequence[Source]) -> Iterator[Rows]:
    """Rows of sources, given in order of arrival, window by window; repeats are among them.

    No two windows have rows of one stream and time that stand in several sources.

    Raises:
        UnreadableSource: a source is damaged.
        CannotJoin: there are too many rows of one stream and time.
    """
    if len(sources) == 1:
        for group in range(sources[0].groups):
            rows = sources[0].rows(group)
            sources[0].let_go()
            if len(rows):
                yield rows
        return
    cursors = [_Cursor(source) for source in sources]
    while True:
        for cursor in cursors:
            cursor.fill()
        open_ = [cursor for cursor in cursors if not cursor.ended]
        if not open_:
            break
        least = min(open_, key=_Cursor.last)
        bucket, ts = least.last()
        counts = [cursor.before(bucket, ts) for cursor in cursors]
        if any(counts):
            yield _merged([cursor.take(count) for cursor, count in zip(cursors, counts, strict=True)])
            continue
        equal = [cursor.before(bucket, ts + 1) for cursor in cursors]
        if sum(map(bool, equal)) == 1:  # in no other source: none of them is a repeat
            yield least.take(len(least.rows))
        elif sum(equal) >= MAX_EQUAL:
            found = [source.block for source, count in zip(sources, equal, strict=True) if count]
            raise CannotJoin(f"{MAX_EQUAL} rows", found)
        else:
            least.more()
    if any(len(cursor.rows) for cursor in cursors):
        yield _merged([cursor.rows for cursor in cursors])


def _merged(parts: Sequence[Rows]) -> Rows:
    """Rows of several sources, each in order, as one."""
    found = [part for part in parts if len(part)]
    if len(found) == 1:
        return found[0]
    rows = join_rows(found)
    firsts = np.cumsum([0, *map(len, found[:-1])])
    change = rows.bucket[1:] != rows.bucket[:-1]
    change[firsts[1:] - 1] = True
    heads = np.concatenate(([0], np.flatnonzero(change) + 1))
    arranged = np.argsort(rows.bucket[heads], kind="stable")
    counts = np.diff(heads, append=len(rows))[arranged]
    starts = heads[arranged]
    bucket = rows.bucket[starts]
    buckets = np.flatnonzero(np.concatenate(([True], bucket[1:] != bucket[:-1], [True])))
    order, spare = np.empty((2, len(rows)), np.int64)
    merge_stretches(rows.ts, starts, counts, buckets, order, spare, np.empty(len(heads) + 1, np.int64))
    return rows.take(order)


def repeated(rows: Rows, sources: Sequence[Source]) -> Mask | None:
    """bool[n]: rows of a window that repeat a row of an earlier source; None: none does.

    Raises UnreadableSource, CannotJoin.
    """
    suspects = _suspects(rows)
    if not len(suspects):
        return None
    found: Mask = np.zeros(len(rows), np.bool_)
    for some in _pieces(rows, suspects, sources):
        found[some] = _repeat(rows.take(some), sources)
    return found if found.any() else None


def _suspects(rows: Rows) -> I64:
    """Places of rows that have bucket, ts and length of line in common with a row of another source, ascending."""
    same = (rows.bucket[1:] == rows.bucket[:-1]) & (rows.ts[1:] == rows.ts[:-1])
    if not same.any():
        return np.zeros(0, np.int64)
    near = np.flatnonzero(np.concatenate(([False], same)) | np.concatenate((same, [False])))
    key = np.cumsum(np.concatenate(([True], ~same)))[near]
    order = np.lexsort((near, rows.length[near], key))
    near, key = near[order], key[order]
    length, source = rows.length[near], rows.source[near]
    heads = np.flatnonzero(np.concatenate(([True], (key[1:] != key[:-1]) | (length[1:] != length[:-1]))))
    several = np.minimum.reduceat(source, heads) != np.maximum.reduceat(source, heads)
    return np.sort(near[np.repeat(several, np.diff(heads, append=len(near)))])


def _pieces(rows: Rows, places: I64, sources: Sequence[Source]) -> Iterator[I64]:
    """Cuts places between times such that each piece is small enough to be compared. Raises CannotJoin."""
    size = np.cumsum(rows.length[places] + rows.metadata[places])
    bucket, ts = rows.bucket[places], rows.ts[places]
    cuts = np.concatenate((np.flatnonzero((bucket[1:] != bucket[:-1]) | (ts[1:] != ts[:-1])) + 1, [len(places)]))
    start = 0
    while start < len(places):
        base = int(size[start - 1]) if start else 0
        ends = cuts[cuts > start]
        fitting = np.searchsorted(size[ends - 1], base + COMPARED_BYTES, side="right")
        end = int(ends[max(int(fitting) - 1, 0)])
        if int(size[end - 1]) - base > MAX_COMPARED:
            found = np.unique(rows.source[places[start:end]])
            raise CannotJoin(f"{MAX_COMPARED} bytes", [sources[number].block for number in found.tolist()])
        yield places[start:end]
        start = end


def _repeat(rows: Rows, sources: Sequence[Source]) -> Mask:
    """bool[n]: rows that repeat an earlier one."""
    order = np.lexsort((rows.row, rows.group, rows.source))
    arrived = rows.take(order)
    parts = [part for _, part in contents(arrived, sources)]
    found: Mask = np.zeros(len(rows), np.bool_)
    found[order] = repeats(concat_batches(parts))
    return found


def contents(rows: Rows, sources: Sequence[Source]) -> Iterator[tuple[Source, Batch]]:
    """What stands in rows sorted by source, row group and row: a row group at a time. Raises UnreadableSource."""
    for first, last in stretches(rows):
        here = slice(first, last)
        source, group = sources[int(rows.source[first])], int(rows.group[first])
        yield source, source.read(group, rows.row[here], rows.bucket[here], rows.ts[here])


def stretches(rows: Rows) -> Iterator[tuple[int, int]]:
    """(first, end) of the rows of each source and row group, of rows that are sorted by them."""
    change = (rows.source[1:] != rows.source[:-1]) | (rows.group[1:] != rows.group[:-1])
    cuts = [0, *(np.flatnonzero(change) + 1).tolist(), len(rows)]
    yield from pairwise(cuts)
