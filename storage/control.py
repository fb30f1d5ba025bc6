"""control.db: facts that no block can give back. Synced before anyone is told; if unreadable, no server starts."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from storage.catalog import open_database
from storage.errors import CorruptCatalog, StorageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch_ids (
    tenant TEXT NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS batch_ids_at ON batch_ids (at);
"""
VERSION = 1
KEEP_IDS = 7 * 86_400
"""Seconds for which a batch id is remembered (README: a sender may try again for a week)."""


class Control:
    """control.db. Used by storage's own threads only, never by the event loop."""

    def __init__(self, data_dir: Path) -> None:
        """Opens or makes it. Raises CorruptCatalog, which tells how to go on."""
        self._lock = threading.Lock()
        try:
            self._db = open_database(data_dir / "control.db", _SCHEMA, VERSION, synchronous="FULL")
        except CorruptCatalog as error:
            raise CorruptCatalog(
                f"{error}. It holds what must not be forgotten (batch ids, later deletes and keys): restore it from a "
                f"backup; only if there is none, move control.db away and start again"
            ) from error

    def digest_of(self, tenant: str, batch_id: bytes) -> bytes | None:
        """The digest of the batch that came with this id, if one did."""
        with self._lock:
            found = self._db.execute(
                "SELECT digest FROM batch_ids WHERE tenant = ? AND id = ?", (tenant, batch_id)
            ).fetchone()
        return None if found is None else bytes(found[0])

    def remember(self, ids: Iterable[tuple[str, bytes, bytes]]) -> None:
        """Keeps (tenant, id, digest) and forgets ids of more than KEEP_IDS ago; durable on return.

        Raises StorageError if control.db cannot be written.
        """
        now = int(time.time())
        try:
            with self._lock, self._db:
                self._db.executemany(
                    "INSERT OR IGNORE INTO batch_ids VALUES (?, ?, ?, ?)", [(*item, now) for item in ids]
                )
                self._db.execute("DELETE FROM batch_ids WHERE at < ?", (now - KEEP_IDS,))
        except sqlite3.Error as error:
            raise StorageError(f"control.db cannot be written: {error}") from error

    def close(self) -> None:
        """Closes the file."""
        self._db.close()
