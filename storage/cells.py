"""A tenant's rows in cells: what each stream wrote in each hour, added up over blocks and memory.

Blocks say it in their footers, runs are looked through once and keep it. No line is read and no page but where rows may
stand twice (storage.doubled); where blocks are cut, and what is in memory yet, does not show: streams and hours are the
same everywhere.

Two things may show. How many values a metadata key has is told of a block or a run as a whole: up to MOST_WORDS in all
that have it in the hours and streams asked for, each value counts once a cell; beyond, every time. A block may have
more of them than those hours alone: a flush or compaction then adds to an answer about these hours what values of the
key repeat in a cell. And of more than batch.MAX_COLUMNS keys every block chooses for itself which are the rarer ones,
whose names and values always count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from storage.batch import I32, I64, Batch
from storage.blockread import Block, read_footer
from storage.doubled import Excess, excess_of_block, repeated_in_runs, without
from storage.errors import CorruptBlock
from storage.kept import Kept
from storage.memtable import Run
from storage.rows import take_rows
from storage.scan import Window
from storage.state import View
from storage.tombstones import reaching
from storage.words import KeySaid, bits_of, decode, join, tally, word_hash

F64: TypeAlias = NDArray[np.float64]

HOUR = 3_600_000_000_000
PAIR_BYTES = 8
"""What Loki counts of a pair of metadata beside its texts."""

_LOWEST, _HIGHEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
_KEPT, _ROOM = 1 << 10, 64 << 20
"""Of so many blocks the process remembers what they say of their metadata, if that takes no more bytes."""
_FEW_CELLS = 4
"""A run is remembered where its cells are not more than one in so many rows: a fifth of what the rows take, at most."""
_MANY_HEADS = 4
"""A run of more stretches than one in so many rows is sorted: pushes of many streams at once come mixed."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """k stretches of rows of one stream and hour: as blocks and runs say them, or one a cell.

    Attributes:
        stream: int32[k], numbers in the tenant's table.
        low, high: int64[k], ns, the first and the last row.
        rows: float64[k]; not whole where some of the rows are deleted or have expired.
        size: float64[k], bytes as Loki counts a chunk's.
        chunks: int64[k], stretches that were added up.
    """

    stream: I32
    low: I64
    high: I64
    rows: F64
    size: F64
    chunks: I64

    def __len__(self) -> int:
        return len(self.stream)


@dataclass(frozen=True, slots=True, eq=False)
class _Stretches:
    """Stretches of one block or run; `size` is without what `said` adds to it."""

    stream: I32
    low: I64
    high: I64
    rows: I64
    size: I64
    said: Sequence[KeySaid]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What is wanted of some stretches; `share`, float64[k]: how much of each is there still."""

    found: _Stretches
    share: F64


def cells_of(view: View, window: Window) -> Cells:
    """The cells of a window's streams that lie in the hours that the window touches, by hour and stream.

    What deletes without a line filter hide of blocks, and what has expired, is taken out by its share of the time.

    Raises:
        CorruptBlock: a footer cannot be read.
    """
    start, end = hours_of(window.start, window.end)
    places = [at for at, block in enumerate(view.blocks) if block.max_ts >= start and block.min_ts < end]
    blocks = [view.blocks[place] for place in places]
    parts = [_of_block(view, place, window, start, end) for place in places]
    runs = [run for run in view.memory if run.max_ts >= start and run.min_ts < end]
    doubled = repeated_in_runs(view, runs, window.table)
    kept = [run for run in runs if run not in doubled or len(doubled[run]) < len(run)]
    parts += [
        _chosen(_without_rows(run, doubled[run]) if run in doubled else _of_run(run), window, start, end)
        for run in kept
    ]
    if window.floor is None or window.archived is None:
        return _alive(_added([part for part in parts if len(part.share)]), window.floor)
    floors = [window.floor_of_block(block) for block in blocks] + [window.floor_of_run(run) for run in kept]
    parts = [_without_expired(part, floor) for part, floor in zip(parts, floors, strict=True)]
    return _added([part for part in parts if len(part.share)])


def hours_of(start: int, end: int) -> tuple[int, int]:
    """The whole hours that start <= ts < end (ns) touches, as far as there are any in 64 bits."""
    first, last = start // HOUR * HOUR, -(-end // HOUR) * HOUR
    return max(first, -(-_LOWEST // HOUR) * HOUR), min(last, _HIGHEST)


# -- stretches


_said: Kept[Path, list[KeySaid]] = Kept(_KEPT, _ROOM)
_runs: WeakKeyDictionary[Run, _Stretches] = WeakKeyDictionary()


def _of_block(view: View, place: int, window: Window, start: int, end: int) -> _Part:
    block = view.blocks[place]
    footer = read_footer(block.path)
    spans = footer.spans
    size = spans.line_bytes
    if not footer.metadata:
        size = size + spans.metadata_bytes  # it does not say more
    stretches = _Stretches(
        block.streams[spans.stream],
        spans.min_ts,
        spans.max_ts,
        spans.rows,
        size,
        _metadata_said(block, footer.metadata),
    )
    for excess in excess_of_block(view, place, window.table):
        stretches = _without_excess(stretches, excess, says_metadata=bool(footer.metadata))
    part = _chosen(stretches, window, start, end)
    for one in reaching(view.tombstones, block):
        if one.chooses is None and len(part.share):
            part = _without(part, one.selects(part.found.stream), one.start, one.end)
    return part


def _without_excess(found: _Stretches, excess: Excess, *, says_metadata: bool) -> _Stretches:
    """Stretches of a block without rows that stand in an earlier one; one without any other row has no rows left."""
    rows, size = found.rows.copy(), found.size.copy()
    rows[excess.spans] -= excess.rows
    size[excess.spans] -= excess.line_bytes if says_metadata else excess.line_bytes + excess.metadata_bytes
    return _Stretches(found.stream, found.low, found.high, rows, size, without(found.said, excess))


def _without_rows(run: Run, rows: I64) -> _Stretches:
    """What a run has but for some rows (ascending, not all of them)."""
    kept = np.ones(len(run), np.bool_)
    kept[rows] = False
    return _of_batch(take_rows(run.batch, np.flatnonzero(kept)))


def _metadata_said(block: Block, body: bytes) -> list[KeySaid]:
    found = _said.get(block.path)
    if found is None:
        try:
            made = decode(body) if body else []
        except ValueError as error:
            raise CorruptBlock(
                f"block {block.path}: what it says of metadata cannot be read: {error}", block.path
            ) from error
        found = _said.put(block.path, made, sum(one.spans.nbytes * 3 + one.sets.nbytes for one in made))
    return found


def _of_run(run: Run) -> _Stretches:
    found = _runs.get(run)
    if found is None:
        found = _of_batch(run.batch)
        if len(found.stream) * _FEW_CELLS <= len(run):
            _runs[run] = found
    return found


def _of_batch(batch: Batch) -> _Stretches:
    order = None
    stream, ts, lengths = batch.stream, batch.ts, batch.lines.lengths
    heads = _heads(stream, ts // HOUR)
    if len(heads) * _MANY_HEADS > len(ts):
        order = np.lexsort((stream, ts // HOUR))
        stream, ts, lengths = stream[order], ts[order], lengths[order]
        heads = _heads(stream, ts // HOUR)
    return _Stretches(
        stream[heads],
        np.minimum.reduceat(ts, heads),
        np.maximum.reduceat(ts, heads),
        np.diff(heads, append=len(ts)),
        np.add.reduceat(lengths, heads),
        tally(batch, heads, order),
    )


def _heads(stream: I32, hour: I64) -> I64:
    changes = (stream[1:] != stream[:-1]) | (hour[1:] != hour[:-1])
    return np.flatnonzero(np.concatenate(([True], changes)))


def _chosen(found: _Stretches, window: Window, start: int, end: int) -> _Part:
    """The stretches of a window's streams between `start` and `end` (ns)."""
    known = found.stream < len(window.accepted)  # a run may have streams that came since
    wanted = (
        known & window.accepted[np.minimum(found.stream, len(window.accepted) - 1)] if len(window.accepted) else known
    )
    wanted &= (found.high >= start) & (found.low < end) & (found.rows > 0)
    if not wanted.all():
        found = _taken(found, np.flatnonzero(wanted))
    return _Part(found, np.ones(len(found.stream)))


def _taken(found: _Stretches, places: I64) -> _Stretches:
    new: I64 = np.full(len(found.stream), -1, np.int64)
    new[places] = np.arange(len(places))
    said = []
    for one in found.said:
        spans = new[one.spans]
        kept = np.flatnonzero(spans >= 0)
        if len(kept):
            sets = one.sets if one.words is None else one.sets[kept]
            said.append(KeySaid(one.key, spans[kept], one.pairs[kept], one.bytes[kept], one.words, sets))
    return _Stretches(
        found.stream[places], found.low[places], found.high[places], found.rows[places], found.size[places], said
    )


def _without(part: _Part, chosen: NDArray[np.bool_], start: int, end: int | I64) -> _Part:
    """Stretches without what the `chosen` ones have in start <= ts < end (ns), which is taken to be spread evenly."""
    found = part.found
    low, high, left = _cut(found.low, found.high, chosen, start, end)
    kept = np.flatnonzero(left > 0)
    rest = _Stretches(found.stream, low, high, found.rows, found.size, found.said)
    return _Part(_taken(rest, kept) if len(kept) < len(left) else rest, (part.share * left)[kept])


def _without_expired(part: _Part, floor: I64 | None) -> _Part:
    """Stretches without what has expired; `floor` is int64[streams], ns."""
    if floor is None or not len(part.share):
        return part
    return _without(part, np.ones(len(part.share), np.bool_), _LOWEST + 1, floor[part.found.stream])


def _cut(low: I64, high: I64, chosen: NDArray[np.bool_], start: int | I64, end: int | I64) -> tuple[I64, I64, F64]:
    """(low, high, share that is left) of stretches without start <= ts < end."""
    cut = chosen & (low < end) & (high >= start)
    heads, tails = cut & (low >= start), cut & (high < end)
    gone = np.minimum(high, np.asarray(end) - 1) - np.maximum(low, start)
    left = np.where(cut, 1 - gone / np.maximum(high - low, 1), 1.0)
    left[heads & tails] = 0
    return np.where(heads, end, low), np.where(tails, np.asarray(start) - 1, high), left


# -- cells


def _added(parts: Sequence[_Part]) -> Cells:
    """Stretches added up to cells."""
    if not parts:
        nothing = np.zeros(0, np.int64)
        return Cells(nothing.astype(np.int32), nothing, nothing, nothing.astype(float), nothing.astype(float), nothing)
    stream = np.concatenate([part.found.stream for part in parts])
    low = np.concatenate([part.found.low for part in parts])
    high = np.concatenate([part.found.high for part in parts])
    share = np.concatenate([part.share for part in parts])
    hour = low // HOUR
    keys = (hour - hour.min()) * (int(stream.max()) + 1) + stream
    order = np.argsort(keys, kind="stable")  # blocks have their stretches in this order
    ordered = keys[order]
    heads = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    rows = np.concatenate([part.found.rows for part in parts]) * share
    size = np.concatenate([part.found.size for part in parts]) * share
    cell: I64 = np.empty(len(keys), np.int64)
    cell[order] = np.repeat(np.arange(len(heads)), np.diff(heads, append=len(keys)))
    firsts = np.cumsum([0, *(len(part.share) for part in parts)])[:-1].tolist()
    said = join((first, part.found.said) for first, part in zip(firsts, parts, strict=True))
    return Cells(
        stream[order][heads],
        np.minimum.reduceat(low[order], heads),
        np.maximum.reduceat(high[order], heads),
        np.add.reduceat(rows[order], heads),
        np.add.reduceat(size[order], heads) + _metadata_sizes(said, cell, share, len(heads)),
        np.diff(heads, append=len(keys)),
    )


def _metadata_sizes(said: Sequence[KeySaid], cell: I64, share: F64, count: int) -> F64:
    """float64[cells], what metadata adds: 8 bytes a pair, and each distinct text of a cell once.

    Args:
        said: of stretches.
        cell: int64[stretches], the cell of each.
        share: float64[stretches], how much of each is there.
        count: cells.
    """
    size = np.zeros(count)
    times = Counter(word_hash(one.key.encode()) for one in said if one.key is not None)
    times.update(word for one in said for word in one.words or ())
    shared: dict[int, tuple[int, I64]] = {}  # of texts that several keys may have: length, and how many have it
    for one in said:
        where, part = cell[one.spans], share[one.spans]
        size += PAIR_BYTES * np.bincount(where, one.pairs * part, count)
        held = np.zeros(count, np.bool_)
        held[where] = True
        texts: list[tuple[int, int, NDArray[np.bool_]]] = []
        if one.key is not None:
            name = one.key.encode()
            texts.append((word_hash(name), len(name), held))
        if one.words is None:
            size += np.bincount(where, one.bytes * part, count)
        else:
            for number, (word, length) in enumerate(one.words.items()):
                texts.append((word, length, np.bincount(where, bits_of(one.sets, number), count) > 0))
        for word, length, present in texts:
            size[present] += length
            if times[word] > 1:
                _, counts = shared.setdefault(word, (length, np.zeros(count, np.int64)))
                counts += present
    for length, counts in shared.values():
        size -= length * np.maximum(counts - 1, 0)
    return size


def _alive(cells: Cells, floor: I64 | None) -> Cells:
    """Cells without what has expired; `floor` is int64[streams], ns."""
    if floor is None or not len(cells):
        return cells
    low, high, left = _cut(cells.low, cells.high, np.ones(len(cells), np.bool_), _LOWEST + 1, floor[cells.stream])
    kept = np.flatnonzero(left > 0)
    return Cells(
        cells.stream[kept],
        low[kept],
        high[kept],
        (cells.rows * left)[kept],
        (cells.size * left)[kept],
        cells.chunks[kept],
    )
