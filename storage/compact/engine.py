"""One step of compaction, from the plan to the removal of files.

A crash between any two of its changes leaves the sources or the new block: the new one gets its name when it is whole
and read back, it lists its sources, and a start removes files that a block lists.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from storage.batch import I64
from storage.blockread import Block
from storage.blockwrite import BlockOptions, publish
from storage.catalog import Catalog, block_row
from storage.compact.merge import Merge, Merged, merge
from storage.compact.order import CannotJoin
from storage.compact.plan import Asked, CompactionOptions, Job, Plan, Reason, plan
from storage.compact.source import UnreadableSource
from storage.damage import Damage
from storage.errors import CorruptBlock, StorageError
from storage.figures import Counters
from storage.flush import block_of
from storage.leases import Leases
from storage.memory import give_back
from storage.retention import is_worth_rewriting
from storage.state import State, Tenant, View
from storage.streams import StreamTable
from storage.tombstones import Tombstone, spare
from storage.ulid import new_ulid

log = logging.getLogger("weir.storage")

SPARE = 64 << 20
"""Bytes of the disk that a merge leaves free: for the log."""
_REPLAN = 300_000_000_000
"""ns after which a plan of unchanged blocks is made anew: retention goes on, and a delete may be due."""


class Barred(StorageError):  # noqa: N818 - named for what happened
    """Blocks cannot be compacted, and are left as they are until the next start; others can."""


class Floors(Protocol):
    """What retention says of single entries."""

    def floor(self, tenant: str, table: StreamTable) -> I64 | None:
        """int64[streams], ns: older entries of a stream have expired; None if none ever does."""


@dataclass(frozen=True, slots=True, eq=False)
class Compacted:
    """A job that was carried out.

    Attributes:
        job: it, with the sources that were taken.
        block: what came of it; None: nothing was left.
    """

    job: Job
    block: Block | None


@dataclass(frozen=True, slots=True, eq=False)
class _Planned:
    blocks: tuple[Block, ...]
    tombstones: tuple[Tombstone, ...]
    plan: Plan
    until: int


class Engine:
    """Compacts the blocks of all tenants, a job at a time. Safe for any number of threads: one works, others wait."""

    def __init__(
        self,
        data_dir: Path,
        state: State,
        catalog: Catalog,
        leases: Leases,
        counters: Counters,
        *,
        options: CompactionOptions,
        blocks: BlockOptions,
        floors: Floors | None = None,
        damage: Damage | None = None,
    ) -> None:
        """`blocks`: how flushes write; row groups are as theirs. `damage`: is told of blocks that cannot be read."""
        self._data_dir = data_dir
        self._state = state
        self._catalog = catalog
        self._leases = leases
        self._counters = counters
        self._options = options
        self._blocks = replace(blocks, compression_level=options.level)
        self._floors = floors
        self._damage = damage
        self._lock = threading.Lock()
        self._barred: set[Path] = set()
        self._unjoinable: set[Path] = set()
        self._plans: dict[str, _Planned] = {}
        self._last = ""
        self._cramped = False

    def pending(self, *, everything: bool = False) -> list[Job]:
        """What is to be done as things are."""
        found = [self._plan(tenant, everything=everything) for tenant in list(self._state.tenants.values())]
        jobs = [job for one in found for job in one.jobs]
        if not everything:
            self._counters.compaction.pending = sum(len(job.sources) for job in jobs)
        return jobs

    def step(self, pause: Callable[[], None], *, everything: bool = False) -> Compacted | None:
        """Carries out one job; None if there is none.

        Args:
            pause: called between pieces of work; what it raises ends the step.
            everything: join all that can be joined.

        Raises:
            Barred: it cannot be done, and will not be tried again.
            OSError, StorageError: it failed; the blocks are as they were.
        """
        with self._lock:
            for tenant in self._in_turn():
                jobs = self._plan(tenant, everything=everything).jobs
                pause()
                for job in jobs:
                    if not self._has_room(job):
                        continue
                    self._last = tenant.name
                    return self._measured(tenant, job, pause)
        return None

    def rewrite(self, tenant: Tenant, block: Block, pause: Callable[[], None]) -> Compacted | None:
        """Writes a block anew, without what was deleted or has expired; None if it is not there any more.

        Raises as `step` does.
        """
        with self._lock:
            if block not in tenant.view.blocks:
                return None
            return self._measured(tenant, Job((block,), Reason.EXPIRED), pause)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """No step is carried out for the time of the context."""
        with self._lock:
            yield

    def drop(self, tenant: Tenant, blocks: Sequence[Block]) -> None:
        """Takes blocks of a tenant away, with all that is in them. Raises StorageError."""
        with self._lock:
            self._replace(tenant, blocks, None)

    # -- what is next

    def _in_turn(self) -> list[Tenant]:
        """All tenants, the one after the last that had a job first."""
        names = sorted(self._state.tenants)
        after = [name for name in names if name > self._last]
        return [self._state.tenants[name] for name in after + names[: len(names) - len(after)]]

    def _plan(self, tenant: Tenant, *, everything: bool) -> Plan:
        view, now = tenant.view, time.time_ns()
        known = self._plans.get(tenant.name)
        if (
            not everything
            and known is not None
            and known.blocks is view.blocks
            and known.tombstones is view.tombstones
            and now < known.until
        ):
            return known.plan
        made = plan(view.blocks, self._asked(tenant, view, now, everything=everything))
        if not everything:
            until = now + _REPLAN if made.again is None else min(made.again, now + _REPLAN)
            self._plans[tenant.name] = _Planned(view.blocks, view.tombstones, made, until)
        return made

    def _asked(self, tenant: Tenant, view: View, now: int, *, everything: bool) -> Asked:
        claimed: list[Tombstone] = []
        waiting: list[Tombstone] = []
        for one in view.tombstones:
            if any(one.reaches(block) for block in view.blocks):
                (claimed if one.claim() else waiting).append(one)
        return Asked(
            self._options,
            now,
            claimed,
            waiting,
            partial(self._has_much_expired, self._floor(tenant)),
            frozenset(self._barred),
            frozenset(self._unjoinable),
            everything,
        )

    def _floor(self, tenant: Tenant) -> I64 | None:
        return None if self._floors is None else self._floors.floor(tenant.name, tenant.table)

    def _has_much_expired(self, floor: I64 | None, block: Block) -> bool:
        try:
            return is_worth_rewriting(block, floor)
        except (CorruptBlock, FileNotFoundError) as error:
            log.error("%s; the block is left out of compaction until the next start", error)  # noqa: TRY400 - it names file and fault
            self._barred.add(block.path)
            return False

    def _has_room(self, job: Job) -> bool:
        """Whether the disk has room for what comes of a job beside its sources."""
        found = os.statvfs(self._data_dir)
        room = found.f_bavail * found.f_frsize
        fits = room >= job.size + SPARE
        if not fits and not self._cramped:
            log.warning(
                "the disk has %d bytes left: blocks of %d bytes are not compacted before it has room", room, job.size
            )
        self._cramped = not fits
        return fits

    # -- doing it

    def _measured(self, tenant: Tenant, job: Job, pause: Callable[[], None]) -> Compacted:
        counters = self._counters.compaction
        began, spent = time.perf_counter(), time.thread_time()

        def counted_pause() -> None:
            nonlocal spent
            before, spent = spent, time.thread_time()
            counters.cpu_seconds += spent - before
            pause()

        try:
            return self._run(tenant, job, counted_pause)
        except UnreadableSource as error:
            counters.failures += 1
            if self._damage is not None and self._damage.met(CorruptBlock(str(error), error.block.path)):
                self._plans.clear()
                raise Barred(f"{error}; the block was set aside") from error
            self._bar([error.block])
            raise Barred(f"{error}; the block is left out of compaction until the next start") from error
        except CannotJoin as error:
            if len(job.sources) == 1:  # not even alone: it would be tried again and again
                self._bar(job.sources)
            self._unjoinable.update(block.path for block in job.sources)
            self._plans.clear()
            counters.failures += 1
            names = ", ".join(block.path.name for block in job.sources)
            raise Barred(f"{error}; {names} are not joined until the next start") from error
        except CorruptBlock as error:
            self._bar(job.sources)
            counters.failures += 1
            names = ", ".join(block.path.name for block in job.sources)
            raise Barred(f"{error}; {names} are left out of compaction until the next start") from error
        except (OSError, StorageError):
            counters.failures += 1
            raise
        finally:
            counters.cpu_seconds += time.thread_time() - spent
            counters.seconds.observe(time.perf_counter() - began)
            give_back()

    def _bar(self, blocks: Sequence[Block]) -> None:
        self._barred.update(block.path for block in blocks)
        self._plans.clear()

    def _run(self, tenant: Tenant, job: Job, pause: Callable[[], None]) -> Compacted:
        view, now = tenant.view, time.time_ns()
        asked = self._asked(tenant, view, now, everything=False)
        if job.reason is Reason.DELETED and self._is_spared(job.sources[0], asked, tenant, pause):
            self._plans.pop(tenant.name, None)  # nothing of it is deleted: it is not written anew for that
            return Compacted(job, job.sources[0])
        final = job.sources[0].path.parent / f"{new_ulid()}.parquet"
        temporary = final.with_suffix(".tmp")
        try:
            merged = merge(
                temporary,
                Merge(tenant.name, tenant.table, job.sources, asked.claimed, self._floor(tenant), self._blocks, pause),
            )
            if merged.written is None:
                temporary.unlink()
            else:
                publish(temporary, final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            self._discard(final)  # it may have its name, and its folder could not be synced
            raise
        block = self._take_over(tenant, merged, final)
        self._count(job, merged)
        return Compacted(replace(job, sources=merged.sources), block)

    @staticmethod
    def _is_spared(block: Block, asked: Asked, tenant: Tenant, pause: Callable[[], None]) -> bool:
        try:
            return spare(block, asked.claimed, tenant.table, pause)
        except CorruptBlock as error:
            raise UnreadableSource(block, error) from error

    def _take_over(self, tenant: Tenant, merged: Merged, final: Path) -> Block | None:
        """Puts the new block in its sources' place. Raises StorageError; the sources are still in theirs then."""
        if merged.written is None:
            self._replace(tenant, merged.sources, None)
            return None
        relative = str(final.relative_to(self._data_dir))
        block = block_of(self._data_dir, tenant.table, block_row(relative, merged.written))
        try:
            self._catalog.add([(relative, merged.written)], self._names(merged.sources))
        except StorageError:
            self._discard(final)
            raise
        self._show(tenant, merged.sources, block)
        return block

    def _discard(self, final: Path) -> None:
        """Removes a block that takes nobody's place: a later start would take it for one that does."""
        if final.exists():
            self._leases.remove_later(final)
            self._leases.sweep()

    def _replace(self, tenant: Tenant, blocks: Sequence[Block], block: Block | None) -> None:
        self._catalog.add([], self._names(blocks))
        self._show(tenant, blocks, block)

    def _names(self, blocks: Sequence[Block]) -> list[str]:
        return [str(block.path.relative_to(self._data_dir)) for block in blocks]

    def _show(self, tenant: Tenant, gone: Sequence[Block], block: Block | None) -> None:
        """Changes the view, and removes the files that went when nobody reads them."""
        with self._state.lock:
            tenant.set_view(tenant.view.with_replaced(gone, block))
        for one in gone:
            self._leases.remove_later(one.path)
        self._leases.sweep()

    def _count(self, job: Job, merged: Merged) -> None:
        counters = self._counters.compaction
        counters.jobs[job.reason.value] = counters.jobs.get(job.reason.value, 0) + 1
        counters.blocks_read += len(merged.sources)
        counters.bytes_read += sum(block.size for block in merged.sources)
        if merged.written is not None:
            counters.blocks_written += 1
            counters.bytes_written += merged.written.size
        counters.repeated_rows += merged.repeated
        counters.deleted_rows += merged.deleted
        counters.expired_rows += merged.expired
