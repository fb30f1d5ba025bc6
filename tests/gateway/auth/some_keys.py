"""Keys for tests, made as `weir keys` makes them."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.auth.keys import forward_digest, key_hash, new_id, new_key
from storage import KeyRecord, KeySecret, open_keys


def make_record(
    scopes: tuple[str, ...] = ("push", "query", "admin"), tenant: str = "", *, expires: int = 0, revoked: int = 0
) -> tuple[str, KeyRecord]:
    """A key's text and its record."""
    key_id = new_id()
    key = new_key(key_id)
    now = time.time_ns()
    forward = forward_digest(key_id, key) if "push" in scopes else b""
    secret = KeySecret(key_hash(key.encode()), forward, now)
    return key, KeyRecord(key_id, "a test", scopes, tenant, now, expires, revoked, (secret,))


def add_key(data_dir: Path, scopes: tuple[str, ...] = ("push", "query", "admin"), tenant: str = "") -> str:
    """Makes a key of a data directory, whether a server uses that or not; its text."""
    key, record = make_record(scopes, tenant)
    table = open_keys(data_dir)
    table.add(record)
    table.close()
    return key


def revoke(data_dir: Path, key: str) -> None:
    """Revokes one."""
    table = open_keys(data_dir)
    table.revoke(key.split("_")[1], time.time_ns())
    table.close()
