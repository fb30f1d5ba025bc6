"""Store: the facade. Opens a data directory, takes batches in, gives entries and labels out.

Layout of a data directory: lock, origin, reserve, wal/, blocks/<tenant>/<day>/, index.db, control.db, quarantine/.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from storage.batch import I32, Batch, Labels, Mask
from storage.batchids import BatchId, BatchIds
from storage.blockread import Block
from storage.blockwrite import BlockOptions
from storage.catalog import Catalog
from storage.control import Control
from storage.errors import StorageError
from storage.figures import Counters, Figures, ReplayFigures, TenantFigures
from storage.flush import Flusher, FlushOptions, block_of
from storage.leases import Leases
from storage.lock import DirectoryLock, read_origin
from storage.reading import Survey
from storage.replay import ReplayProgress, replay
from storage.reserve import Reserve
from storage.scan import BlockUnit, MemoryUnit, Window, units_of
from storage.state import State, Tenant, View
from storage.stats import IndexStats, index_stats
from storage.streams import LabelMatcher
from storage.wal import SyncMode, Wal
from storage.writer import Done, Item, Receipt, Writer

__all__ = ["Receipt", "Store", "StoreOptions", "open_store"]

log = logging.getLogger("weir.storage")

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
    """

    sync: SyncMode = SyncMode.COMMIT
    sync_interval: float = 1.0
    segment_size: int = 64 << 20
    reserve: int = 64 << 20
    flush: FlushOptions = field(default_factory=FlushOptions)
    blocks: BlockOptions = field(default_factory=BlockOptions)


def _call(run: Callable[[], None]) -> None:
    run()


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
        self._state = State()
        self._leases = Leases()
        try:
            for folder in ("wal", "blocks"):
                (data_dir / folder).mkdir(exist_ok=True)
            origin = read_origin(data_dir)
            self._reserve = Reserve(data_dir / "reserve", options.reserve)
            self._reserve.lend()
            self._control = Control(data_dir)
            undo.callback(self._control.close)
            self._catalog = Catalog(data_dir)
            undo.callback(self._catalog.close)
            next_generation = self._load_catalog(data_dir)
            ids = BatchIds(self._control)
            self._wal_dir = data_dir / "wal"
            found = replay(self._wal_dir, origin, self._state, ids, self._replay, progress)
            self._reserve.ensure()
            self._wal = Wal(
                self._wal_dir,
                origin,
                next_segment=found.next_segment,
                next_seq=found.next_seq,
                counters=self._counters,
                sync=options.sync,
                interval=options.sync_interval,
                segment_size=options.segment_size,
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
        self._flusher.poke()

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
        self._flusher.poke()

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
        view = found.view
        window = Window(found.table, self._accepted(found, matchers), start, end, lease=lease)
        units = units_of(view, window, survey)
        if direction == "forward":
            units.sort(key=lambda unit: unit.min_ts)
        else:
            units.sort(key=lambda unit: -unit.max_ts)
        yield from units

    def label_names(self, tenant: str, matchers: Sequence[LabelMatcher], start: int, end: int) -> list[str]:
        """Names of labels of matching streams that wrote within start <= ts < end (ns), sorted."""
        found = self._state.tenants.get(tenant)
        return [] if found is None else found.table.label_names(self._streams(found, matchers, start, end))

    def label_values(self, tenant: str, name: str, matchers: Sequence[LabelMatcher], start: int, end: int) -> list[str]:
        """Values of the label `name` on matching streams that wrote within start <= ts < end (ns), sorted."""
        found = self._state.tenants.get(tenant)
        return [] if found is None else found.table.label_values(name, self._streams(found, matchers, start, end))

    def series(self, tenant: str, groups: Sequence[Sequence[LabelMatcher]], start: int, end: int) -> list[Labels]:
        """Label sets of the streams that one of the groups matches (without groups: all) and that wrote in time."""
        found = self._state.tenants.get(tenant)
        if found is None:
            return []
        streams = np.unique(np.concatenate([self._streams(found, group, start, end) for group in groups or [()]]))
        return [found.table[number] for number in streams.tolist()]

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
        stats = index_stats(view, found.table, self._accepted(found, matchers), start, end)
        del lease  # held until the last file was read
        return stats

    @staticmethod
    def _accepted(tenant: Tenant, matchers: Sequence[LabelMatcher]) -> Mask:
        """bool[streams], those that all matchers accept."""
        streams = tenant.table.select(matchers)
        accepted: Mask = np.zeros(len(tenant.table), np.bool_)
        accepted[streams] = True
        return accepted

    @staticmethod
    def _streams(tenant: Tenant, matchers: Sequence[LabelMatcher], start: int, end: int) -> I32:
        active = tenant.table.active(start, end)
        return active[np.isin(active, tenant.table.select(matchers), assume_unique=True)] if matchers else active

    # -- life

    def flush(self) -> None:
        """Moves everything in memory to blocks; returns when they are durable.

        Raises StorageError, OSError.
        """
        self._flusher.flush(everything=True)

    def close(self) -> None:
        """Commits what is queued, syncs and closes. What is in memory stays in the log. Raises OSError."""
        self._writer.stop()
        self._flusher.stop()
        try:
            self._wal.close()
        finally:
            self._catalog.close()
            self._control.close()
            self._lock.release()

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
            wal_segments=len(segments),
            wal_disk_bytes=sum(segments),
            disk_used=_disk_used(self._wal_dir),
            blocks=blocks,
            block_disk_bytes=disk,
            reserve_held=self._reserve.held,
            queued_batches=self._writer.queued,
            flush_queue=waiting,
            flush_failing=self._state.flush_failing,
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
        CorruptCatalog: control.db cannot be read.
        CorruptSegment: a WAL segment is of another version.
        OSError: the folder cannot be read or written.
    """
    return Store(data_dir, options or StoreOptions(), deliver, progress)
