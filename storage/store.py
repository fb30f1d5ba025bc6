"""Store: the facade. Opens a data directory, takes batches in, gives entries and labels out.

Layout of a data directory: lock, origin, reserve, wal/, archive/, blocks/<tenant>/<day>/, index.db, control.db,
quarantine/.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from storage.activity import StreamActivity, activity_of
from storage.archived import lowered
from storage.batch import I64, Batch, Labels
from storage.batchids import BatchId, BatchIds, Instance
from storage.blockread import Block
from storage.blockwrite import BlockOptions
from storage.catalog import Catalog
from storage.cells import Cells, cells_of, hours_of
from storage.clock import SteadyClock
from storage.compact import Barred, Compacted, CompactionOptions, Engine, Job, Worker
from storage.control import Control, DeleteRecord
from storage.damage import Damage
from storage.days import DAY
from storage.deletes import DeleteOptions, DeleteProgress, Deletes
from storage.erased import KnownDeletes
from storage.errors import CorruptBlock, StorageError
from storage.expiry import Expiry, Floors, Removed
from storage.feed import Snapshot, Watcher
from storage.figures import Condition, Counters, Figures, ReplayFigures, TenantFigures, label_values
from storage.flush import Flusher, FlushOptions, block_of
from storage.leases import Lease, Leases
from storage.lock import DirectoryLock, check_restored, read_origin
from storage.outbox.outbox import Outbox
from storage.patterns import BlockPatterns, PatternKeeper
from storage.reading import Survey
from storage.replay import ReplayProgress, replay
from storage.reserve import Reserve
from storage.retention import Retention, RetentionOptions
from storage.scan import BlockUnit, MemoryUnit, Window, units_of
from storage.setaside import SetAside
from storage.shards import Shard, shards_of
from storage.state import State, Tenant, View
from storage.stats import IndexStats, index_stats
from storage.streams import LabelMatcher
from storage.unwritable import refusal
from storage.volumes import Grouping, Volume, buckets, volumes, whole
from storage.wal import SyncMode, Wal
from storage.writer import Done, Item, Receipt, Writer

__all__ = ["Receipt", "Store", "StoreOptions", "open_store"]

log = logging.getLogger("weir.storage")

_BUCKET = 10_000_000_000
"""ns: patterns are counted at the beginning of so long a stretch."""
MAX_LINE = (1 << 32) - 1
"""Bytes of a line that a WAL record can say; no limit of a door is near it."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How a store works; every value has a setting of its own.

    Attributes:
        sync: when a record is made durable.
        sync_interval: seconds, for SyncMode.INTERVAL.
        segment_size: bytes of a WAL segment.
        reserve: bytes of disk kept back for a flush when the disk is full.
        flush: when memory becomes blocks.
        blocks: how blocks are written.
        deletes: how deletes are read and when they are carried out.
        compaction: how blocks are compacted.
        retention: how long entries are kept, and how much disk they may take.
        clock: the time of day, ns.
        patterns: who keeps patterns of lines; None: nobody does, and compaction keeps none.
    """

    sync: SyncMode = SyncMode.COMMIT
    sync_interval: float = 1.0
    segment_size: int = 64 << 20
    reserve: int = 64 << 20
    flush: FlushOptions = field(default_factory=FlushOptions)
    blocks: BlockOptions = field(default_factory=BlockOptions)
    deletes: DeleteOptions = field(default_factory=DeleteOptions)
    compaction: CompactionOptions = field(default_factory=CompactionOptions)
    retention: RetentionOptions = field(default_factory=RetentionOptions)
    clock: Callable[[], int] = time.time_ns
    patterns: PatternKeeper | None = None


def _call(run: Callable[[], None]) -> None:
    run()


def _go_on() -> None:
    """Compaction that somebody waits for does not pause."""


class Store:
    """An open data directory; see open_store. Safe for use by any number of threads."""

    def __init__(
        self,
        data_dir: Path,
        options: StoreOptions,
        deliver: Callable[[Callable[[], None]], None],
        progress: Callable[[ReplayProgress], None] | None,
    ) -> None:
        self._lock = DirectoryLock(data_dir)
        undo = ExitStack()
        undo.callback(self._lock.release)
        self._counters = Counters()
        self._replay = ReplayFigures()
        self._state = State(patterns=options.patterns)
        self._leases = Leases()
        try:
            check_restored(data_dir)
            for folder in ("wal", "blocks"):
                (data_dir / folder).mkdir(exist_ok=True)
            self._reserve = Reserve(data_dir / "reserve", options.reserve)
            self._reserve.lend()
            self._control = Control(data_dir)
            undo.callback(self._control.close)
            self.origin = origin = read_origin(data_dir)  # from now on a control.db that is missing is missed
            self._set_aside = SetAside(data_dir)
            self._catalog = Catalog(data_dir, self._set_aside)
            undo.callback(self._catalog.close)
            next_generation = self._load_catalog(data_dir)
            self._damage = Damage(data_dir, self._state, self._catalog, self._set_aside)
            self._ids = ids = BatchIds(self._control)
            self._wal_dir = data_dir / "wal"
            known = KnownDeletes(self._control, options.deletes.compiler)
            next_generation = max(next_generation, known.generation + 1)
            clock = SteadyClock(data_dir / "clock", options.clock)
            self.outbox = Outbox(data_dir, origin, self._state, self._control, options.clock, clock.now)
            found = replay(self._wal_dir, origin, self._state, ids, self._replay, progress, known, self.outbox.found)
            next_seq = max(found.next_seq, self.outbox.next_seq)
            self.outbox.opened(next_seq, found.gaps)
            undo.callback(self.outbox.stop)
            self._tell_of_memory(options.patterns)
            self._reserve.ensure()
            self._wal = Wal(
                self._wal_dir,
                origin,
                next_segment=max(found.next_segment, self.outbox.next_segment),
                next_seq=next_seq,
                counters=self._counters,
                sync=options.sync,
                interval=options.sync_interval,
                segment_size=options.segment_size,
                freed=self._leases.freed,
                journal=self.outbox,
            )
        except BaseException:
            undo.close()
            raise
        self._writer = Writer(
            self._state,
            self._wal,
            ids,
            self._reserve,
            self._counters,
            memory_limit=options.flush.size,
            deliver=deliver,
            committed=self._after_commit,
        )
        self._flusher = Flusher(
            data_dir,
            self._state,
            self._writer,
            self._wal,
            self._catalog,
            ids,
            self._reserve,
            self._counters,
            origin=origin,
            next_generation=next_generation,
            options=options.flush,
            blocks=options.blocks,
        )
        self._deletes = Deletes(
            self._state,
            self._control,
            self._writer,
            self._flusher,
            self._wal_dir,
            known,
            options.deletes,
            origin=origin,
            aside=self._set_aside,
        )
        self._retention = Retention(options.retention, options.clock)
        self._retention.archived = self.outbox.archived
        floors = Floors(self._retention, clock)
        floors.clock.now()  # kept from the start on
        self._engine = Engine(
            data_dir,
            self._state,
            self._catalog,
            self._leases,
            self._counters,
            options=options.compaction,
            blocks=options.blocks,
            floors=floors,
            damage=self._damage,
        )
        self._expiry = Expiry(
            data_dir,
            self._state,
            self._writer,
            self._catalog,
            self._leases,
            self._counters,
            self._engine,
            self._retention,
            floors,
            owed=self.outbox.log_owed,
        )
        self._worker = Worker(
            self._engine,
            self._leases,
            share=options.compaction.share,
            compacts=options.compaction.enabled,
            chores=(self._deletes.settle, self._expiry.tick),
        )
        self._flusher.poke()
        self._worker.start()

    def _tell_of_memory(self, keeper: PatternKeeper | None) -> None:
        """Patterns of the rows that the log brought back are made again."""
        if keeper is not None:
            for name, tenant in self._state.tenants.items():
                for run in tenant.view.memory:
                    keeper.stored(name, tenant.table, run.batch)

    def _load_catalog(self, data_dir: Path) -> int:
        """Puts all streams and blocks into the state; returns the next generation."""
        for name, number, labels in self._catalog.streams():
            self._state.tenant(name).table.restore(labels, number)
        generation = 0
        blocks: dict[str, list[Block]] = {}
        for row in self._catalog.blocks():
            table = self._state.tenant(row.tenant).table
            block = block_of(data_dir, table, row)
            blocks.setdefault(row.tenant, []).append(block)
            table.touch(block.streams, block.stream_min)
            table.touch(block.streams, block.stream_max)
            generation = max(generation, row.generation)
        for name, found in blocks.items():
            self._state.tenant(name).set_view(View(tuple(found)))
        return generation + 1

    def _after_commit(self) -> None:
        self._worker.note_push()
        self._flusher.poke()
        self.outbox.committed()

    def _stream_floor(self, tenant: Tenant, start: int) -> I64 | None:
        """As `_floor`, where nothing is told of blocks and runs: no later than the first entry that is seen yet."""
        view = tenant.view
        floor, archived = self._floor(tenant, start), self.outbox.archived()
        return floor if floor is None or archived is None else lowered(floor, archived, view)

    # -- in

    def append(self, tenant: str, batch: Batch, done: Done, *, batch_id: BatchId | None = None) -> None:
        """Stores a batch; returns at once.

        Args:
            tenant: whose.
            batch: entries on a stream table of its own; label sets without duplicate names.
            done: called, through the store's `deliver`, with a Receipt when the entries are on disk or with a
                StorageError when they are refused; nothing of the batch is kept then.
            batch_id: how the sender names it; under one id a batch is stored once.
        """
        if batch.lines.nbytes > MAX_LINE and int(batch.lines.lengths.max()) > MAX_LINE:
            done(StorageError("a line of 4 GiB or more cannot be stored"))
            return
        try:
            self._writer.put(Item(tenant, batch, batch_id, done))
        except StorageError as refusal:
            done(refusal)

    # -- out

    def scan(
        self,
        tenant: str,
        matchers: Sequence[LabelMatcher],
        start: int,
        end: int,
        direction: str,
        survey: Survey | None = None,
    ) -> Iterator[MemoryUnit | BlockUnit]:
        """Units that may hold matching entries with start <= ts < end (ns): a logql.source.Source.

        They come ascending in min_ts for "forward", descending in max_ts for "backward". `survey` is told what else
        was looked at.
        """
        found = self._state.tenants.get(tenant)
        if found is None:
            return
        lease = self._leases.begin()
        # The view first: every stream that it has rows of is in the table by then, and is asked for.
        yield from self._units(found, found.view, lease, matchers, start, end, direction, survey)

    def _units(
        self,
        found: Tenant,
        view: View,
        lease: Lease,
        matchers: Sequence[LabelMatcher],
        start: int,
        end: int,
        direction: str,
        survey: Survey | None,
    ) -> Iterator[MemoryUnit | BlockUnit]:
        """The units of a view that was taken after the lease began."""
        accepted = found.table.accepted(matchers)
        window = Window(found.table, accepted, start, end, self._floor(found, start), lease, self.outbox.archived())
        units = units_of(view, window, survey)
        if direction == "forward":
            units.sort(key=lambda unit: unit.min_ts)
        else:
            units.sort(key=lambda unit: -unit.max_ts)
        yield from units

    def watch(self, watcher: Watcher | None) -> None:
        """Has each commit from now on told to `watcher`, and to no other; None: to nobody."""
        with self._state.lock:
            self._state.watcher = watcher

    def snapshot(self, tenant: str) -> Snapshot:
        """What a tenant has now, as far as commits tell it apart: see storage.feed."""
        lease = self._leases.begin()
        with self._state.lock:
            number, found = self._state.commits, self._state.tenants.get(tenant)
            view = View() if found is None else found.view

        def units(
            matchers: Sequence[LabelMatcher], start: int, end: int, direction: str, survey: Survey | None
        ) -> Iterator[MemoryUnit | BlockUnit]:
            if found is None:
                return iter(())
            return self._units(found, view, lease, matchers, start, end, direction, survey)

        return Snapshot(number, units)

    def label_names(self, tenant: str, matchers: Sequence[LabelMatcher], start: int, end: int) -> list[str]:
        """Names of labels of matching streams that wrote within start <= ts < end (ns), sorted."""
        found = self._state.tenants.get(tenant)
        return [] if found is None else found.table.label_names(matchers, start, end, self._stream_floor(found, start))

    def label_values(self, tenant: str, name: str, matchers: Sequence[LabelMatcher], start: int, end: int) -> list[str]:
        """Values of the label `name` on matching streams that wrote within start <= ts < end (ns), sorted."""
        found = self._state.tenants.get(tenant)
        if found is None:
            return []
        return found.table.label_values(name, matchers, start, end, self._stream_floor(found, start))

    def series(self, tenant: str, groups: Sequence[Sequence[LabelMatcher]], start: int, end: int) -> list[Labels]:
        """Label sets of the streams that one of the groups matches (without groups: all) and that wrote in time."""
        found = self._state.tenants.get(tenant)
        if found is None:
            return []
        floor = self._stream_floor(found, start)
        streams = [found.table.matching(group, start, end, floor) for group in groups or [()]]
        return [found.table[number] for number in np.unique(np.concatenate(streams)).tolist()]

    def index_stats(self, tenant: str, matchers: Sequence[LabelMatcher], start: int, end: int) -> IndexStats:
        """How much of matching streams lies in start <= ts < end (ns): streams, chunks, bytes, entries.

        Raises:
            CorruptBlock: a block's footer or times cannot be read.
        """
        found = self._state.tenants.get(tenant)
        if found is None:
            return IndexStats(0, 0, 0, 0)
        lease = self._leases.begin()
        view = found.view
        accepted = found.table.accepted(matchers)
        floor = self._floor(found, start)
        return index_stats(view, Window(found.table, accepted, start, end, floor, lease, self.outbox.archived()))

    def block_patterns(
        self, tenant: str, matchers: Sequence[LabelMatcher], start: int, end: int
    ) -> BlockPatterns | None:
        """Blocks whose footers may say something of matching streams in start <= ts <= end (ns); None: no streams."""
        found = self._state.tenants.get(tenant)
        if found is None:
            return None
        lease = self._leases.begin()
        view = found.view
        streams = np.flatnonzero(found.table.accepted(matchers))
        floor = self._stream_floor(found, start)
        # By day and not by their rows: what was counted of a day goes with the next block of it.
        first, last = (start - _BUCKET) // DAY, end // DAY
        paths = tuple([block.path for block in view.blocks if first <= block.day <= last])
        return BlockPatterns(found.table.ids[streams], None if floor is None else floor[streams], paths, lease)

    def volumes(
        self, tenant: str, matchers: Sequence[LabelMatcher], start: int, end: int, step: int, grouping: Grouping
    ) -> list[Volume]:
        """Bytes of matching streams in start <= ts <= end (ns), without a line being read; see storage.volumes.

        `step`, ns: a Volume for each stretch of so long, at its multiples; 0: one for all.

        Raises:
            CorruptBlock: a block's footer cannot be read.
            VolumeSeriesLimit: there are more series than may be.
        """
        found = self._state.tenants.get(tenant)
        if found is None:
            return []
        parts = buckets(start, end, step) if step else whole(start, end)
        return list(volumes(self._cells(found, matchers, start, end), found.table, parts, grouping))

    def shards(self, tenant: str, matchers: Sequence[LabelMatcher], start: int, end: int, target: int) -> list[Shard]:
        """Ranges of stream ids with about `target` bytes each in start <= ts <= end (ns); see storage.shards.

        Raises CorruptBlock.
        """
        found = self._state.tenants.get(tenant)
        if found is None:
            return shards_of(None, start, end, target)
        return shards_of((self._cells(found, matchers, start, end), found.table), start, end, target)

    def activity(
        self, tenant: str, matchers: Sequence[LabelMatcher], start: int, end: int, limit: int
    ) -> tuple[int, list[StreamActivity]]:
        """How many streams match, and when the `limit` of them that wrote last did; see storage.activity.

        How much each has is told of start <= ts <= end (ns). Raises CorruptBlock.
        """
        found = self._state.tenants.get(tenant)
        if found is None:
            return 0, []
        streams = found.table.select(matchers)
        cells = self._cells(found, matchers, start, end)
        floor = self._stream_floor(found, -(1 << 63))
        return len(streams), activity_of(found.table, streams, floor, cells, start, end, limit)

    def _cells(self, tenant: Tenant, matchers: Sequence[LabelMatcher], start: int, end: int) -> Cells:
        lease = self._leases.begin()
        view = tenant.view
        accepted = tenant.table.accepted(matchers)
        # From where the first hour begins: what has expired of an hour does not count for the rest of it.
        floor = self._floor(tenant, hours_of(start, end)[0])
        return cells_of(view, Window(tenant.table, accepted, start, end + 1, floor, lease, self.outbox.archived()))

    def _floor(self, tenant: Tenant, start: int) -> I64 | None:
        """int64[streams], ns: what is older has expired; None if nothing from `start` on has. To be asked last."""
        return self._retention.floor_within(tenant.name, tenant.table, start)

    def instances(self) -> list[Instance]:
        """What each server that passes batches on has brought each tenant. Blocking. Raises StorageError."""
        return self._ids.instances()

    # -- deletes

    def delete(self, tenant: str, query: str, first: int, last: int, who: str) -> DeleteRecord:
        """Deletes entries with first <= ts <= last (ns, no later than now); see Deletes.accept."""
        return self._deletes.accept(tenant, query, first, last, who)

    def deletes(self, tenant: str) -> list[DeleteProgress]:
        """A tenant's deletes of all times, by when they were accepted. Raises StorageError."""
        return self._deletes.listed(tenant)

    def cancel_delete(self, tenant: str, delete_id: str, *, force: bool = False) -> DeleteRecord:
        """Calls a delete off; see Deletes.cancel."""
        return self._deletes.cancel(tenant, delete_id, force=force)

    def met_damage(self, error: CorruptBlock) -> bool:
        """To be told when a unit could not be read: whether its block is set aside now, and the rest can be asked.

        Raises OSError.
        """
        return self._damage.met(error)

    def missing(self, tenant: str, start: int, end: int) -> tuple[str, ...]:
        """What is not in an answer about start <= ts < end (ns) as its block is set aside: a sentence a block."""
        return self._set_aside.told(tenant, start, end)

    # -- life

    def flush(self) -> None:
        """Moves everything in memory to blocks; returns when they are durable.

        Raises StorageError: all rows are still in memory and in the log.
        """
        try:
            self._flusher.flush(everything=True)
        except OSError as error:
            raise refusal(error, "a block") from error

    def set_retention(self, options: RetentionOptions) -> None:
        """How long entries are kept from now on; in force with the next read."""
        self._retention.options = options

    def drop_expired(self) -> int:
        """Takes blocks off the disk that have expired whole or take too much of it; returns how many. Raises OSError.

        The thread that compacts does it by itself every few seconds.
        """
        return self._expiry.look()

    def remove_expired(self) -> Removed:
        """Takes all that has expired by the time of day off the disk; see Expiry.remove_all.

        Raises OSError, StorageError.
        """
        return self._expiry.remove_all()

    def to_compact(self) -> list[Job]:
        """What `compact` would do, as far as it is known now."""
        return self._engine.pending(everything=True)

    def compact(self, tell: Callable[[Compacted], None] | None = None) -> list[str]:
        """Joins all blocks of each tenant and day that may be joined; returns when nothing is left to do.

        `tell` is told each step, in the calling thread.

        Returns:
            What is wrong with blocks that cannot be compacted.

        Raises:
            StorageError: a step failed; what was done before it stays.
        """
        problems: list[str] = []
        while True:
            try:
                done = self._engine.step(_go_on, everything=True)
            except Barred as error:
                problems.append(str(error))
                continue
            except OSError as error:
                raise refusal(error, "a block") from error
            if done is None:
                return problems
            if tell is not None:
                tell(done)

    def close(self) -> None:
        """Commits what is queued, syncs and closes. What is in memory stays in the log. Raises OSError."""
        self._worker.stop()
        self._writer.stop()
        self._flusher.stop()
        self.outbox.stop()
        try:
            self._wal.close()
        finally:
            self._catalog.close()
            self._control.close()
            self._lock.release()

    def condition(self) -> Condition:
        """What may be wrong now; cheap."""
        counters = self._counters
        return Condition(
            refusing=counters.refusing or not self._reserve.held,
            refused_batches=counters.refused_batches,
            syncs=sum(counters.wal_sync.counts),
            sync_failures=counters.wal_sync_failures,
            flush_failing=self._state.flush_failing,
            blocks_set_aside=len(self._set_aside),
            disk_used=_disk_used(self._wal_dir),
        )

    def figures(self) -> Figures:
        """What storage counts."""
        tenants = {}
        chunks = memory = label_bytes = waiting = 0
        blocks = disk = 0
        for name, tenant in list(self._state.tenants.items()):
            view = tenant.view
            held = view.bounds.held()
            chunks += len(view.memory)
            label_bytes += tenant.table.label_bytes(held)
            waiting += bool(view.frozen)
            memory += tenant.nbytes
            blocks += len(view.blocks)
            disk += sum(block.size for block in view.blocks)
            tenants[name] = TenantFigures(
                memory_streams=int(np.count_nonzero(held)),
                streams_created=len(tenant.table),
                streams_removed=tenant.streams_removed,
                memory_rows=sum(len(run) for run in view.memory),
                memory_bytes=tenant.nbytes,
                duplicate_bytes=tenant.duplicate_bytes,
                block_rows=sum(block.rows for block in view.blocks),
                stored_blocks=tenant.stored_blocks,
                stored_bytes=tenant.stored_bytes,
            )
        archive_files, archive_bytes = self.outbox.disk()
        segments = []
        for path in self._wal_dir.glob("*.wal"):
            with suppress(FileNotFoundError):  # a flush may remove it in this moment
                segments.append(path.stat().st_size)
        return Figures(
            counters=deepcopy(self._counters),
            replay=replace(self._replay),
            tenants=tenants,
            memory_chunks=chunks,
            memory_bytes=memory,
            memory_label_bytes=label_bytes,
            label_values=label_values({name: tenant.table for name, tenant in list(self._state.tenants.items())}),
            wal_segments=len(segments),
            wal_disk_bytes=sum(segments),
            disk_used=_disk_used(self._wal_dir),
            blocks=blocks,
            block_disk_bytes=disk,
            reserve_held=self._reserve.held,
            queued_batches=self._writer.queued,
            flush_queue=waiting,
            flush_failing=self._state.flush_failing,
            blocks_set_aside=len(self._set_aside),
            deletes=self._deletes.figures(),
            clock_ahead=self._expiry.clock_ahead,
            archive_files=archive_files,
            archive_disk_bytes=archive_bytes,
            lost_records=self.outbox.lost,
        )


def _disk_used(folder: Path) -> float:
    """Which part of the folder's file system is in use, 0 to 1, as df counts: of what is not set aside for root."""
    state = os.statvfs(folder)
    used = state.f_blocks - state.f_bfree
    return used / max(1, used + state.f_bavail)


def open_store(
    data_dir: Path,
    options: StoreOptions | None = None,
    deliver: Callable[[Callable[[], None]], None] = _call,
    progress: Callable[[ReplayProgress], None] | None = None,
) -> Store:
    """Opens a data directory, making it if it is new; replays its log.

    Args:
        data_dir: the folder; locked until close.
        options: how it works.
        deliver: runs the `done` calls of one commit group, given as one function (an event loop is woken once).
        progress: told about the replay.

    Raises:
        DirectoryLocked: another process has it.
        CorruptCatalog: control.db, or a delete in it, cannot be read.
        CorruptSegment: a WAL segment is of another version.
        OSError: the folder cannot be read or written.
    """
    return Store(data_dir, options or StoreOptions(), deliver, progress)
