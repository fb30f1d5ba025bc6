"""What the store holds in memory: per tenant a stream table and a view of its blocks and runs.

A view is replaced as a whole, so that a reader who took it sees every row exactly once, whatever a flush does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from storage.batch import I32, I64, Batch
from storage.blockread import Block
from storage.feed import Watcher
from storage.kernels.order import widen
from storage.memtable import Run, add_run
from storage.streams import StreamTable
from storage.tombstones import Tombstone

if TYPE_CHECKING:
    from storage.patterns import PatternKeeper

_OLDEST = np.iinfo(np.int64).max
_NEWEST = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Between which times the streams of some runs lie.

    The arrays are widened in place as rows come, before the view with those rows is published: what a reader sees may
    be wider than the runs of its view, never narrower.

    Attributes:
        oldest, newest: int64[at least the streams of the runs], ns; newest < oldest where a stream has no row.
    """

    oldest: I64
    newest: I64

    def widen(self, stream: I32, ts: I64) -> None:
        """Notes rows of streams that there is room for."""
        widen(stream, ts, self.oldest, self.newest)

    def grown(self, streams: int) -> Bounds:
        """Bounds with room for so many streams: these, or a copy twice as long."""
        missing = streams - len(self.newest)
        if missing <= 0:
            return self
        more = max(missing, len(self.newest))
        return Bounds(
            np.concatenate([self.oldest, np.full(more, _OLDEST, np.int64)]),
            np.concatenate([self.newest, np.full(more, _NEWEST, np.int64)]),
        )

    def held(self) -> NDArray[np.bool_]:
        """bool[n]: whether a stream has rows."""
        return self.newest >= self.oldest


def raised(newest: I64, batch: Batch) -> I64:
    """A copy of int64[streams], the newest ts of each stream, that takes a batch's rows into account."""
    copy = newest.copy()
    widen(batch.stream, batch.ts, np.full(len(copy), _OLDEST, np.int64), copy)
    return copy


def empty_bounds(streams: int = 64) -> Bounds:
    """Bounds of no rows with room for so many streams."""
    return Bounds(np.full(streams, _OLDEST, np.int64), np.full(streams, _NEWEST, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A tenant's rows.

    Attributes:
        blocks: on disk, in order of arrival.
        frozen: runs that a flush is writing, in order of arrival.
        runs: runs that came after it.
        bounds: times of the streams in frozen and runs. Part of the view: bounds taken from a later one would miss the
            runs that a flush moved to a block meanwhile, and with them rows that stand in both.
        tombstones: deletes that some of the blocks may still have entries of; memory has none of them.
    """

    blocks: tuple[Block, ...] = ()
    frozen: tuple[Run, ...] = ()
    runs: tuple[Run, ...] = ()
    bounds: Bounds = field(default_factory=empty_bounds)
    tombstones: tuple[Tombstone, ...] = ()

    @property
    def memory(self) -> tuple[Run, ...]:
        """All runs in memory, in order of arrival; no row repeats another."""
        return self.frozen + self.runs

    def with_run(self, run: Run, streams: int) -> View:
        """The view with one more run, of a table of so many streams."""
        bounds = self.bounds.grown(streams)
        bounds.widen(run.batch.stream, run.batch.ts)
        return replace(self, runs=add_run(self.runs, run), bounds=bounds)

    def with_frozen(self) -> View:
        """The view with all runs in the hands of a flush."""
        return replace(self, frozen=self.memory, runs=())

    def with_blocks(self, blocks: tuple[Block, ...]) -> View:
        """The view with the frozen runs replaced by blocks; the bounds are taken anew."""
        bounds = empty_bounds(len(self.bounds.newest))
        for run in self.runs:
            bounds.widen(run.batch.stream, run.batch.ts)
        return replace(self, blocks=self.blocks + blocks, frozen=(), bounds=bounds)

    def with_replaced(self, gone: Collection[Block], block: Block | None) -> View:
        """The view with a block, if there is one, in the place of some neighbours in order of arrival of its day."""
        rest = [one for one in self.blocks if one not in gone]
        if block is not None:
            after = [at for at, one in enumerate(rest) if one.generation > block.generation]
            rest.insert(after[0] if after else len(rest), block)
        return replace(self, blocks=tuple(rest))

    def with_tombstones(self, tombstones: tuple[Tombstone, ...]) -> View:
        """The view with these tombstones and no others."""
        return replace(self, tombstones=tombstones)

    def with_thawed(self, run: Run) -> View:
        """The view with the frozen runs, as one run, back among those that grow."""
        return replace(self, frozen=(), runs=(run, *self.runs))


class Tenant:
    """One tenant."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.table = StreamTable()
        self.view = View()
        self.since: float | None = None
        """time.monotonic() at which the oldest row in memory came."""
        self.nbytes = 0
        """Bytes of the runs in memory."""
        self.duplicate_bytes = 0
        self.stored_blocks = 0
        self.stored_bytes = 0
        self.streams_removed = 0

    def set_view(self, view: View) -> None:
        """Replaces the view."""
        self.view = view
        self.nbytes = sum(run.nbytes for run in view.memory)
        if not view.memory:
            self.since = None
        elif self.since is None:
            self.since = time.monotonic()


@dataclass(slots=True)
class State:
    """All tenants.

    Attributes:
        lock: held by whoever replaces a view; notified when a flush made room or failed.
        flush_failing: the last flush failed.
        watcher: told of each commit, if there is one; set under the lock.
        commits: commits that a watcher was told of or is about to be; counted under the lock.
        patterns: who keeps patterns of lines, if somebody does; set before anything is stored.
    """

    tenants: dict[str, Tenant] = field(default_factory=dict)
    lock: threading.Condition = field(default_factory=threading.Condition)
    flush_failing: bool = False
    watcher: Watcher | None = None
    commits: int = 0
    patterns: PatternKeeper | None = None

    def tenant(self, name: str) -> Tenant:
        """The tenant of that name, made if it is new."""
        found = self.tenants.get(name)
        if found is None:
            with self.lock:
                found = self.tenants.setdefault(name, Tenant(name))
        return found

    @property
    def memory_bytes(self) -> int:
        """Bytes of all runs in memory."""
        return sum(tenant.nbytes for tenant in list(self.tenants.values()))
