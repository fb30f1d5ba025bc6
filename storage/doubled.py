"""Rows that stand twice, taken off what is told of rows without reading them.

What footers and runs say counts every row that is there. Which rows repeat one of an earlier block is found out as for
a scan (storage.repeats): where two of them hold overlapping times of a stream, times are read, and contents of equal
times. That is done once for blocks, which never change, and for a run once for the blocks before it. Nothing is read
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from storage.batch import I64, Batch, Mask
from storage.blockread import Block, read_footer, read_rows
from storage.blockwrite import metadata_sizes
from storage.kept import Kept
from storage.memtable import Run
from storage.pages import open_pages
from storage.reading import Columns, Times
from storage.repeats import BlockRows, repeated, repeated_in_block
from storage.rows import take_rows
from storage.state import View
from storage.streams import StreamTable
from storage.tombstones import reaching
from storage.words import KeySaid, tally

_KEPT, _ROOM = 1 << 12, 8 << 20
_NO_LINES = Columns(lines=False)


@dataclass(frozen=True, slots=True, eq=False)
class Excess:
    """What of a block's spans repeats rows of earlier blocks.

    Attributes:
        spans: int64[k], spans of the footer that have such rows, ascending.
        rows: int64[k], how many.
        line_bytes: int64[k], of their lines.
        metadata_bytes: int64[k], of keys and values.
        said: pairs and bytes by key, of spans numbered as in `spans`; the values are the earlier rows' too.
    """

    spans: I64
    rows: I64
    line_bytes: I64
    metadata_bytes: I64
    said: Sequence[KeySaid]


_excess: Kept[tuple[Path, int, bytes], Excess] = Kept(_KEPT, _ROOM)
_runs: WeakKeyDictionary[Run, tuple[tuple[object, ...], I64]] = WeakKeyDictionary()


def excess_of_block(view: View, place: int, table: StreamTable) -> list[Excess]:
    """What of view.blocks[place] repeats rows of blocks before it, by row group, in order. Raises CorruptBlock."""
    found = repeated_in_block(view.blocks, place, table, view.tombstones)
    return [_of_group(view.blocks[place], group, found[group], table) for group in sorted(found)]


def _of_group(block: Block, group: int, rows: I64, table: StreamTable) -> Excess:
    key = block.path, group, rows.tobytes()
    known = _excess.get(key)
    if known is not None:
        return known
    footer = read_footer(block.path)
    said = footer.spans
    first, last = np.searchsorted(said.group, np.array([group, group + 1], said.group.dtype)).tolist()
    span = first + np.searchsorted(said.row[first:last], rows, side="right") - 1
    heads = np.flatnonzero(np.concatenate(([True], span[1:] != span[:-1])))
    stream = block.streams[said.stream[span]]
    times = Times(table, rows, stream, np.zeros(len(rows), np.int64))  # nobody asks when
    batch = read_rows(block.path, group, times, footer.columns, _NO_LINES)
    made = Excess(
        span[heads],
        np.diff(heads, append=len(rows)),
        np.add.reduceat(open_pages(block.path).lengths(group, rows), heads),
        np.add.reduceat(metadata_sizes(batch), heads),
        tally(batch, heads),
    )
    return _excess.put(key, made, len(key[2]) + 32 * len(heads) + sum(64 * len(one.spans) for one in made.said))


def without(said: Sequence[KeySaid], excess: Excess) -> list[KeySaid]:
    """What is said of a block's spans, without the pairs that stand in earlier rows too."""
    less = {one.key: one for one in excess.said}
    return [_without(one, excess.spans, less[one.key]) if one.key in less else one for one in said]


def _without(said: KeySaid, spans: I64, less: KeySaid) -> KeySaid:
    places = np.searchsorted(said.spans, spans[less.spans])
    pairs, size = said.pairs.copy(), said.bytes.copy()
    pairs[places] -= less.pairs
    size[places] -= less.bytes
    return KeySaid(said.key, said.spans, pairs, size, said.words, said.sets)


def repeated_in_runs(view: View, runs: Sequence[Run], table: StreamTable) -> Mapping[Run, I64]:
    """Rows of runs of the view, ascending, that repeat a row of a block; runs without such are left out.

    Raises CorruptBlock.
    """
    if not view.blocks or not runs:
        return {}
    blocks = [block for block in view.blocks if _meets(block, view, runs)]
    if not blocks:
        return {}
    found = {}
    for run in runs:
        rows = _repeated_in_run(run, [one for one in blocks if _overlap(one, run)], view, table)
        if len(rows):
            found[run] = rows
    return found


def _overlap(block: Block, run: Run) -> bool:
    return block.min_ts <= run.max_ts and block.max_ts >= run.min_ts


def _meets(block: Block, view: View, runs: Sequence[Run]) -> bool:
    """Whether the block has rows of a stream at times that memory has rows of it too."""
    if not any(_overlap(block, run) for run in runs):
        return False
    oldest, newest = view.bounds.oldest, view.bounds.newest
    known: Mask = block.streams < len(newest)
    streams = block.streams[known]
    return bool(((block.stream_min[known] <= newest[streams]) & (block.stream_max[known] >= oldest[streams])).any())


def _repeated_in_run(run: Run, blocks: Sequence[Block], view: View, table: StreamTable) -> I64:
    told = [tuple(reaching(view.tombstones, block)) for block in blocks]
    key = tuple([(block.path, *[one.id for one in some]) for block, some in zip(blocks, told, strict=True)])
    known = _runs.get(run)
    if known is not None and known[0] == key:
        return known[1]
    batch = run.batch
    times = Times(table, np.arange(len(batch)), batch.stream, batch.ts)
    sources = [BlockRows(block, table, some) for block, some in zip(blocks, told, strict=True)]
    rows = repeated(times, sources, partial(_taken, run))
    _runs[run] = key, rows
    return rows


def _taken(run: Run, times: Times) -> Batch:
    return take_rows(run.batch, times.rows)
