"""Merging: the rows of some blocks as one block, a row group at a time.

What it needs beside the sources' spans is, of each source, the times of a row group, and of one row group of the result
the lines: whatever the blocks hold, it does not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from storage.batch import I64, Batch
from storage.blockread import Block
from storage.blockwrite import GROUP_METADATA, BlockOptions, Identity, Layout, Written, within_metadata
from storage.compact.metadata import choose_metadata
from storage.compact.order import Buckets, contents, in_order, number_buckets, repeated
from storage.compact.source import Left, Rows, Source, join_rows
from storage.compact.writing import CheckedWriter
from storage.footer import OriginRange
from storage.gather import Gatherer
from storage.gather_pairs import PairGatherer
from storage.patterns import Ids, PatternKeeper, read_patterns
from storage.streams import StreamTable
from storage.tombstones import Tombstone, reaching

HELD_METADATA = 32 << 20
"""Bytes of metadata of the heaviest row groups of blocks that are merged, together, but for two blocks."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of a merge.

    Attributes:
        written: the block; None if nothing was left of its sources.
        sources: the blocks that were merged: those that were asked for, or the first of them.
        repeated, deleted, expired: rows that were left out.
    """

    written: Written | None
    sources: tuple[Block, ...]
    repeated: int
    deleted: int
    expired: int


def _the_same(floor: I64 | None, _: Block) -> I64 | None:
    return floor


@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """What is to be merged, and how.

    Attributes:
        tenant: its name.
        table: its streams.
        sources: neighbours in order of arrival.
        tombstones: whose entries are left out.
        floor: int64[streams], ns: older entries of a stream are left out; None: none.
        options: rows and bytes of row groups, zstd level.
        pause: called between pieces of work; what it raises ends the merge.
        patterns: who joins what the sources say of patterns.
        floor_of: the floor of a source, given `floor`.
    """

    tenant: str
    table: StreamTable
    sources: tuple[Block, ...]
    tombstones: Sequence[Tombstone]
    floor: I64 | None
    options: BlockOptions
    pause: Callable[[], None]
    patterns: PatternKeeper | None = None
    floor_of: Callable[[I64 | None, Block], I64 | None] = _the_same


def merge(path: Path, asked: Merge) -> Merged:
    """Writes the block to `path`, a temporary name, syncs it and reads it back.

    Raises:
        UnreadableSource: a source is damaged.
        CannotJoin: it would take too much memory.
        CorruptBlock: what was read back is not what was written.
        OSError: it cannot be written.
    """
    with ExitStack() as stack:
        sources = [stack.enter_context(source) for source in _open(asked)]
        buckets = number_buckets(sources, asked.table)
        layout = choose_metadata(sources, asked.pause)
        dropped = 0

        def rows() -> Iterator[Rows]:
            nonlocal dropped
            for window in in_order(sources):
                again = repeated(window, sources) if len(sources) > 1 else None
                dropped += 0 if again is None else int(np.count_nonzero(again))
                asked.pause()
                yield window if again is None else window.take(~again)

        writer = stack.enter_context(CheckedWriter(path, buckets, asked.table, layout, asked.options.compression_level))
        for group in _row_groups(rows(), asked.options):
            for part in within_metadata(_gather(group, sources, buckets, layout)):
                writer.add(part)
            # The text index of a compacted block is to be built here: from the row group's lines, in block order.
            asked.pause()
        blocks = tuple(source.block for source in sources)
        deleted, expired = (sum(getattr(source, what) for source in sources) for what in ("deleted", "expired"))
        if not writer.rows:
            return Merged(None, blocks, dropped, deleted, expired)
        written = writer.finish(_identity(asked, sources))
        writer.verify(asked.pause)
    return Merged(written, blocks, dropped, deleted, expired)


def _open(asked: Merge) -> Iterator[Source]:
    """The sources, as many as can be held in memory at once."""
    held = 0
    for number, block in enumerate(asked.sources):
        left = Left(reaching(asked.tombstones, block), _floor_of(block, asked.floor_of(asked.floor, block)))
        source = Source(block, number, asked.table, left)
        held += source.heaviest
        if number >= 2 and held > HELD_METADATA:
            with source:
                return
        yield source


def _floor_of(block: Block, floor: I64 | None) -> I64 | None:
    """The floor, if something of a block is below it."""
    return floor if floor is not None and bool((block.stream_min < floor[block.streams]).any()) else None


def _row_groups(windows: Iterator[Rows], options: BlockOptions) -> Iterator[Rows]:
    """Cuts rows into row groups."""
    kept: list[Rows] = []
    for window in windows:
        kept.append(window)
        rows = join_rows(kept)
        start = 0
        for start, end in _full(rows, options):
            if end is None:
                break
            yield rows.take(slice(start, end))
        kept = [rows.take(slice(start, None))]
    if kept and len(kept[0]):
        yield kept[0]


def _full(rows: Rows, options: BlockOptions) -> Iterator[tuple[int, int | None]]:
    """(start, end) of each row group; the end of one that may not be full is None."""
    lines, metadata = np.cumsum(rows.length), np.cumsum(rows.metadata)
    start = 0
    while True:
        base = (int(lines[start - 1]), int(metadata[start - 1])) if start else (0, 0)
        end = min(
            start + options.row_group_rows,
            int(np.searchsorted(lines, base[0] + options.row_group_size, side="right")),
            int(np.searchsorted(metadata, base[1] + GROUP_METADATA, side="right")),
        )
        end = max(end, start + 1)
        if end >= len(rows):
            yield start, None
            return
        yield start, end
        start = end


def _gather(rows: Rows, sources: Sequence[Source], buckets: Buckets, layout: Layout) -> Batch:
    """The row group with its contents; its `stream` is the place of the stream in order of texts."""
    arranged = np.lexsort((rows.row, rows.group, rows.source))
    positions = np.empty(len(rows), np.int64)
    positions[arranged] = np.arange(len(rows))
    by_source = rows.take(arranged)
    parts = []
    for source, part in contents(by_source, sources):
        parts.append(part)
        source.let_go()
    stream = buckets.stream[rows.bucket].astype(np.int32)
    in_columns = not layout.has_rest and all(part.rest is None for part in parts)
    held = {key for part in parts for key in part.metadata} if in_columns else set()
    wanted = {key: layout.dictionaries[key] for key in layout.columns if key in held}
    batch = Gatherer(parts, wanted).take(positions, stream, rows.ts, rows.length)
    if in_columns:
        return batch
    columns, rest = PairGatherer(parts, layout.columns).take(positions)
    return replace(batch, metadata=columns, rest=rest)


def _identity(asked: Merge, sources: Sequence[Source]) -> Identity:
    blocks = [source.block for source in sources]
    listed = {name for source in sources for name in source.deletes}
    deletes = {one.id for one in asked.tombstones if one.id in listed or any(map(one.reaches, blocks))}
    names = [block.path.stem for block in blocks]
    names += [name for source in sources for name in source.sources if _may_come_back(blocks[0].path.parent, name)]
    return Identity(
        tenant=asked.tenant,
        day=blocks[0].day,
        generation=max(block.generation for block in blocks),
        origins=_origins([OriginRange(*item) for source in sources for item in source.origins]),
        sources=tuple(dict.fromkeys(names)),
        deletes=tuple(sorted(deletes)),
        patterns=None if asked.patterns is None else partial(_patterns, asked, asked.patterns, blocks),
    )


def _patterns(asked: Merge, keeper: PatternKeeper, blocks: Sequence[Block], streams: Ids) -> bytes | None:
    """What the sources' footers say of patterns of the streams that have rows left."""
    kept = [found for block in blocks if (found := read_patterns(block.path)) is not None]
    # It is of all the sources' patterns together: of some that did not expire, none does.
    whole = asked.floor if all(asked.floor_of(asked.floor, block) is asked.floor for block in blocks) else None
    floor = None if whole is None else whole[asked.table.numbers(streams)]
    return keeper.merged(kept, streams, floor) if kept else None


def _may_come_back(folder: Path, name: str) -> bool:
    """Whether a block that was replaced is still on disk, in quarantine perhaps."""
    data_dir = folder.parent.parent.parent
    aside = data_dir / "quarantine" / folder.relative_to(data_dir)
    return any((place / f"{name}.parquet").exists() for place in (folder, aside))


def _origins(ranges: Sequence[OriginRange]) -> tuple[OriginRange, ...]:
    """All ranges, those that touch as one."""
    found: list[OriginRange] = []
    for one in sorted(ranges, key=lambda item: (item.origin, item.first)):
        last = found[-1] if found else None
        if last is not None and last.origin == one.origin and one.first <= last.last + 1:
            found[-1] = replace(last, last=max(last.last, one.last))
        else:
            found.append(one)
    return tuple(found)
