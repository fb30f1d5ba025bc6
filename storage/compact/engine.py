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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from storage.batch import I64
from storage.blockread import Block
from storage.blockwrite import BlockOptions
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
from storage.publish import publish
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


class _Overtaken(Exception):  # noqa: N818 - named for what happened
    """Blocks that were being compacted went meanwhile: expired, for space, or set aside."""


class Floors(Protocol):
    """What retention says of single entries."""

    def floor(self, tenant: str, table: StreamTable) -> I64 | None:
        """int64[streams], ns: older entries of a stream have expired; None if none ever does."""

    def of_block(self, floor: I64 | None, block: Block) -> I64 | None:
        """The same of a block's entries, which may be owed to others."""


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
        """One job at a time."""
        self._changing = threading.Lock()
        """Over the moments in which blocks go or take others' place; taken after `_lock`, and held for no merge."""
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

    def step(self, pause: Callable[[], None], *, everything: bool = False, waits: bool = True) -> Compacted | None:
        """Carries out one job; None if there is none.

        Args:
            pause: called between pieces of work, where it may take blocks away (`at_rest`); what it raises ends the
                step.
            everything: join all that can be joined.
            waits: for a job that another thread is at; else there is none then.

        Raises:
            Barred: it cannot be done, and will not be tried again.
            OSError, StorageError: it failed; the blocks are as they were.
        """
        if not self._lock.acquire(blocking=waits):
            return None
        try:
            while True:
                with suppress(_Overtaken):
                    return self._step(pause, everything=everything)
        finally:
            self._lock.release()

    def _step(self, pause: Callable[[], None], *, everything: bool) -> Compacted | None:
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
        with self._lock, suppress(_Overtaken):
            return self._measured(tenant, Job((block,), Reason.EXPIRED), pause)
        return None

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Blocks take no others' place for the time of the context; a job whose blocks go meanwhile is given up."""
        with self._changing:
            yield

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
            partial(self._has_much_expired, tenant, self._floor(tenant)),
            frozenset(self._barred),
            frozenset(self._unjoinable),
            everything,
        )

    def _floor(self, tenant: Tenant) -> I64 | None:
        return None if self._floors is None else self._floors.floor(tenant.name, tenant.table)

    def _floor_of(self, floor: I64 | None, block: Block) -> I64 | None:
        return floor if self._floors is None else self._floors.of_block(floor, block)

    def _has_much_expired(self, tenant: Tenant, floor: I64 | None, block: Block) -> bool:
        try:
            return is_worth_rewriting(block, self._floor_of(floor, block))
        except (CorruptBlock, FileNotFoundError) as error:
            if block not in tenant.view.blocks:  # it went since
                return False
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
            spent = time.thread_time()
            self._go_on(tenant, job.sources)

        try:
            return self._run(tenant, job, counted_pause)
        except _Overtaken:
            log.info("a compaction is given up: some of its blocks went meanwhile")
            raise
        except UnreadableSource as error:
            self._go_on(tenant, job.sources)
            counters.failures += 1
            if self._damage is not None and self._damage.met(CorruptBlock(str(error), error.block.path)):
                self._plans.clear()
                raise Barred(f"{error}; the block was set aside") from error
            self._bar([error.block])
            raise Barred(f"{error}; the block is left out of compaction until the next start") from error
        except CannotJoin as error:
            self._unjoinable.update(block.path for block in error.blocks)
            self._plans.clear()
            counters.failures += 1
            raise Barred(f"{error}; they are not joined until the next start, others are") from error
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

    @staticmethod
    def _go_on(tenant: Tenant, sources: Sequence[Block]) -> None:
        """Raises _Overtaken if one of the sources is not in the view any more: what it had is not to come back."""
        if not set(sources) <= set(tenant.view.blocks):
            raise _Overtaken

    def _bar(self, blocks: Sequence[Block]) -> None:
        self._barred.update(block.path for block in blocks)
        self._plans.clear()

    def _run(self, tenant: Tenant, job: Job, pause: Callable[[], None]) -> Compacted:
        lease = self._leases.begin()  # a source that goes meanwhile can still be read until that is noticed
        self._go_on(tenant, job.sources)
        asked = self._asked(tenant, tenant.view, time.time_ns(), everything=False)
        if job.reason is Reason.DELETED and self._is_spared(job.sources[0], asked, tenant, pause):
            self._plans.pop(tenant.name, None)  # nothing of it is deleted: it is not written anew for that
            return Compacted(job, job.sources[0])
        final = job.sources[0].path.parent / f"{new_ulid()}.parquet"
        temporary = final.with_suffix(".tmp")
        try:
            merged = merge(
                temporary,
                Merge(
                    tenant.name,
                    tenant.table,
                    job.sources,
                    asked.claimed,
                    self._floor(tenant),
                    self._blocks,
                    pause,
                    self._state.patterns,
                    self._floor_of,
                ),
            )
            if merged.written is None:
                temporary.unlink()
            else:
                publish(temporary, final)
        except BaseException:
            self._discard(temporary)
            self._discard(final)  # it may have its name, and its folder could not be synced
            raise
        finally:
            del lease
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
        written = []
        block: Block | None = None
        if merged.written is not None:
            relative = str(final.relative_to(self._data_dir))
            written = [(relative, merged.written)]
            block = block_of(self._data_dir, tenant.table, block_row(relative, merged.written))
        try:
            with self._changing:
                self._go_on(tenant, merged.sources)
                self._catalog.add(written, self._names(merged.sources))
                with self._state.lock:
                    tenant.set_view(tenant.view.with_replaced(merged.sources, block))
        except (StorageError, _Overtaken):
            self._discard(final)
            raise
        for one in merged.sources:
            self._leases.remove_later(one.path)
        self._leases.sweep()
        return block

    def _discard(self, path: Path) -> None:
        """Removes a file that takes nobody's place, and that nobody reads: a later start would take it for a block.

        What cannot be removed now, as the disk has become read-only, is tried again.
        """
        try:
            path.unlink(missing_ok=True)
        except OSError:
            self._leases.remove_later(path)

    def _names(self, blocks: Sequence[Block]) -> list[str]:
        return [str(block.path.relative_to(self._data_dir)) for block in blocks]

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
