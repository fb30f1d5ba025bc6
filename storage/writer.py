"""Group commit: one thread takes all that is queued, writes one record, syncs once, and answers everybody.

There is no timer: while a sync runs the next group gathers, and an idle server syncs at once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue

import numpy as np

from storage.arrival import Arrival, arrival_of
from storage.batch import Batch, Texts, empty_batch
from storage.batchids import BatchId, BatchIds
from storage.duplicates import new_rows
from storage.errors import BatchIdConflict, StorageError, StorageUnavailable
from storage.feed import Commit
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
        arrivals: the times of each run.
        dropped: per item, how many of its entries are in memory already.
        dropped_bytes: line bytes of those.
    """

    section: Section
    runs: tuple[Run, ...]
    arrivals: tuple[Arrival, ...]
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
        # One that is written in C: a condition of Python's takes and drops the interpreter several times a group.
        self._arriving: SimpleQueue[Item | None] = SimpleQueue()
        self._waiting: deque[Item] = deque()
        self._closing = threading.Lock()
        self._stopping = False
        self._ended = False  # the thread has seen that it is to stop: nothing comes any more
        self._thread = threading.Thread(target=self._run, name="weir-wal", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Batches that wait for the next group."""
        return self._arriving.qsize() + len(self._waiting)

    def put(self, item: Item) -> None:
        """Queues a batch. Raises StorageUnavailable once the writer is told to stop."""
        with self._closing:
            if self._stopping:
                raise StorageUnavailable("the server is stopping")
            self._arriving.put(item)

    def stop(self) -> None:
        """Commits what is queued and ends the thread."""
        with self._closing:
            self._stopping = True
            self._arriving.put(None)
        self._thread.join()

    def _run(self) -> None:
        while group := self._take_group():
            outcomes = self._commit(group)

            try:
                self._deliver(partial(_answer, group, outcomes))
            except Exception:  # an event loop that is closed: nobody waits for the answers, the rows are stored
                log.exception("the answers to a group of %d batches could not be delivered", len(group))
            del group, outcomes  # not kept while the next group is awaited: their batches may be flushed by then
            self._committed()

    def _take_group(self) -> list[Item]:
        """What is queued, up to GROUP_BYTES; waits for the first. Nothing once the writer stops."""
        waiting = self._waiting
        block = not waiting and not self._ended
        with suppress(Empty):
            while True:
                item = self._arriving.get(block=block)
                block = False
                if item is None:
                    self._ended = True
                else:
                    waiting.append(item)
        group: list[Item] = []
        size = 0
        while waiting:
            size += waiting[0].batch.lines.nbytes
            if group and size > GROUP_BYTES:
                break
            group.append(waiting.popleft())
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
            raise StorageUnavailable(self._reserve.why_not)

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
        logged: list[Batch] = []
        runs: list[Run] = []
        arrivals: list[Arrival] = []
        dropped_bytes = 0
        joined = [
            (some, join_on(tenant.table, tenant.table.intern, [item.batch for item in some]))
            for some in _joinable(items)
        ]
        held, newest = view.memory, view.bounds.grown(len(tenant.table)).newest
        for some, pushed in joined:
            sizes = [len(item.batch.ts) for item in some]
            batch = pushed
            arrival = arrival_of(batch, newest)
            keep = None if arrival.is_new else new_rows(batch, newest, held)
            if keep is not None:
                batch = take_rows(batch, keep)
                dropped_bytes += pushed.lines.nbytes - batch.lines.nbytes
                sizes = np.diff(np.searchsorted(keep, np.cumsum(sizes), side="left"), prepend=0).tolist()
                arrival = arrival_of(batch, newest)
            kept += sizes
            if len(batch.ts):
                logged.append(batch)
                if batch.lines.packed is not None:  # for the log alone: memory would hold the lines twice
                    batch = replace(batch, lines=Texts(batch.lines.data, batch.lines.offsets))
                runs.append(make_run(batch, 0, 0, (arrival.first, arrival.last)))
                arrivals.append(arrival)
                if pushed is not joined[-1][1]:  # for those after it, it counts as memory
                    held = (*held, runs[-1])
                    if not arrival.is_new:
                        newest = raised(newest, batch)
        requests = tuple(_request(rows, item) for rows, item in zip(kept, items, strict=True))
        first, *more = logged or [empty_batch(tenant.table)]
        dropped = [len(item.batch.ts) - rows for rows, item in zip(kept, items, strict=True)]
        section = Section(tenant.name, (), requests, first, (), tuple(more))
        return _Taken(section, tuple(runs), tuple(arrivals), dropped, dropped_bytes)

    def _publish(self, tenant: Tenant, taken: _Taken, seq: int) -> None:
        section = taken.section
        tenant.duplicate_bytes += taken.dropped_bytes
        self._counters.duplicate_entries += sum(taken.dropped)
        for request in section.requests:
            if request.batch_id is not None:
                self._ids.add(tenant.name, request, self._wal.segment, self._wal.written_at)
        if not taken.runs:
            return
        runs = [run.of_record(seq) for run in taken.runs]
        self._counters.chunks_created += len(runs)
        with self._state.lock:
            view = tenant.view
            for run in runs:
                view = view.with_run(run, len(tenant.table))
            tenant.set_view(view)
            watcher = self._state.watcher
            if watcher is not None:
                self._state.commits += 1
        if watcher is not None:
            watcher(Commit(tenant.name, self._state.commits, tuple(run.batch for run in runs)))
        for run, arrival in zip(runs, taken.arrivals, strict=True):
            tenant.table.touch_stretches(arrival, run.batch)
            if self._state.patterns is not None:
                self._state.patterns.stored(tenant.name, tenant.table, run.batch)


def _request(rows: int, item: Item) -> Request:
    """What the log says of an item of which so many entries are stored."""
    named = item.batch_id
    if named is None:
        return Request(rows)
    return Request(rows, named.id, named.digest, named.sender, 0 if named.sender is None else len(item.batch.ts))


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
