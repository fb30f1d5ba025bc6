"""control.db: facts that no block can give back. Synced before anyone is told; if unreadable, no server starts."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from storage.catalog import open_database
from storage.errors import CorruptCatalog, StorageError
from storage.keys import SCHEMA as _KEYS
from storage.keys import KeyTable
from storage.outbox.tables import SCHEMA as _OUTBOX
from storage.unwritable import refusal

log = logging.getLogger("weir.storage")

LOST = "control.db.lost"
"""A file beside it: whoever makes it says that what control.db held is given up."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch_ids (
    tenant TEXT NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS batch_ids_at ON batch_ids (at);
CREATE TABLE IF NOT EXISTS deletes (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, query TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    who TEXT NOT NULL, created INTEGER NOT NULL, due INTEGER NOT NULL,
    origin TEXT NOT NULL, seq INTEGER NOT NULL, generation INTEGER NOT NULL,
    blocks INTEGER NOT NULL, bytes INTEGER NOT NULL,
    status TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deletes_of_tenant ON deletes (tenant, created);
"""
VERSION = 3
_OLDER = (1, 2)
"""Versions whose tables are among those of this one."""
KEEP_IDS = 7 * 86_400
"""Seconds for which a batch id is remembered (README: a sender may try again for a week)."""


class DeleteStatus(StrEnum):
    """Where a delete is: accepted, being carried out, carried out, called off."""

    RECEIVED = "received"
    STARTED = "started"
    PROCESSED = "processed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class DeleteRecord:
    """A delete, kept for good: who asked for what and when, and what became of it.

    Attributes:
        id: of the request.
        tenant: whose entries.
        query: which, as written.
        first, last: ns, both included.
        who: whoever asked, as the door tells it.
        created: ns.
        due: ns, from when it may be carried out; until then it can be called off.
        origin: hex, of the log's records.
        seq: number of the last record before it; 0 if there was none.
        generation: of the last block that may have entries of it.
        blocks, bytes: that it reached when it was accepted: files, and their sizes.
        status: where it is.
        started: ns when the first block was begun to be rewritten; 0: not yet.
        ended: ns when it was carried out or called off; 0: not yet.
    """

    id: str
    tenant: str
    query: str
    first: int
    last: int
    who: str
    created: int
    due: int
    origin: str
    seq: int
    generation: int
    blocks: int
    bytes: int
    status: DeleteStatus = DeleteStatus.RECEIVED
    started: int = 0
    ended: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is neither carried out nor called off."""
        return self.status in (DeleteStatus.RECEIVED, DeleteStatus.STARTED)


def check_there(data_dir: Path) -> None:
    """Raises CorruptCatalog, which tells how to go on, if control.db is missing or empty in a used directory."""
    path = data_dir / "control.db"
    if _may_be_new(data_dir):
        return
    if not path.exists():
        raise _refusal(f"{path} is missing")
    if not path.stat().st_size:
        raise _refusal(f"{path} is empty")


def _may_be_new(data_dir: Path) -> bool:
    # The first start of all makes `origin` once control.db is there, and a restore makes it last.
    return not (data_dir / "origin").exists() or _is_given_up(data_dir)


def _is_given_up(data_dir: Path) -> bool:
    return (data_dir / LOST).exists() and not (data_dir / "control.db").exists()


def _refusal(what: str) -> CorruptCatalog:
    return CorruptCatalog(
        f"{what}. It holds what must not be forgotten (batch ids, deletes, keys): restore it from a backup; only if "
        f"there is none, rename control.db to {LOST}, or make an empty file of that name where it is missing, and "
        "start again"
    )


def _open(data_dir: Path) -> sqlite3.Connection:
    """A connection to control.db, which is made if it may be new. Raises CorruptCatalog, which tells how to go on."""
    check_there(data_dir)
    given_up = _is_given_up(data_dir)
    kept = f"{LOST}-{int(time.time())}"
    if given_up:
        log.warning(
            "control.db is made anew: batch ids, deletes and keys of before are forgotten, as %s is there", LOST
        )
        for name in ("-wal", "-shm"):  # of the former: SQLite would take them for the new one's
            with suppress(FileNotFoundError):
                (data_dir / f"control.db{name}").rename(data_dir / f"{kept}{name}")
    try:
        db = open_database(
            data_dir / "control.db",
            _SCHEMA + _KEYS + _OUTBOX,
            VERSION,
            older=_OLDER,
            synchronous="FULL",
            may_be_new=_may_be_new(data_dir),
        )
    except CorruptCatalog as error:
        raise _refusal(str(error)) from error
    if given_up:
        (data_dir / LOST).rename(data_dir / kept)
    return db


def open_keys(data_dir: Path) -> KeyTable:
    """The keys of a data directory, which is made if there is none. A server may be running.

    Raises:
        CorruptCatalog: control.db is damaged.
        StorageError: it cannot be opened now.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"the data directory {data_dir} cannot be made: {error.strerror}") from error
    return KeyTable(_open(data_dir))


class Control:
    """control.db. Used by storage's own threads only, never by the event loop."""

    def __init__(self, data_dir: Path) -> None:
        """Opens or makes it. Raises CorruptCatalog, which tells how to go on."""
        self._lock = threading.Lock()
        self._db = _open(data_dir)

    def digest_of(self, tenant: str, batch_id: bytes) -> bytes | None:
        """The digest of the batch that came with this id, if one did."""
        with self._lock:
            found = self._db.execute(
                "SELECT digest FROM batch_ids WHERE tenant = ? AND id = ?", (tenant, batch_id)
            ).fetchone()
        return None if found is None else bytes(found[0])

    def remember(self, ids: Iterable[tuple[str, bytes, bytes]], brought: Iterable[tuple[Any, ...]] = ()) -> None:
        """Keeps (tenant, id, digest) and forgets ids of more than KEEP_IDS ago; durable on return.

        `brought`: rows of `instances`, what the batches of those ids add to them; in the same transaction.

        Raises StorageUnavailable if control.db cannot be written.
        """
        now = int(time.time())
        try:
            with self._lock, self._db:
                self._db.executemany(
                    "INSERT OR IGNORE INTO batch_ids VALUES (?, ?, ?, ?)", [(*item, now) for item in ids]
                )
                self._db.executemany(
                    "INSERT INTO instances VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, name) DO UPDATE SET "
                    "batches = batches + excluded.batches, records = records + excluded.records, path = excluded.path, "
                    "received = max(received, excluded.received)",
                    brought,
                )
                self._db.execute("DELETE FROM batch_ids WHERE at < ?", (now - KEEP_IDS,))
        except sqlite3.Error as error:
            raise refusal(error, "control.db") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What is done within it is durable at its end, or not done. Raises StorageUnavailable if it cannot be written.

        For storage.outbox, whose tables are its own.
        """
        try:
            with self._lock, self._db:
                yield self._db
        except sqlite3.Error as error:
            raise refusal(error, "control.db") from error

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises StorageError."""
        try:
            with self._lock:
                return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"control.db cannot be read: {error}") from error

    # -- deletes

    def add_delete(self, delete: DeleteRecord) -> None:
        """Keeps a delete; durable on return. Raises StorageUnavailable if control.db cannot be written."""
        self._write_delete(
            "INSERT INTO deletes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [getattr(delete, field.name) for field in fields(delete)],
        )

    def update_delete(self, delete: DeleteRecord) -> None:
        """Writes a known delete's status, started and ended; durable on return.

        Raises StorageUnavailable if control.db cannot be written.
        """
        self._write_delete(
            "UPDATE deletes SET status = ?, started = ?, ended = ? WHERE id = ?",
            [delete.status, delete.started, delete.ended, delete.id],
        )

    def _write_delete(self, statement: str, values: list[Any]) -> None:
        try:
            with self._lock, self._db:
                self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise refusal(error, "control.db") from error

    def deletes(self, tenant: str | None = None) -> list[DeleteRecord]:
        """All deletes, or those of a tenant, by when they were accepted. Raises StorageError."""
        try:
            with self._lock:
                rows = self._db.execute(
                    "SELECT * FROM deletes WHERE ?1 IS NULL OR tenant = ?1 ORDER BY created, id", (tenant,)
                ).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"control.db cannot be read: {error}") from error
        return [_delete_record(row) for row in rows]

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


def read_deletes(data_dir: Path) -> list[DeleteRecord]:
    """The deletes of a data directory, for who only looks: nothing is locked or made. A server may be running.

    Raises StorageError if control.db cannot be read.
    """
    rows = read_table(data_dir, "deletes", "SELECT * FROM deletes ORDER BY created, id")
    return [_delete_record(row) for row in rows]


def read_table(data_dir: Path, table: str, query: str) -> list[tuple[Any, ...]]:
    """Rows of a table of control.db, for who only looks: nothing is locked or made. None, if there is no such table.

    Raises StorageError if control.db cannot be read.
    """
    path = data_dir / "control.db"
    if not path.exists():
        return []
    try:
        # It may write, though it never does: one that may not leaves files behind where no server runs.
        mode = "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro&immutable=1"
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True)) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall():
                return []  # of an older version
            return db.execute(query).fetchall()
    except sqlite3.Error as error:
        raise StorageError(f"control.db cannot be read: {error}") from error


def _delete_record(row: Sequence[Any]) -> DeleteRecord:
    """A row of `deletes`, whose columns are the fields."""
    values = dict(zip((field.name for field in fields(DeleteRecord)), row, strict=True))
    return DeleteRecord(**values | {"status": DeleteStatus(values["status"])})
