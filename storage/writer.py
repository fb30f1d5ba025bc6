"""Group commit: one thread takes all that is queued, writes one record, syncs once, and answers everybody.

There is no timer: while a sync runs the next group gathers, and an idle server syncs at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from storage.batch import Batch, empty_batch
from storage.batchids import BatchId, BatchIds
from storage.duplicates import new_rows
from storage.errors import BatchIdConflict, StorageError, StorageUnavailable
from storage.figures import Counters
from storage.memtable import RUN_BYTES, RUN_ROWS, Run, make_run
from storage.record import Request, Section
from storage.reserve import Reserve
from storage.rows import join_on, take_rows
from storage.state import State, Tenant, raised
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
        runs: the same entries for memory; their record has no number yet.
        dropped: per item, how many of its entries are in memory already.
        dropped_bytes: line bytes of those.
    """

    section: Section
    runs: tuple[Run, ...]
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
            del group, outcomes  # not kept while the next group is awaited: their batches may be flushed by then
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
                outcomes = self._store(group)
        except StorageUnavailable as refusal:
            self._counters.refused_batches += len(group)
            self._counters.refusing = True
            return [refusal] * len(group)
        except Exception as error:  # the thread must outlive any batch: its sender is told, the others go on
            log.exception("a group of %d batches could not be stored", len(group))
            return [StorageError(f"the batch could not be stored: {type(error).__name__}")] * len(group)
        self._counters.refusing = False
        return outcomes

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
        view = tenant.view
        kept: list[int] = []
        runs: list[Run] = []
        dropped_bytes = 0
        joined = [
            (some, join_on(tenant.table, tenant.table.intern, [item.batch for item in some]))
            for some in _joinable(items)
        ]
        held, newest = view.memory, view.bounds.grown(len(tenant.table)).newest
        for some, pushed in joined:
            sizes = [len(item.batch.ts) for item in some]
            batch = pushed
            keep = new_rows(batch, newest, held) if len(batch) else None
            if keep is not None:
                batch = take_rows(batch, keep)
                dropped_bytes += pushed.lines.nbytes - batch.lines.nbytes
                sizes = np.diff(np.searchsorted(keep, np.cumsum(sizes), side="left"), prepend=0).tolist()
            kept += sizes
            if len(batch):
                runs.append(make_run(batch, 0, 0))
                if pushed is not joined[-1][1]:  # for those after it, it counts as memory
                    newest, held = raised(newest, batch), (*held, runs[-1])
        requests = tuple(
            Request(rows, item.batch_id.id, item.batch_id.digest) if item.batch_id else Request(rows)
            for rows, item in zip(kept, items, strict=True)
        )
        first, *more = [run.batch for run in runs] or [empty_batch(tenant.table)]
        dropped = [len(item.batch.ts) - rows for rows, item in zip(kept, items, strict=True)]
        return _Taken(Section(tenant.name, (), requests, first, (), tuple(more)), tuple(runs), dropped, dropped_bytes)

    def _publish(self, tenant: Tenant, taken: _Taken, seq: int) -> None:
        section = taken.section
        tenant.duplicate_bytes += taken.dropped_bytes
        self._counters.duplicate_entries += sum(taken.dropped)
        for request in section.requests:
            if request.batch_id is not None and request.digest is not None:
                self._ids.add(tenant.name, request.batch_id, request.digest, self._wal.segment)
        if not taken.runs:
            return
        runs = [run.of_record(seq) for run in taken.runs]
        self._counters.chunks_created += len(runs)
        with self._state.lock:
            view = tenant.view
            for run in runs:
                view = view.with_run(run, len(tenant.table))
            tenant.set_view(view)
        for run in runs:
            tenant.table.touch(run.batch.stream, run.batch.ts)


def _joinable(items: list[Item]) -> Iterator[list[Item]]:
    """The items in order, small ones together: what is large enough for a run of its own is not copied."""
    small: list[Item] = []
    rows = size = 0
    for item in items:
        count, nbytes = len(item.batch.ts), item.batch.lines.nbytes
        if small and (rows + count > RUN_ROWS or size + nbytes > RUN_BYTES):
            yield small
            small, rows, size = [], 0, 0
        small.append(item)
        rows += count
        size += nbytes
    if small:
        yield small
