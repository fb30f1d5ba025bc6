"""What a relay has to send: its cursor on the log, its open batches, and what became of them, in memory as on disk.

Invariants: a batch is in the ledger before it is sent; what is sent under an id is always the same rows in the same
order; nothing here says that a batch is done before the ledger does. Blocking, and for one thread at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn, Protocol
from uuid import UUID, uuid4

from gateway.relay.errors import UnknownBatch
from gateway.relay.gathering import MOST_BYTES, MOST_ROWS, Gathering, Rows
from gateway.relay.selection import Selection
from storage.batch import Batch, empty_batch
from storage.outbox.ledger import Ledger, RelayBatch, Tally
from storage.outbox.places import Backlog, Place, Stretch
from storage.rows import concat_batches

_QUEUED = ("pending", "sending", "failed")
"""Open batches that are sent without anybody's word; a refused one waits for an operator's."""
_TRIMS = 100
"""Batches that are given up at a time for want of room: who sends and asks must get their turn."""
_CURSOR_EVERY = 1.0
"""Seconds between two notes that rows nobody selects were passed."""


class Log(Rows, Protocol):
    """The outbox, as far as one relay needs it."""

    @property
    def ledger(self) -> Ledger:
        """Of all relays."""

    def subscribe(self, name: str, *, holds_retention: bool = True) -> Place:
        """Where a relay is; its cursor is made at the end of the log if it is new."""

    def end(self) -> Place:
        """Behind the last record that may be read."""


class Book:
    """The batches of one relay."""

    def __init__(self, name: str, log: Log, selection: Selection, *, holds_retention: bool = True) -> None:
        self._name = name
        self._holds_retention = holds_retention
        self._log = log
        self._ledger = log.ledger
        self._selection = selection
        self._queue: list[RelayBatch] = []
        self._refused: dict[UUID, RelayBatch] = {}
        self._rows: dict[UUID, Batch] = {}
        self._passed = 0.0
        self.totals: dict[str, Tally] = {}
        self.cursor = Place(0)
        self._gathering = Gathering(self.cursor, self.cursor)

    def open(self) -> None:
        """Takes up where the last process left. Raises StorageError."""
        self.cursor = self._log.subscribe(self._name, holds_retention=self._holds_retention)
        for batch in self._ledger.open_batches(self._name):
            if batch.status in _QUEUED:
                self._queue.append(batch)
            else:
                self._refused[batch.uuid] = batch
        planned = max([self.cursor, *(batch.end for batch in self._queue)])
        self._gathering = Gathering(planned, planned)
        self.totals = dict(self._ledger.totals(self._name).by_status)

    @property
    def next(self) -> RelayBatch | None:
        """The batch to send now."""
        return self._queue[0] if self._queue else None

    @property
    def refused(self) -> Sequence[RelayBatch]:
        """Batches that the destination will not take."""
        return list(self._refused.values())

    @property
    def open_batches(self) -> Sequence[RelayBatch]:
        """All that are owed: those to be sent, in order, and the refused ones."""
        return [*self._queue, *self._refused.values()]

    def has(self, uuid: UUID) -> bool:
        """Whether a batch is still one to be sent."""
        return any(batch.uuid == uuid for batch in self._queue)

    def backlog(self) -> Backlog:
        """What is behind the cursor."""
        return self._log.backlog(self.cursor)

    def waiting(self) -> int:
        """How long the oldest row that is no batch yet has waited, ns."""
        return self._gathering.age()

    # -- making batches

    def gather(self, size: int, interval: int) -> bool:
        """Reads what has come; whether there is a batch to send now.

        Args:
            size: records from which a batch goes at once, and that it has at most.
            interval: ns after which it goes with fewer.

        Raises StorageError, OSError.
        """
        gathering = self._gathering
        gathering.go_on(self._log, self._selection, size)
        if not gathering.tenants:
            self._pass(gathering)
            return False
        if not gathering.is_full(size) and gathering.age() < interval:
            return False
        self._begin(gathering)
        return True

    def _begin(self, gathering: Gathering) -> None:
        """What was gathered becomes batches; the log is read on behind it."""
        now = time.time_ns()
        rows = gathering.batches()
        made = [
            RelayBatch(
                relay=self._name,
                uuid=uuid4(),
                tenant=tenant,
                first=gathering.first,
                end=gathering.end,
                records=len(batch),
                bytes=batch.lines.nbytes,
                status="pending",
                started=now,
            )
            for tenant, batch in rows.items()
        ]
        made[0] = replace(made[0], status="sending")
        self._ledger.begin(made)
        self._count({}, made)
        self._queue += made
        self._rows = {batch.uuid: rows[batch.tenant] for batch in made}
        self._gathering = Gathering(gathering.end, gathering.end)

    def _pass(self, gathering: Gathering) -> None:
        """Moves the cursor past rows that nobody selects; not for each of them, as each time is a sync."""
        if gathering.end == self.cursor or self._queue or time.monotonic() - self._passed < _CURSOR_EVERY:
            return
        self._passed = time.monotonic()
        self._ledger.settle(self._name, (), gathering.end)
        self.cursor = gathering.end
        self._gathering = Gathering(gathering.end, gathering.end)

    def rows(self, batch: RelayBatch) -> Batch:
        """The rows of a batch as they are sent, labels added. Raises StorageError, OSError."""
        found = self._rows.get(batch.uuid)
        if found is None:
            found = self._rows[batch.uuid] = self._read(batch.tenant, batch.first, batch.end)
        return self._selection.dressed(found)

    def _read(self, tenant: str, first: Place, end: Place) -> Batch:
        parts = []
        at = first
        while at < end:
            stretch = self._log.read(at, MOST_ROWS, upto=end, nbytes=MOST_BYTES)
            if stretch.end == at:
                break
            parts += [self._selection.rows(tenant, part.batch) for part in stretch.parts if part.tenant == tenant]
            at = stretch.end
        return concat_batches(parts) if parts else empty_batch(())

    # -- what became of them

    def sending(self, batch: RelayBatch) -> RelayBatch:
        """A batch is about to be sent; it stands as such in the ledger. Raises StorageError."""
        if batch.status == "sending":
            return batch
        return self._put(replace(batch, status="sending"))

    def archived(self, batch: RelayBatch) -> None:
        """The destination has it. Raises StorageError."""
        self._settle([replace(batch, status="archived", completed=time.time_ns(), error="")])

    def failed(self, batch: RelayBatch, reason: str) -> RelayBatch:
        """It will be sent again. Raises StorageError."""
        return self._put(replace(batch, status="failed", retries=batch.retries + 1, error=reason))

    def set_aside(self, batch: RelayBatch, reason: str) -> None:
        """The destination will not take it: it waits for an operator. Raises StorageError."""
        self._settle([replace(batch, status="refused", completed=0, error=reason)])

    def give_up(self, batch: RelayBatch, reason: str) -> RelayBatch:
        """Nobody waits for it any more. Raises StorageError."""
        removed = replace(batch, status="removed", completed=time.time_ns(), error=reason)
        self._settle([removed])
        return removed

    def renew(self, batch: RelayBatch, reason: str) -> RelayBatch:
        """The same rows under another id; the batch that takes the place of the old one. Raises StorageError."""
        renewed = replace(batch, uuid=uuid4(), status="sending", retries=batch.retries + 1, error=reason)
        if batch.uuid in self._rows:
            self._rows[renewed.uuid] = self._rows[batch.uuid]
        self._settle([_replaced(batch, f"sent as {renewed.uuid}: {reason}")], [renewed])
        return renewed

    def halve(self, batch: RelayBatch, reason: str) -> bool:
        """Two batches of it, under ids of their own; False: it has one row. Raises StorageError, OSError."""
        middle = self._middle(batch) if batch.records > 1 else None
        if middle is None:
            return False
        halves = []
        for first, end in ((batch.first, middle), (middle, batch.end)):
            rows = self._read(batch.tenant, first, end)
            made = replace(
                batch,
                uuid=uuid4(),
                first=first,
                end=end,
                records=len(rows),
                bytes=rows.lines.nbytes,
                status="pending",
                retries=0,
                error="",
            )
            self._rows[made.uuid] = rows
            halves.append(made)
        self._settle([_replaced(batch, f"halved: {reason}")], halves)
        return True

    def _middle(self, batch: RelayBatch) -> Place | None:
        """A place with rows of the batch before and behind it."""
        at = batch.first
        while True:
            stretch = self._log.read(at, MOST_ROWS, upto=batch.end, nbytes=MOST_BYTES)
            found = self._count_of(batch, stretch)
            if 0 < found < batch.records:
                return stretch.end
            if found or stretch.end == at:
                break
            at = stretch.end
        none, all_of_them = 0, stretch.rows
        while all_of_them - none > 1:
            tried = (none + all_of_them) // 2
            stretch = self._log.read(at, tried, upto=batch.end, nbytes=MOST_BYTES)
            found = self._count_of(batch, stretch)
            if 0 < found < batch.records:
                return stretch.end
            none, all_of_them = (none, tried) if found else (tried, all_of_them)
        return None

    def _count_of(self, batch: RelayBatch, stretch: Stretch) -> int:
        parts = (part.batch for part in stretch.parts if part.tenant == batch.tenant)
        return sum(len(self._selection.rows(batch.tenant, each)) for each in parts)

    # -- what operators ask for

    def retry(self, uuid: UUID) -> RelayBatch:
        """A refused batch is sent again, before all others; one that waits stays where it is.

        Raises UnknownBatch, StorageError.
        """
        batch = self._refused.get(uuid)
        if batch is None:
            return next((each for each in self._queue if each.uuid == uuid), None) or _raise(uuid)
        queued = replace(batch, status="pending", completed=0)
        self._ledger.update(queued)
        self._count({uuid: batch}, [queued])
        del self._refused[uuid]
        self._queue.insert(0, queued)
        return queued

    def remove(self, uuid: UUID, reason: str) -> RelayBatch:
        """An open batch is given up. Raises UnknownBatch, StorageError."""
        for batch in [*self._queue, *self._refused.values()]:
            if batch.uuid == uuid:
                return self.give_up(batch, reason)
        return _raise(uuid)

    def trim(self, most: int, reason: str) -> list[RelayBatch]:
        """Gives the oldest batches up until the lines that wait are no more than `most` bytes; those given up.

        Raises StorageError, OSError.
        """
        gone: list[RelayBatch] = []
        while len(gone) < _TRIMS and (over := self._over(most)):
            oldest = next(iter(self._refused.values()), None) or self.next or self._oldest_of_log(over)
            if oldest is None:
                break
            gone.append(self.give_up(oldest, reason))
        return gone

    def remove_all(self, reason: str) -> list[RelayBatch]:
        """Gives up all that is owed now, not what comes meanwhile; the batches. Raises StorageError, OSError."""
        end = self._log.end()
        gone: list[RelayBatch] = []
        while True:
            gone += [self.give_up(batch, reason) for batch in self.open_batches]
            if self._gathering.first >= end or self._oldest_of_log(MOST_ROWS, end) is None:
                return gone

    def _over(self, most: int) -> int:
        """Rows, about, that are too many where `most` bytes of lines may wait."""
        backlog = self.backlog()
        over = backlog.bytes + sum(batch.bytes for batch in self._refused.values()) - most
        return max(1, over * backlog.rows // max(1, backlog.bytes)) if over > 0 else 0

    def _oldest_of_log(self, rows: int, upto: Place | None = None) -> RelayBatch | None:
        """Makes batches of the next rows that somebody selects, of so many at most; the first of them."""
        first = self._gathering.first
        while True:
            gathering = Gathering(first, first)
            if not gathering.take(self._log, self._selection, min(rows, MOST_ROWS), upto):
                return None
            if gathering.tenants:
                self._begin(gathering)
                return self.next
            first = gathering.end

    # -- the ledger and its copy here

    def _put(self, batch: RelayBatch) -> RelayBatch:
        place = next((at for at, each in enumerate(self._queue) if each.uuid == batch.uuid), None)
        if place is None:  # given up meanwhile: it must not be open again
            raise UnknownBatch(str(batch.uuid))
        self._ledger.update(batch)
        self._count({batch.uuid: self._queue[place]}, [batch])
        self._queue[place] = batch
        return batch

    def _settle(self, changed: Sequence[RelayBatch], put: Sequence[RelayBatch] = ()) -> None:
        """Batches of the queue, or refused ones, that are none of it any more, and others in the place of the first.

        What is now first is on its way in the same transaction: one sync a batch and not two.

        Raises UnknownBatch: one of them was given up meanwhile.
        """
        gone = {batch.uuid for batch in changed}
        for lost in gone - {batch.uuid for batch in self.open_batches}:
            raise UnknownBatch(str(lost))
        place = next((at for at, batch in enumerate(self._queue) if batch.uuid in gone), 0)
        queue = [batch for batch in self._queue if batch.uuid not in gone]
        queue[place:place] = put
        told = list(changed) + list(put)
        if queue and queue[0].status == "pending":
            queue[0] = replace(queue[0], status="sending", started=queue[0].started or time.time_ns())
            told = [batch for batch in told if batch.uuid != queue[0].uuid] + [queue[0]]
        owed = [batch.first for batch in queue if batch.end > self.cursor]
        cursor = max(self.cursor, min([*owed, self._gathering.first]))
        self._ledger.settle(self._name, told, cursor)
        before = {batch.uuid: batch for batch in (*self._queue, *self._refused.values())}
        self._count(before, told)
        self._queue, self.cursor = queue, cursor
        for batch in changed:
            self._rows.pop(batch.uuid, None)
            self._refused.pop(batch.uuid, None)
            if batch.status == "refused":
                self._refused[batch.uuid] = batch

    def _count(self, before: dict[UUID, RelayBatch], now: Sequence[RelayBatch]) -> None:
        """Keeps the totals as the ledger does."""
        totals = dict(self.totals)
        for sign, batches in ((-1, [before[b.uuid] for b in now if b.uuid in before]), (1, now)):
            for batch in batches:
                had = totals.get(batch.status, Tally())
                totals[batch.status] = Tally(
                    had.batches + sign, had.records + sign * batch.records, had.bytes + sign * batch.bytes
                )
        self.totals = totals


def _replaced(batch: RelayBatch, why: str) -> RelayBatch:
    """A batch whose rows are those of another now: it counts as removed, and has none."""
    return replace(batch, status="removed", records=0, bytes=0, completed=time.time_ns(), error=why)


def _raise(uuid: UUID) -> NoReturn:
    raise UnknownBatch(str(uuid))
