"""The keys of a data directory: two tables of control.db. What a key may do is the gateway's affair; here it is text.

No secret is here: of each only its SHA-256, and the digest that Fluent Forward's handshake compares. A command may
write while a server reads, each through a connection of its own; `version` tells the server that something was written.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from storage.errors import StorageError
from storage.unwritable import refusal

SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, description TEXT NOT NULL, scopes TEXT NOT NULL, tenant TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key_secrets (
    key TEXT NOT NULL, hash BLOB NOT NULL, forward BLOB NOT NULL, created INTEGER NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (key, hash)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class KeySecret:
    """What is kept of one secret of a key.

    Attributes:
        hash: SHA-256 of the whole key as it is sent.
        forward: what a sender of Fluent Forward proves to know; empty: none.
        created: ns.
        until: ns, from when it is good no more; 0: as long as the key.
    """

    hash: bytes
    forward: bytes
    created: int
    until: int = 0


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key, kept for good.

    Attributes:
        id: that names it everywhere.
        description: of whoever made it.
        scopes: what it may do.
        tenant: whose logs it is for; "": any.
        created: ns.
        expires: ns; 0: never.
        revoked: ns; 0: it is not.
        secrets: the latest first.
    """

    id: str
    description: str
    scopes: tuple[str, ...]
    tenant: str
    created: int
    expires: int = 0
    revoked: int = 0
    secrets: tuple[KeySecret, ...] = ()


class UnknownKey(StorageError):  # noqa: N818 - named for what happened
    """There is no such key."""


class KeyTable:
    """The keys in control.db, through a connection of one's own. Blocking; safe for use by any number of threads."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """`db`: see storage.control.open_keys."""
        self._lock = threading.Lock()
        self._db = db

    def all(self) -> list[KeyRecord]:
        """Every key there ever was, oldest first. Raises StorageError."""
        try:
            with self._lock:
                secrets = self._db.execute(
                    "SELECT key, hash, forward, created, until FROM key_secrets ORDER BY created DESC, hash"
                ).fetchall()
                rows = self._db.execute(
                    "SELECT id, description, scopes, tenant, created, expires, revoked FROM keys ORDER BY created, id"
                ).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"control.db cannot be read: {error}") from error
        known: dict[str, list[KeySecret]] = {}
        for key, *rest in secrets:
            known.setdefault(key, []).append(KeySecret(*rest))
        return [
            KeyRecord(name, text, tuple(scopes.split()), tenant, created, expires, revoked, tuple(known.get(name, ())))
            for name, text, scopes, tenant, created, expires, revoked in rows
        ]

    def add(self, key: KeyRecord) -> None:
        """Keeps a new key; durable on return. Raises StorageUnavailable if control.db cannot be written."""
        scopes = " ".join(key.scopes)
        row = (key.id, key.description, scopes, key.tenant, key.created, key.expires, key.revoked)
        self._write(
            [
                ("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?)", row),
                *(self._insert(key.id, secret) for secret in key.secrets),
            ]
        )

    def revoke(self, key_id: str, at: int) -> None:
        """Ends a key at a time (ns), unless it has ended already; durable on return.

        Raises UnknownKey, or StorageUnavailable if control.db cannot be written.
        """
        self._change(key_id, [("UPDATE keys SET revoked = ? WHERE id = ? AND revoked = 0", (at, key_id))])

    def rotate(self, key_id: str, secret: KeySecret, until: int) -> None:
        """Gives a key another secret; those it had are good until a time (ns) at most. Durable on return.

        Raises UnknownKey, or StorageUnavailable if control.db cannot be written.
        """
        ends = "UPDATE key_secrets SET until = ?1 WHERE key = ?2 AND (until = 0 OR until > ?1)"
        self._change(key_id, [(ends, (until, key_id)), self._insert(key_id, secret)])

    @property
    def version(self) -> int:
        """Another number once anybody else has written to control.db. Raises StorageError."""
        try:
            with self._lock:
                return int(self._db.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise StorageError(f"control.db cannot be read: {error}") from error

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            self._db.close()

    def _change(self, key_id: str, statements: Iterable[tuple[str, tuple[object, ...]]]) -> None:
        if all(key.id != key_id for key in self.all()):
            raise UnknownKey(f"there is no key {key_id}")
        self._write(statements)

    def _write(self, statements: Iterable[tuple[str, tuple[object, ...]]]) -> None:
        try:
            with self._lock, self._db:
                for text, values in statements:
                    self._db.execute(text, values)
        except sqlite3.Error as error:
            raise refusal(error, "control.db") from error

    @staticmethod
    def _insert(key_id: str, secret: KeySecret) -> tuple[str, tuple[object, ...]]:
        values = (key_id, secret.hash, secret.forward, secret.created, secret.until)
        return "INSERT INTO key_secrets VALUES (?, ?, ?, ?, ?)", values
