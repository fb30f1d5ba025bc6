"""Taking blocks off the disk: what has expired whole, and the oldest ones where they take too much of it.

Entries that have expired are out of sight by their floor already (retention.py); a block goes when nothing of it is
left to be seen. Which blocks have expired is asked of a steady clock, so that a wrong one takes nothing (clock.py).

A crash between index.db, view and file leaves a file that index.db does not list; the next start lists it again, and
the first look takes it again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from storage.archived import floor_of_block
from storage.batch import I32, I64
from storage.blockread import Block
from storage.catalog import Catalog
from storage.clock import SteadyClock
from storage.compact import Engine
from storage.errors import StorageError
from storage.figures import Counters, DropReason
from storage.freed import SETTLE, gain
from storage.leases import Leases
from storage.retention import Retention, has_expired
from storage.state import State, Tenant, View
from storage.streams import DAY, StreamTable
from storage.writer import Writer

log = logging.getLogger("weir.storage")

_T = TypeVar("_T")
LOOK_EVERY = 10.0
"""Seconds between two looks at what has expired."""
COMPLAIN_EVERY = 3600.0
"""Seconds between two log lines that say that free space cannot be had."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system: bytes that are free for anyone, and all bytes."""

    free: int
    total: int


def disk_of(folder: Path) -> Disk:
    """The file system of a folder. Raises OSError."""
    state = os.statvfs(folder)
    return Disk(state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize)


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A block and whose it is."""

    tenant: Tenant
    block: Block


@dataclass(slots=True)
class Removed:
    """What was removed.

    Attributes:
        blocks, bytes: whole blocks, and their files.
        rewritten, rows: blocks that were written anew, and the expired entries that were left out of them.
    """

    blocks: int = 0
    bytes: int = 0
    rewritten: int = 0
    rows: int = 0


def _at_once() -> None:
    """Who waits for it wants no pause."""


class Floors:
    """What may be removed for good: floors as of a steady clock. Compaction leaves out what is below."""

    def __init__(self, retention: Retention, clock: SteadyClock) -> None:
        self.clock = clock
        self._retention = retention

    def floor(self, tenant: str, table: StreamTable) -> I64 | None:
        """int64[streams], ns: older entries of a stream may be removed; None: none of them."""
        return self._retention.floor(tenant, table, self.clock.now())

    def of_block(self, floor: I64 | None, block: Block) -> I64 | None:
        """The same of a block's entries, which may be owed to others."""
        return floor_of_block(floor, self._retention.archived(), block)


class Expiry:
    """Takes blocks off the disk, between two changes of compaction's; a job that was at one of them is given up."""

    def __init__(
        self,
        data_dir: Path,
        state: State,
        writer: Writer,
        catalog: Catalog,
        leases: Leases,
        counters: Counters,
        engine: Engine,
        retention: Retention,
        floors: Floors,
        disk: Callable[[Path], Disk] = disk_of,
        owed: Callable[[], Collection[Path]] = frozenset,
    ) -> None:
        """`owed`: segments of the log that a flush will not remove, as others are owed records of them."""
        self._owed = owed
        self._data_dir = data_dir
        self._state = state
        self._writer = writer
        self._catalog = catalog
        self._leases = leases
        self._counters = counters
        self._engine = engine
        self._retention = retention
        self._floors = floors
        self._disk = disk
        self._looked: float | None = None
        self._freed: float | None = None
        self._complained: float | None = None
        self._listed: list[str] = []

    def tick(self) -> None:
        """Looks, if it is time for that, and takes blocks; what fails is tried again."""
        now = time.monotonic()
        if self._looked is not None and now - self._looked < LOOK_EVERY:
            return
        try:
            self.look()
        except OSError as error:
            log.error("what has expired cannot be removed, it is tried again: %s", error)  # noqa: TRY400 - no fault of ours

    def look(self) -> int:
        """Takes all blocks that have to go now; returns how many. Raises OSError."""
        with self._engine.at_rest():
            self._looked = time.monotonic()
            self._floors.clock.now()  # for the time to be kept, whether anything expires or not
            taken = 0
            for reason, choose in (
                (DropReason.AGE, self._expired),
                (DropReason.TOTAL_SIZE, self._over_size),
                (DropReason.FREE_SPACE, self._for_space),
            ):
                chosen = choose()
                self._drop(chosen, reason)
                taken += len(chosen)
            if self._listed:
                self._unlist(())
            return taken

    def remove_all(self) -> Removed:
        """Takes all that has to go by the time of day, out of blocks with other entries too.

        For somebody who asks for it and knows what time it is. Raises OSError, StorageError.
        """
        self._floors.clock.believe()
        self.look()
        found = Removed(
            sum(each.blocks for each in self._counters.dropped.values()),
            sum(each.bytes for each in self._counters.dropped.values()),
        )
        before = self._counters.compaction.expired_rows
        for tenant in list(self._state.tenants.values()):
            floor = self._floors.floor(tenant.name, tenant.table)
            if floor is None:
                continue
            for block in tenant.view.blocks:
                own = self._floors.of_block(floor, block)
                if own is not None and bool((block.stream_min < own[block.streams]).any()):
                    found.rewritten += self._engine.rewrite(tenant, block, _at_once) is not None
        found.rows = self._counters.compaction.expired_rows - before
        return found

    @property
    def clock_ahead(self) -> int:
        """By how many ns the time of day is ahead of what is believed."""
        return self._floors.clock.behind

    # -- which

    def _expired(self) -> list[Held]:
        found = []
        for tenant in list(self._state.tenants.values()):
            blocks = tenant.view.blocks
            floor = self._floors.floor(tenant.name, tenant.table) if blocks else None
            if floor is None or not len(floor):
                continue
            highest = int(floor.max())
            archived = self._retention.archived()
            found += [
                Held(tenant, one)
                for one in blocks
                if one.max_ts < highest and has_expired(one, floor_of_block(floor, archived, one))
            ]
        return found

    def _over_size(self) -> list[Held]:
        limit = self._retention.options.max_total_size
        if not limit:
            return []
        total = sum(block.size for tenant in list(self._state.tenants.values()) for block in tenant.view.blocks)
        return list(until(self._held(), total - limit, lambda one: one.block.size))

    def _for_space(self) -> list[Held]:
        options = self._retention.options
        if not (options.min_free_space or options.min_free_part):
            return []
        now = time.monotonic()
        if self._freed is not None and now - self._freed < SETTLE:
            return []
        disk = self._disk(self._data_dir)
        wanted = options.wanted_free(disk.total)
        missing = wanted - disk.free - self._soon_free()
        if missing <= 0:
            return []
        held = self._held()
        gains = {id(one): gain(one.block.path) for one in held}
        chosen = list(until([one for one in held if gains[id(one)]], missing, lambda one: gains[id(one)]))
        if sum(gains[id(one)] for one in chosen) < missing:
            self._complain(wanted, disk.free, sum(gains.values()))
            return []
        self._freed = now
        return chosen

    def _held(self) -> list[Held]:
        """All blocks with nothing that is owed, the oldest first: by day, within it by their newest entry."""
        archived = self._retention.archived()
        held = [
            Held(tenant, block)
            for tenant in list(self._state.tenants.values())
            for block in tenant.view.blocks
            if archived is None or not archived.owes(block)
        ]
        held.sort(key=lambda one: age_order(one.block.day, one.block.max_ts, one.block.generation))
        return held

    def _soon_free(self) -> int:
        """Bytes that the file system may not tell of yet: of files that went lately, and of those that go anyway.

        Those are the ones that are still being read, and the log, if flushes work. What the file system does tell of
        already is counted twice for a while, so that blocks go some seconds later than they could; never too many.
        """
        paths = list(self._leases.waiting_paths)
        if not self._state.flush_failing:
            owed = self._owed()
            paths += [path for path in (self._data_dir / "wal").glob("*.wal") if path not in owed]
        return sum(map(gain, paths)) + self._leases.freed.lately()

    def _complain(self, wanted: int, free: int, ours: int) -> None:
        now = time.monotonic()
        if self._complained is None or now - self._complained >= COMPLAIN_EVERY:
            self._complained = now
            log.error(
                "%d bytes of the file system of %s are free, and retention.min_free_space wants %d: to remove all "
                "blocks would free %d, so none is removed; something else takes the space",
                free,
                self._data_dir,
                wanted,
                ours,
            )

    # -- out

    def _drop(self, chosen: Sequence[Held], reason: DropReason) -> None:
        if not chosen:
            return
        self._unlist([str(one.block.path.relative_to(self._data_dir)) for one in chosen])
        counters = self._counters.dropped[reason]
        for tenant in {id(one.tenant): one.tenant for one in chosen}.values():
            blocks = [one.block for one in chosen if one.tenant is tenant]
            gone = set(blocks)
            with self._state.lock:
                tenant.set_view(tenant.view.with_replaced(gone, None))
            self._forget_days(tenant, {block.day for block in blocks})
            for block in blocks:
                self._leases.remove_later(block.path)
                counters.blocks += 1
                counters.rows += block.rows
                counters.bytes += block.size
                log.info(
                    "block %s of %d entries and %d bytes is removed: %s",
                    block.path.relative_to(self._data_dir),
                    block.rows,
                    block.size,
                    _WHY[reason],
                )
        self._leases.sweep()

    def _unlist(self, names: Iterable[str]) -> None:
        """Takes blocks out of index.db.

        On a full disk it cannot be written, and just then they have to go: that is made good by a later look.
        """
        waited = bool(self._listed)
        self._listed += names
        try:
            self._catalog.add([], self._listed)
        except StorageError as error:
            if not waited:
                log.warning("%s; blocks are removed without it, and taken out of it when it can be written", error)
        else:
            self._listed = []

    def _forget_days(self, tenant: Tenant, days: Collection[int]) -> None:
        """Takes out of the labels of some days what only removed blocks had, while nothing is committed."""
        with self._writer.commit_lock:
            view = tenant.view
            for day in days:
                tenant.table.restart_day(day, *left_of_day(view, day))


_WHY = {
    DropReason.AGE: "all of it has expired",
    DropReason.TOTAL_SIZE: "blocks take more than retention.max_total_size, and it is the oldest",
    DropReason.FREE_SPACE: "less is free than retention.min_free_space, and it is the oldest",
}


def age_order(day: int, max_ts: int, generation: int) -> tuple[int, int, int]:
    """What blocks are sorted by, the oldest first."""
    return day, max_ts, generation


def until(found: Iterable[_T], missing: int, size: Callable[[_T], int]) -> Iterator[_T]:
    """As many of the first as are needed for so many bytes."""
    for one in found:
        if missing <= 0:
            return
        missing -= size(one)
        yield one


def left_of_day(view: View, day: int) -> tuple[I32, I64, I64]:
    """(stream, first ns, last ns) of what blocks and memory have of a day."""
    begin, end = day * DAY, (day + 1) * DAY
    blocks = [block for block in view.blocks if block.day == day]
    streams = [block.streams for block in blocks]
    low, high = [block.stream_min for block in blocks], [block.stream_max for block in blocks]
    for run in view.memory:
        if run.max_ts >= begin and run.min_ts < end:
            inside = (run.batch.ts >= begin) & (run.batch.ts < end)
            streams.append(run.batch.stream[inside])
            low.append(run.batch.ts[inside])
            high.append(run.batch.ts[inside])
    if not streams:
        return np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(streams), np.concatenate(low), np.concatenate(high)
