"""Which blocks of a tenant are to be rewritten next: a function of what the view says of them, and of the clock.

A row is rewritten a bounded number of times: blocks are joined when together they are GROWTH times as large as the
largest of them, so that each time a row moves, it moves to a block so many times as large as the one it was in. When a
day is over and nothing comes for it any more, less is enough. Blocks are joined only with their neighbours in order of
arrival, so that entries of equal times keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path

from storage.blockread import Block
from storage.blockwrite import HOUR
from storage.streams import DAY
from storage.tombstones import Tombstone
from storage.ulid import made_at

GROWTH = 4.0
"""Blocks of a day that still grows are joined when this many times the largest comes out."""
SETTLED_GROWTH = 1.25
"""Likewise for a day that is over and quiet."""
MAX_SOURCES = 16
"""Blocks that are joined at once: of each, a row group's times and a page of lines are in memory."""
MAX_SPANS = 500_000
"""Spans of a block that compaction writes. A flush of many streams may write more; such a block is joined with none.
A footer has some 70 bytes a span, and reading it takes ten times that."""
MAX_ROWS = 1 << 25
"""Rows of such a block: 1,024 row groups, of which the footer of Parquet knows every column."""
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CompactionOptions:
    """How blocks are compacted.

    Attributes:
        enabled: whether the store does it by itself.
        level: zstd's.
        max_block_size: bytes of files that are joined, at most.
        quiet: seconds without a new block after which a day that is over is settled.
        share: of one processor while pushes come, at most.
    """

    enabled: bool = True
    level: int = 6
    max_block_size: int = 256 << 20
    quiet: float = 3600.0
    share: float = 0.25


class Reason(StrEnum):
    """Why blocks are rewritten."""

    JOINED = "joined"
    SETTLED = "settled"
    DELETED = "deleted"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Neighbours in order of arrival of one day that become one block, or a block that is written anew."""

    sources: tuple[Block, ...]
    reason: Reason

    @property
    def size(self) -> int:
        """Bytes of the sources' files."""
        return sum(block.size for block in self.sources)


def _never(_: Block) -> bool:
    return False


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What a plan depends on besides the blocks.

    Attributes:
        options: as set.
        now: ns.
        claimed: tombstones whose entries may be taken out.
        waiting: tombstones that can still be called off.
        has_much_expired: whether a block should be written anew without what of it has expired.
        barred: blocks that are not to be touched.
        unjoinable: blocks that are not to be joined with others.
        everything: join what can be joined, whatever it gains.
    """

    options: CompactionOptions
    now: int
    claimed: Sequence[Tombstone] = ()
    waiting: Sequence[Tombstone] = ()
    has_much_expired: Callable[[Block], bool] = _never
    barred: Collection[Path] = ()
    unjoinable: Collection[Path] = ()
    everything: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be done for a tenant.

    Attributes:
        jobs: no block is in two of them; the first is the next.
        again: ns, when another plan may come out without any change of the blocks; None: never.
    """

    jobs: tuple[Job, ...]
    again: int | None


def plan(blocks: Sequence[Block], asked: Asked) -> Plan:
    """What is to be done with a tenant's blocks, given in order of arrival."""
    urgent: list[Job] = []
    others: list[Job] = []
    again: int | None = None
    by_day = sorted(blocks, key=lambda block: block.day)  # stable: a day's stay in order of arrival
    for day, found in groupby(by_day, key=lambda block: block.day):
        own = list(found)
        settled, settles_at = _settled(day, own, asked)
        if settles_at is not None:
            again = settles_at if again is None else min(again, settles_at)
        for job in _of_day(own, asked, settled=settled):
            reached = any(one.reaches(block) for one in asked.claimed for block in job.sources)
            (urgent if reached else others).append(job)
    return Plan((*urgent, *others), again)


def _settled(day: int, blocks: Sequence[Block], asked: Asked) -> tuple[bool, int | None]:
    """Whether a day is over and nothing came for it lately; if not, when that will be so."""
    if asked.everything:
        return True, None
    newest = max(made_at(block.path.stem) for block in blocks)
    at = max((day + 1) * DAY, newest) + int(asked.options.quiet * _SECOND)
    return (True, None) if at <= asked.now else (False, at)


def _of_day(blocks: Sequence[Block], asked: Asked, *, settled: bool) -> Iterator[Job]:
    growth = 0.0 if asked.everything else SETTLED_GROWTH if settled else GROWTH
    reason = Reason.SETTLED if settled else Reason.JOINED
    used: set[Path] = set()
    for run in _runs(blocks, asked):
        for group in _groups(run, growth, asked.options.max_block_size):
            used.update(block.path for block in group)
            yield Job(tuple(group), reason)
    for block in blocks:
        if block.path in used or block.path in asked.barred:
            continue
        if any(one.reaches(block) for one in asked.claimed):
            yield Job((block,), Reason.DELETED)
        elif asked.has_much_expired(block):
            yield Job((block,), Reason.EXPIRED)
        elif settled and not block.compacted:
            yield Job((block,), Reason.SETTLED)


def _runs(blocks: Sequence[Block], asked: Asked) -> Iterator[list[Block]]:
    """Stretches of neighbours that may be joined.

    What a delete that can be called off hides would be shown if it came into a block of a later generation than it
    speaks of: nothing is joined across that point.
    """
    ends = {one.generation for one in asked.waiting if any(one.reaches(block) for block in blocks)}
    run: list[Block] = []
    for block in blocks:
        if run and any(run[-1].generation <= end < block.generation for end in ends):
            yield run
            run = []
        if block.path in asked.barred or block.path in asked.unjoinable:
            yield run
            run = []
        else:
            run.append(block)
    yield run


def _groups(run: Sequence[Block], growth: float, limit: int) -> Iterator[list[Block]]:
    """Neighbours that are worth joining: of all sizes first, then of ever smaller ones only."""
    used: set[Path] = set()
    sizes = [block.size.bit_length() for block in run]
    for bits in range(max(sizes, default=0), min(sizes, default=1) - 1, -1):
        for fits, stretch in groupby(run, key=lambda block: block.path not in used and block.size.bit_length() <= bits):
            for piece in _within_limits(list(stretch), limit) if fits else ():
                if len(piece) > 1 and _pays(piece, growth, limit):
                    used.update(block.path for block in piece)
                    yield piece


def _pays(group: Sequence[Block], growth: float, limit: int) -> bool:
    size, largest = sum(block.size for block in group), max(block.size for block in group)
    return size >= growth * largest or (4 * size >= 3 * limit and size >= 2 * largest)


def _within_limits(blocks: Sequence[Block], limit: int) -> Iterator[list[Block]]:
    """Cuts neighbours into as few sets as may be joined at once."""
    group: list[Block] = []
    size = rows = spans = 0
    for block in blocks:
        size, rows, spans = size + block.size, rows + block.rows, spans + _most_spans(block)
        if group and (size > limit or rows > MAX_ROWS or spans > MAX_SPANS or len(group) == MAX_SOURCES):
            yield group
            group = []
            size, rows, spans = block.size, block.rows, _most_spans(block)
        group.append(block)
    yield group


def _most_spans(block: Block) -> int:
    """Spans that a block's footer has at most, but for those that the ends of row groups cut, and its streams."""
    hours = block.stream_max // HOUR - block.stream_min // HOUR + 1
    return min(block.rows, int(hours.sum())) + len(block.streams)
