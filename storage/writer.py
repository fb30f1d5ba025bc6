"""Group commit: one thread takes all that is queued, writes one record, syncs once, and answers everybody.

There is no timer: while a sync runs the next group gathers, and an idle server syncs at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from storage.batch import Batch
from storage.batchids import BatchId, BatchIds
from storage.duplicates import new_rows
from storage.errors import BatchIdConflict, StorageError, StorageUnavailable
from storage.figures import Counters
from storage.memtable import make_run
from storage.record import Request, Section
from storage.reserve import Reserve
from storage.rows import concat_batches, renumber, take_rows
from storage.state import State, Tenant
from storage.wal import Wal

log = logging.getLogger("weir.storage")

PATIENCE = 10.0
"""Seconds for which a group waits for a flush to make room before its senders are told to come back later."""

GROUP_BYTES = 32 << 20
"""Line bytes of a group at most, but for a single batch: a record is held in memory once more while it is written."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch that is on disk.

    Attributes:
        deduplicated: a batch of this id was stored before; nothing was stored now.
        duplicates: entries not stored because the same were in memory already.
    """

    deduplicated: bool = False
    duplicates: int = 0


Done = Callable[[Receipt | StorageError], None]


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A batch in the queue."""

    tenant: str
    batch: Batch
    batch_id: BatchId | None
    done: Done


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """One tenant's share of a group.

    Attributes:
        section: what goes to the log.
        dropped: per item, how many of its entries are in memory already.
        dropped_bytes: line bytes of those.
    """

    section: Section
    dropped: list[int]
    dropped_bytes: int


def _answer(group: list[Item], outcomes: list[Receipt | StorageError]) -> None:
    for item, outcome in zip(group, outcomes, strict=True):
        try:
            item.done(outcome)
        except Exception:  # a receiver that fails must not keep the others from their answers
            log.exception("the receiver of a batch's outcome failed")


class Writer:
    """The thread that commits. `commit_lock` is held during a commit; a flush takes it to freeze the memtable."""

    def __init__(
        self,
        state: State,
        wal: Wal,
        ids: BatchIds,
        reserve: Reserve,
        counters: Counters,
        *,
        memory_limit: int,
        deliver: Callable[[Callable[[], None]], None],
        committed: Callable[[], None],
    ) -> None:
        self._state = state
        self._wal = wal
        self._ids = ids
        self._reserve = reserve
        self._counters = counters
        self._memory_limit = memory_limit
        self._deliver = deliver
        self._committed = committed
        self.commit_lock = threading.Lock()
        self._ready = threading.Condition()
        self._queue: list[Item] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="weir-wal", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Batches that wait for the next group."""
        return len(self._queue)

    def put(self, item: Item) -> None:
        """Queues a batch."""
        with self._ready:
            if self._stopping:
                raise StorageUnavailable("the server is stopping")
            self._queue.append(item)
            self._ready.notify()

    def stop(self) -> None:
        """Commits what is queued and ends the thread."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._queue and not self._stopping:
                    self._ready.wait()
                if not self._queue:
                    return
                group = self._take_group()
            outcomes = self._commit(group)

            try:
                self._deliver(partial(_answer, group, outcomes))
            except Exception:  # an event loop that is closed: nobody waits for the answers, the rows are stored
                log.exception("the answers to a group of %d batches could not be delivered", len(group))
            self._committed()

    def _take_group(self) -> list[Item]:
        size = 0
        for count, item in enumerate(self._queue):
            size += item.batch.lines.nbytes
            if count and size > GROUP_BYTES:
                group, self._queue = self._queue[:count], self._queue[count:]
                return group
        group, self._queue = self._queue, []
        return group

    def _commit(self, group: list[Item]) -> list[Receipt | StorageError]:
        try:
            self._wait_for_room()
            with self.commit_lock:
                self._admit()
                return self._store(group)
        except StorageUnavailable as refusal:
            self._counters.refused_batches += len(group)
            return [refusal] * len(group)
        except Exception as error:  # the thread must outlive any batch: its sender is told, the others go on
            log.exception("a group of %d batches could not be stored", len(group))
            return [StorageError(f"the batch could not be stored: {type(error).__name__}")] * len(group)

    def _full(self) -> bool:
        return self._state.memory_bytes > 2 * self._memory_limit

    def _wait_for_room(self) -> None:
        """Holds the group, and so its senders, while a flush makes room. Raises StorageUnavailable if it does not."""
        if not self._full():
            return
        with self._state.lock:
            self._state.lock.wait_for(lambda: not self._full() or self._state.flush_failing, PATIENCE)
        if self._full():
            raise StorageUnavailable("the memtable is full because its flush is behind; see the log for the reason")

    def _admit(self) -> None:
        if not self._reserve.ensure():
            raise StorageUnavailable("the disk of the data directory is nearly full; free some space")

    def _store(self, group: list[Item]) -> list[Receipt | StorageError]:
        outcomes: list[Receipt | StorageError] = [Receipt()] * len(group)
        fresh: dict[tuple[str, bytes], bytes] = {}
        by_tenant: dict[str, list[int]] = {}
        deduplicated = 0
        for at, item in enumerate(group):
            known = self._known_digest(item, fresh)
            if known is None:
                by_tenant.setdefault(item.tenant, []).append(at)
            elif item.batch_id is not None and known == item.batch_id.digest:
                deduplicated += 1
                outcomes[at] = Receipt(deduplicated=True)
            else:
                outcomes[at] = BatchIdConflict("a batch with this X-Weir-Batch-Id but other contents was stored before")
        taken: list[_Taken] = []
        for name, places in by_tenant.items():
            found = self._take(self._state.tenant(name), [group[at] for at in places])
            taken.append(found)
            for at, count in zip(places, found.dropped, strict=True):
                if count:
                    outcomes[at] = Receipt(duplicates=count)
        if taken:
            seq = self._wal.append([found.section for found in taken])
            for found in taken:
                self._publish(self._state.tenant(found.section.tenant), found, seq)
        self._counters.deduplicated_batches += deduplicated
        return outcomes

    def _known_digest(self, item: Item, fresh: dict[tuple[str, bytes], bytes]) -> bytes | None:
        """The digest stored under the item's id, by an earlier group or earlier in this one."""
        if item.batch_id is None:
            return None
        key = (item.tenant, item.batch_id.id)
        known = fresh.get(key) or self._ids.digest_of(*key)
        if known is None:
            fresh[key] = item.batch_id.digest
        return known

    @staticmethod
    def _take(tenant: Tenant, items: list[Item]) -> _Taken:
        """The items' entries on the tenant's table without duplicates."""
        parts = []
        for item in items:
            numbers = np.fromiter(map(tenant.table.intern, item.batch.streams), np.int32, len(item.batch.streams))
            parts.append(renumber(item.batch, tenant.table, numbers))
        batch = concat_batches(parts)
        sizes = np.array([len(part) for part in parts], np.int64)
        kept = sizes
        dropped_bytes = 0
        view = tenant.view
        newest = view.bounds.grown(len(tenant.table)).newest
        keep = new_rows(batch, newest, view.memory) if len(batch) else None
        if keep is not None:
            kept = np.diff(np.searchsorted(keep, np.cumsum(sizes), side="left"), prepend=0)
            kept_batch = take_rows(batch, keep)
            dropped_bytes = batch.lines.nbytes - kept_batch.lines.nbytes
            batch = kept_batch
        requests = tuple(
            Request(rows, item.batch_id.id if item.batch_id else None, item.batch_id.digest if item.batch_id else None)
            for rows, item in zip(kept.tolist(), items, strict=True)
        )
        return _Taken(Section(tenant.name, (), requests, batch), (sizes - kept).tolist(), dropped_bytes)

    def _publish(self, tenant: Tenant, taken: _Taken, seq: int) -> None:
        section = taken.section
        tenant.duplicate_bytes += taken.dropped_bytes
        self._counters.duplicate_entries += sum(taken.dropped)
        for request in section.requests:
            if request.batch_id is not None and request.digest is not None:
                self._ids.add(tenant.name, request.batch_id, request.digest, self._wal.segment)
        if not len(section.batch):
            return
        run = make_run(section.batch, seq, seq)
        self._counters.chunks_created += 1
        with self._state.lock:
            tenant.set_view(tenant.view.with_run(run, len(tenant.table)))
        tenant.table.touch(section.batch.stream, section.batch.ts)
