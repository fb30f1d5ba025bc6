"""Flush: rows in memory become blocks, and the WAL segments they came from go.

A crash between any two steps loses and doubles nothing: a block's footer says which records' rows (of its day) it
holds, replay skips exactly those, and a segment goes only when every row of it is in a block or in a later segment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from storage.batchids import BatchIds
from storage.blockread import Block
from storage.blockwrite import HOUR, BlockOptions, Written, split_days, write_block
from storage.catalog import BlockRow, Catalog, block_row
from storage.errors import StorageError
from storage.figures import Counters, FlushReason
from storage.footer import OriginRange
from storage.memory import give_back
from storage.memtable import Run, join_runs
from storage.patterns import Flushing, Ids
from storage.publish import Unpublished
from storage.record import Request, Section
from storage.reserve import Reserve
from storage.state import State, Tenant, View
from storage.streams import StreamTable
from storage.ulid import new_ulid
from storage.unwritable import DISK_FULL
from storage.wal import Wal
from storage.writer import Writer

log = logging.getLogger("weir.storage")

BACKOFF = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between tries of a flush that fails."""
TICK = 1.0
"""Seconds between two looks at the ages of what is in memory."""
TOGETHER, TOGETHER_BYTES = 128, 8 << 20
"""Tenants whose blocks are made durable together, and their bytes in memory, at most, but for a single tenant: what a
disk takes for a sync is much for a small block, and all rows stay in memory until the last one's."""
CARRY_BYTES = 16 << 20
"""Memory bytes of a carried record at most, but for a single tenant."""
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FlushOptions:
    """When to flush.

    Attributes:
        size: bytes in memory, of all tenants, from which a flush starts.
        max_age: seconds after which a tenant's oldest row is flushed.
        small_tenant: bytes below which a tenant waits for a later flush, so that many make no many files.
        small_tenant_max_age: seconds after which even such a tenant is flushed.
    """

    size: int = 64 << 20
    max_age: float = 1800.0
    small_tenant: int = 1 << 20
    small_tenant_max_age: float = 7200.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in the order of arrival.

    Attributes:
        seq: number of the last WAL record before it; 0 if there was none.
        segment: no later WAL segment has a record before it.
        generation: of the last block before it.
    """

    seq: int
    segment: int
    generation: int


@dataclass(frozen=True, slots=True, eq=False)
class _Move:
    """One tenant's way from memory to blocks.

    Attributes:
        tenant: whose.
        frozen: the runs.
        patterns: what the blocks take along of them.
        written: the blocks, by paths relative to the data directory.
    """

    tenant: Tenant
    frozen: tuple[Run, ...]
    patterns: Flushing | None
    written: list[tuple[str, Written]] = field(default_factory=list)


class Flusher:
    """The thread that flushes; `flush` may be called by others."""

    def __init__(
        self,
        data_dir: Path,
        state: State,
        writer: Writer,
        wal: Wal,
        catalog: Catalog,
        ids: BatchIds,
        reserve: Reserve,
        counters: Counters,
        *,
        origin: bytes,
        next_generation: int,
        options: FlushOptions,
        blocks: BlockOptions,
    ) -> None:
        self._data_dir = data_dir
        self._state = state
        self._writer = writer
        self._wal = wal
        self._catalog = catalog
        self._ids = ids
        self._reserve = reserve
        self._counters = counters
        self._origin = origin.hex()
        self._generation = next_generation
        self._options = options
        self._blocks = blocks
        self._flush_lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._failures = 0
        self._litter: list[Path] = []
        self._folders: set[Path] = set()
        self._reason = FlushReason.FORCED
        self._thread = threading.Thread(target=self._run, name="weir-flush", daemon=True)
        self._thread.start()

    def poke(self) -> None:
        """To be called after a commit: starts a flush if memory is full."""
        if self._state.memory_bytes >= self._options.size:
            self._wake.set()

    def stop(self) -> None:
        """Ends the thread; a flush that runs is finished."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def flush(self, *, everything: bool = True, reason: FlushReason = FlushReason.FORCED) -> None:
        """Moves memory to blocks; returns when they are durable.

        Args:
            everything: small tenants too.
            reason: under which the blocks are counted.

        Raises:
            OSError, StorageError: it failed; all rows are still in memory and in the log.
        """
        with self._flush_lock:
            self._measured(everything=everything, reason=reason)
        give_back()

    @contextmanager
    def bring_to_blocks(self, tenant: Tenant, concerned: Callable[[View], bool]) -> Iterator[Moment]:
        """Moves a tenant's memory to blocks, if it is concerned; no flush writes blocks for the time of the context.

        Args:
            tenant: whose.
            concerned: asked, while nothing is committed, whether the tenant's memory has to go.

        Yields:
            What came before `concerned` was asked: all of it that is concerned is in blocks of the view, whose
            generation is no later than the moment's. What comes after it will be in blocks of a later one.

        Raises:
            OSError, StorageError: it failed; all rows are still in memory and in the log.
        """
        with self._flush_lock:
            with self._writer.commit_lock, self._state.lock:
                upto, segment = self._wal.next_seq - 1, self._wal.segment
                moves = concerned(tenant.view) and bool(tenant.view.memory)
                if moves:
                    tenant.set_view(tenant.view.with_frozen())
            if moves:
                self._reason = FlushReason.FORCED
                self._write_tenants([tenant])
            yield Moment(upto, segment, self._generation - 1)

    # -- the thread

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._failures:  # not ended by the next commit: a memtable that is full would try at each
                self._stop.wait(BACKOFF[min(self._failures, len(BACKOFF)) - 1])
            else:
                self._wake.wait(TICK)
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self._flush_if_due()
            except (OSError, StorageError) as error:
                self._failures += 1
                log.error("the flush failed, its rows stay in memory and in the log: %s", error)  # noqa: TRY400 - no fault of ours
            except Exception:  # the thread must live: rows are safe in the log, and the next try may succeed
                self._failures += 1
                log.exception("the flush failed, its rows stay in memory and in the log")
            else:
                self._failures = 0

    def _flush_if_due(self) -> None:
        # Asked with the lock: what another's flush has frozen is not left over, and it may flush all that is due.
        with self._flush_lock:
            reason = self._due()
            if reason is None:
                return
            self._measured(everything=False, reason=reason)
        give_back()

    def _due(self) -> FlushReason | None:
        """Why a flush should start now; the reason of one that failed holds for the next."""
        tenants = [tenant for tenant in list(self._state.tenants.values()) if tenant.view.memory]
        if any(tenant.view.frozen for tenant in tenants):
            return self._reason
        if self._state.memory_bytes >= self._options.size:
            return FlushReason.FULL
        return FlushReason.MAX_AGE if any(self._too_old(tenant) for tenant in tenants) else None

    def _too_old(self, tenant: Tenant) -> bool:
        small = tenant.nbytes < self._options.small_tenant
        limit = self._options.small_tenant_max_age if small else self._options.max_age
        return tenant.since is not None and time.monotonic() - tenant.since >= limit

    # -- a flush

    def _measured(self, *, everything: bool, reason: FlushReason) -> None:
        began = time.perf_counter()
        self._reason = reason
        failed = True
        try:
            self._flush(everything=everything)
            failed = False
        finally:
            self._counters.flush.observe(time.perf_counter() - began)
            self._counters.flush_failures += failed
            with self._state.lock:
                self._state.flush_failing = failed
                self._state.lock.notify_all()
        self._counters.flushes += 1

    def _flush(self, *, everything: bool) -> None:
        upto = self._freeze()
        frozen = [tenant for tenant in list(self._state.tenants.values()) if tenant.view.frozen]
        waiting = [] if everything else self._small(frozen)
        kept = {tenant.name for tenant in waiting}
        for some in _together(tenant for tenant in frozen if tenant.name not in kept):
            self._write_tenants(some)
        self._carry(waiting)
        self._ids.persist(upto)
        self._wal.remove(upto)
        self._reserve.ensure()

    def _freeze(self) -> int:
        """Takes the runs out of the writer's hands; returns the last segment that has rows of theirs."""
        with self._writer.commit_lock, self._state.lock:
            upto = self._wal.rotate()
            for tenant in self._state.tenants.values():
                if tenant.view.runs:
                    tenant.set_view(tenant.view.with_frozen())
        return upto

    def _small(self, frozen: list[Tenant]) -> list[Tenant]:
        """Tenants that may wait: small, young, and together at most half of what memory may hold.

        Young is half the age that starts a flush: else each of a thousand small tenants would start one of its own.
        """
        now, limit = time.monotonic(), self._options.small_tenant_max_age / 2
        small = [
            t for t in frozen if t.nbytes < self._options.small_tenant and t.since is not None and now - t.since < limit
        ]
        small.sort(key=lambda tenant: tenant.nbytes)
        kept, total = [], 0
        for tenant in small:
            total += tenant.nbytes
            if total > self._options.size // 2:
                break
            kept.append(tenant)
        return kept

    def _write_tenants(self, tenants: Sequence[Tenant]) -> None:
        """Writes each one's frozen runs as one block a day and puts those in their place."""
        keeper = self._state.patterns
        moves = [
            _Move(one, one.view.frozen, None if keeper is None else keeper.flushing(one.name, one.table))
            for one in tenants
        ]
        try:
            self._write_blocks(moves)
        except OSError as error:
            if error.errno not in DISK_FULL or not self._reserve.held:
                raise
            log.warning("the disk is full: the flush goes on with the reserve, and pushes are refused meanwhile")
            self._reserve.release()
            self._write_blocks(moves)
        written = [block for move in moves for block in move.written]
        try:
            rows = self._catalog.add(written)
        except StorageError as error:
            log.warning("%s; the blocks are complete without it, the next start lists them again", error)
            rows = [block_row(*block) for block in written]
        left = iter(rows)
        for move in moves:
            self._put(move, list(islice(left, len(move.written))))

    def _put(self, move: _Move, rows: Sequence[BlockRow]) -> None:
        """Puts the blocks in the place of the runs that they were written from."""
        tenant = move.tenant
        # Patterns first: who looks them up has them for long, and commits wait for the state's lock.
        with nullcontext() if move.patterns is None else move.patterns.published(), self._state.lock:
            blocks = tuple(block_of(self._data_dir, tenant.table, row) for row in rows)
            streams = int(np.count_nonzero(tenant.view.bounds.held()))
            tenant.set_view(tenant.view.with_blocks(blocks))
            tenant.streams_removed += streams - int(np.count_nonzero(tenant.view.bounds.held()))
            tenant.since = time.monotonic() if tenant.view.memory else None
            self._state.lock.notify_all()
        self._count(tenant, [block for _, block in move.written], time.time_ns())

    def _count(self, tenant: Tenant, written: list[Written], now: int) -> None:
        size = sum(block.size for block in written)
        tenant.stored_blocks += len(written)
        tenant.stored_bytes += size
        counters = self._counters
        counters.flushed_blocks += len(written)
        counters.flushed_rows += sum(block.footer.rows for block in written)
        counters.flushed_bytes += size
        counters.blocks_by_reason[self._reason] += len(written)
        for block in written:
            spans = block.footer.spans
            first, last = int(spans.min_ts.min()), int(spans.max_ts.max())
            counters.blocks.age.observe(max(0.0, (now - first) / _SECOND))
            counters.blocks.hours.observe((last - first) / HOUR)
            counters.blocks.ratio.observe(int(spans.line_bytes.sum() + spans.metadata_bytes.sum()) / block.size)
            counters.blocks.entries.observe(block.footer.rows)
            counters.blocks.size.observe(block.size)

    def _write_blocks(self, moves: Sequence[_Move]) -> None:
        """Writes all blocks, durably. If that fails there are none."""
        self._remove_litter()
        with Unpublished() as files:
            try:
                times = [spent for move in moves for spent in self._write_days(move, files)]
                began = time.perf_counter()
                files.publish(self._folders)
                syncing = (time.perf_counter() - began) / len(times)
            except BaseException:
                self._litter += [path for path in files.paths if path.exists()]
                self._remove_litter()
                raise
        self._folders.clear()
        for spent in times:
            self._counters.blocks.encode.observe(spent + syncing)

    def _write_days(self, move: _Move, files: Unpublished) -> list[float]:
        """Writes a tenant's blocks under temporary names; the seconds that each took."""
        tenant, frozen, patterns = move.tenant, move.frozen, move.patterns
        parts = [run.batch for run in frozen]
        origins = [OriginRange(self._origin, frozen[0].first_seq, max(run.last_seq for run in frozen))]
        generation, self._generation = self._generation, self._generation + 1
        move.written.clear()
        times = []
        for rows in split_days(parts, tenant.table):
            relative = f"blocks/{tenant.name}/{np.datetime64(rows.day, 'D')}/{new_ulid()}.parquet"
            final = self._data_dir / relative
            self._make_folder(final.parent)
            began = time.perf_counter()
            block = write_block(
                files.temporary(final),
                parts,
                rows,
                tenant.table,
                tenant=tenant.name,
                generation=generation,
                origins=origins,
                options=self._blocks,
                patterns=None if patterns is None else partial(_patterns_of, patterns, rows.day),
                sync=files.sync_later,
            )
            times.append(time.perf_counter() - began)
            move.written.append((relative, block))
        return times

    def _remove_litter(self) -> None:
        """Removes what flushes that failed have written; what cannot be removed now is tried with the next.

        A block among it says what it holds as any does: found by a start, it is one, and the log's rows are not.
        """
        left = []
        for path in self._litter:
            try:
                path.unlink(missing_ok=True)
            except OSError:  # it is why the flush failed, and said with that
                left.append(path)
        self._litter = left

    def _make_folder(self, folder: Path) -> None:
        """Makes a block folder, parents first; durable with the blocks, or the next ones if those fail."""
        missing = [path for path in (folder.parent.parent, folder.parent, folder) if not path.exists()]
        for path in missing:
            self._folders.add(path.parent)
            path.mkdir(exist_ok=True)

    def _carry(self, tenants: list[Tenant]) -> None:
        """Writes the rows of tenants that wait to a fresh segment, so that the old ones may go."""
        batch: list[Tenant] = []
        size = 0
        for tenant in tenants:
            batch.append(tenant)
            size += tenant.nbytes
            if size >= CARRY_BYTES:
                self._carry_some(batch)
                batch, size = [], 0
        if batch:
            self._carry_some(batch)

    def _carry_some(self, tenants: list[Tenant]) -> None:
        joined = {tenant.name: join_runs(tenant.view.frozen) for tenant in tenants}
        sections = [
            Section(name, (), (Request(len(run)),), run.batch, ((run.first_seq, run.last_seq),))
            for name, run in joined.items()
        ]
        with self._writer.commit_lock:
            self._wal.carry(sections)
        self._counters.carried_rows += sum(len(run) for run in joined.values())
        with self._state.lock:
            for tenant in tenants:
                tenant.set_view(tenant.view.with_thawed(joined[tenant.name]))


def _together(tenants: Iterable[Tenant]) -> Iterator[list[Tenant]]:
    """Sets of tenants whose blocks are made durable together."""
    some: list[Tenant] = []
    size = 0
    for tenant in tenants:
        if some and (len(some) == TOGETHER or size + tenant.nbytes > TOGETHER_BYTES):
            yield some
            some, size = [], 0
        some.append(tenant)
        size += tenant.nbytes
    if some:
        yield some


def _patterns_of(patterns: Flushing, day: int, _streams: Ids) -> bytes | None:
    return patterns.of_day(day)


def block_of(data_dir: Path, table: StreamTable, row: BlockRow) -> Block:
    """The block of a catalog row whose streams are all in the table."""
    return Block(
        path=data_dir / row.path,
        day=row.day,
        generation=row.generation,
        min_ts=int(row.stream_min.min()),
        max_ts=int(row.stream_max.max()),
        rows=row.rows,
        size=row.size,
        origins=row.origins,
        deletes=row.deletes,
        streams=table.numbers(row.stream_ids),
        stream_min=row.stream_min,
        stream_max=row.stream_max,
        compacted=bool(row.sources),
    )
