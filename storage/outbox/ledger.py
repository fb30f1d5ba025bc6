"""The ledger: what became of each batch that a relay made of the log, in control.db.

Each call is one transaction, durable on return. The open batches are in memory besides, as the first place of any of
them is what is still owed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from sqlite3 import Connection
from typing import Any
from uuid import UUID

from storage.control import Control
from storage.outbox.places import Place

KEEP_BATCHES = 7 * 86_400_000_000_000
"""ns for which a batch that is done is remembered; that it counts is for ever."""
OPEN = ("pending", "sending", "failed", "refused")
"""Statuses of batches that are still owed."""
_SELECT = """
SELECT relay, uuid, tenant, first_seq, first_row, end_seq, end_row, records, bytes, status, started, completed, retries,
    error FROM relay_batches
"""


@dataclass(frozen=True, slots=True)
class RelayBatch:
    """Rows of the log under one id.

    Attributes:
        relay: whose batch.
        uuid: under which it is sent, again and again until it is done.
        tenant: whose rows.
        first, end: places between which they stand.
        records, bytes: rows that are sent, and bytes of their lines.
        status: `pending`, `sending`, `failed`, `refused`: still owed; `archived`, `removed`: done.
        started: ns, when it was made.
        completed: ns, when it was done; 0: not yet.
        retries: times it was sent after the first.
        error: what the last try said; empty if there was none.
    """

    relay: str
    uuid: UUID
    tenant: str
    first: Place
    end: Place
    records: int
    bytes: int
    status: str = "pending"
    started: int = 0
    completed: int = 0
    retries: int = 0
    error: str = ""

    @property
    def is_open(self) -> bool:
        """Whether its rows are still owed."""
        return self.status in OPEN


@dataclass(frozen=True, slots=True)
class Tally:
    """Some batches, their records and bytes of lines."""

    batches: int = 0
    records: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Sum:
    """Batches of a relay that have the same status.

    Attributes:
        relay, status: whose, and which.
        batches, records, bytes, retries: of all of them.
    """

    relay: str
    status: str
    batches: int
    records: int
    bytes: int
    retries: int


@dataclass(frozen=True, slots=True)
class Totals:
    """All batches that a relay ever made, by their status now; statuses that none has may be missing."""

    by_status: dict[str, Tally] = field(default_factory=dict)

    def of(self, *statuses: str) -> Tally:
        """The batches of some statuses."""
        found = [self.by_status.get(status, Tally()) for status in statuses]
        return Tally(
            sum(one.batches for one in found), sum(one.records for one in found), sum(one.bytes for one in found)
        )


def _row(batch: RelayBatch) -> tuple[Any, ...]:
    return (
        batch.relay,
        batch.uuid.bytes,
        batch.tenant,
        batch.first.seq,
        batch.first.row,
        batch.end.seq,
        batch.end.row,
        batch.records,
        batch.bytes,
        batch.status,
        batch.started,
        batch.completed,
        batch.retries,
        batch.error,
    )


def _batch(row: Sequence[Any]) -> RelayBatch:
    relay, uuid, tenant, first_seq, first_row, end_seq, end_row, *rest = row
    return RelayBatch(relay, UUID(bytes=uuid), tenant, Place(first_seq, first_row), Place(end_seq, end_row), *rest)


class Ledger:
    """The batches of all relays. Blocking; safe for use by any number of threads."""

    def __init__(self, control: Control, moved: Callable[[str, Place | None], None], clock: Callable[[], int]) -> None:
        """Raises StorageError.

        Args:
            control: control.db.
            moved: told, after each change, of a relay and where its cursor is now; None: where it was.
            clock: ns.
        """
        self._control = control
        self._moved = moved
        self._clock = clock
        self._lock = threading.Lock()
        """Over `_open` and the order of transactions; taken before that of control.db, never within it."""
        self._open: dict[tuple[str, UUID], RelayBatch] = {}
        for row in control.rows(f"{_SELECT} WHERE status NOT IN ('archived', 'removed')"):
            batch = _batch(row)
            self._open[batch.relay, batch.uuid] = batch

    def begin(self, batches: Sequence[RelayBatch]) -> None:
        """Notes new batches. Raises StorageUnavailable if control.db cannot be written."""
        with self._lock:
            with self._control.transaction() as db:
                _put(db, batches)
            self._remember(batches)
        for relay in {batch.relay for batch in batches}:
            self._moved(relay, None)

    def update(self, batch: RelayBatch) -> None:
        """Notes what became of a batch. Raises StorageUnavailable if control.db cannot be written."""
        self.begin((batch,))

    def settle(self, relay: str, batches: Sequence[RelayBatch], cursor: Place) -> None:
        """Notes what became of batches of a relay, and how far it is, together.

        Raises StorageUnavailable if control.db cannot be written.
        """
        with self._lock:
            with self._control.transaction() as db:
                _put(db, batches)
                db.execute("UPDATE relays SET seq = ?, row = ? WHERE name = ?", (cursor.seq, cursor.row, relay))
                db.execute(
                    "DELETE FROM relay_batches WHERE started < ?1 AND completed BETWEEN 1 AND ?1",
                    (self._clock() - KEEP_BATCHES,),
                )
            self._remember(batches)
        self._moved(relay, cursor)

    def unsubscribe(self, relay: str) -> None:
        """A relay has no cursor any more, and its open batches are `removed`, together.

        Raises StorageUnavailable if control.db cannot be written.
        """
        now = self._clock()
        with self._lock:
            gone = [batch for batch in self._open.values() if batch.relay == relay]
            with self._control.transaction() as db:
                _put(db, [replace(batch, status="removed", completed=now) for batch in gone])
                db.execute("DELETE FROM relays WHERE name = ?", (relay,))
            for batch in gone:
                del self._open[batch.relay, batch.uuid]

    def open_batches(self, relay: str) -> list[RelayBatch]:
        """The batches of a relay that are still owed, by where they begin."""
        with self._lock:
            found = [batch for batch in self._open.values() if batch.relay == relay]
        return sorted(found, key=lambda batch: (batch.first, batch.started))

    def first_open(self, relay: str) -> Place | None:
        """The first place of any open batch of a relay; None: it has none."""
        with self._lock:
            return min((batch.first for batch in self._open.values() if batch.relay == relay), default=None)

    def batches(self, relay: str | None, status: str | None, since: int, limit: int) -> list[RelayBatch]:
        """The newest batches, the newest first.

        Args:
            relay: of which; None: of all.
            status: only these.
            since: ns; only what was made then or later.
            limit: at most so many.

        Raises:
            StorageError: control.db cannot be read.
        """
        rows = self._control.rows(
            f"{_SELECT} WHERE started >= ?1 AND (?2 IS NULL OR relay = ?2) AND (?3 IS NULL OR status = ?3) "
            "ORDER BY started DESC, first_seq DESC, first_row DESC LIMIT ?4",
            (since, relay, status, limit),
        )
        return [_batch(row) for row in rows]

    def find(self, uuid: UUID) -> list[RelayBatch]:
        """The batch of an id; none if it is not remembered. Raises StorageError."""
        return [_batch(row) for row in self._control.rows(f"{_SELECT} WHERE uuid = ?", (uuid.bytes,))]

    def sums(self, relay: str | None, status: str | None, since: int) -> list[Sum]:
        """What `batches` has without a limit, by relay and status, in that order. Raises StorageError."""
        rows = self._control.rows(
            "SELECT relay, status, COUNT(*), SUM(records), SUM(bytes), SUM(retries) FROM relay_batches "
            "WHERE started >= ?1 AND (?2 IS NULL OR relay = ?2) AND (?3 IS NULL OR status = ?3) "
            "GROUP BY relay, status ORDER BY relay, status",
            (since, relay, status),
        )
        return [Sum(*row) for row in rows]

    def totals(self, relay: str) -> Totals:
        """All batches that a relay ever made. Raises StorageError."""
        rows = self._control.rows("SELECT status, batches, records, bytes FROM relay_totals WHERE relay = ?", (relay,))
        return Totals({status: Tally(*counts) for status, *counts in rows})

    def _remember(self, batches: Sequence[RelayBatch]) -> None:
        for batch in batches:
            if batch.is_open:
                self._open[batch.relay, batch.uuid] = batch
            else:
                self._open.pop((batch.relay, batch.uuid), None)


def _put(db: Connection, batches: Sequence[RelayBatch]) -> None:
    for batch in batches:
        key = (batch.relay, batch.uuid.bytes)
        found = db.execute(
            "SELECT status, records, bytes FROM relay_batches WHERE relay = ? AND uuid = ?", key
        ).fetchone()
        if found is not None:
            _count(db, batch.relay, found[0], -1, -found[1], -found[2])
        _count(db, batch.relay, batch.status, 1, batch.records, batch.bytes)
        db.execute(
            "INSERT OR REPLACE INTO relay_batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _row(batch)
        )


def _count(db: Connection, relay: str, status: str, batches: int, records: int, size: int) -> None:
    db.execute(
        "INSERT INTO relay_totals VALUES (?, ?, ?, ?, ?) ON CONFLICT (relay, status) DO UPDATE SET "
        "batches = batches + excluded.batches, records = records + excluded.records, bytes = bytes + excluded.bytes",
        (relay, status, batches, records, size),
    )
