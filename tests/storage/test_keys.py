"""The keys in control.db: kept, changed, and seen by another connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import KeyRecord, KeySecret, KeyTable, UnknownKey, open_keys
from storage.control import VERSION, Control
from storage.errors import CorruptCatalog, StorageError, StorageUnavailable
from tests.storage.entries import start

FIRST = KeySecret(b"h" * 32, b"f" * 128, 10)
KEY = KeyRecord("id0", "web servers", ("push", "query"), "shop", 10, 99, secrets=(FIRST,))
OTHER = KeyRecord("id1", "ops", ("admin",), "", 20, secrets=(KeySecret(b"o" * 32, b"", 20),))


@pytest.fixture
def table(tmp_path: Path) -> Iterator[KeyTable]:
    opened = open_keys(tmp_path / "data")
    yield opened
    opened.close()


def test_keys_are_kept_across_a_restart_in_a_directory_that_was_not_there(tmp_path: Path) -> None:
    table = open_keys(tmp_path / "a" / "data")
    table.add(OTHER)
    table.add(KEY)
    table.close()
    again = open_keys(tmp_path / "a" / "data")
    assert again.all() == [KEY, OTHER]
    again.close()


def test_a_store_starts_in_a_directory_where_keys_were_made_first_and_keeps_them(tmp_path: Path) -> None:
    table = open_keys(tmp_path)
    table.add(KEY)
    store = start(tmp_path)
    assert table.all() == [KEY]
    store.close()
    assert table.all() == [KEY]
    table.close()


def test_a_key_is_revoked_once(table: KeyTable) -> None:
    table.add(KEY)
    table.revoke("id0", 50)
    table.revoke("id0", 60)
    assert [key.revoked for key in table.all()] == [50]
    with pytest.raises(UnknownKey, match="id9"):
        table.revoke("id9", 50)


def test_a_rotated_key_has_the_new_secret_first_and_the_old_one_ends(table: KeyTable) -> None:
    table.add(KEY)
    second, third = KeySecret(b"2" * 32, b"", 30), KeySecret(b"3" * 32, b"", 40)
    table.rotate("id0", second, 100)
    assert table.all()[0].secrets == (second, KeySecret(FIRST.hash, FIRST.forward, 10, 100))
    table.rotate("id0", third, 70)
    assert [(one.hash[:1], one.until) for one in table.all()[0].secrets] == [(b"3", 0), (b"2", 70), (b"h", 70)]
    table.rotate("id0", KeySecret(b"4" * 32, b"", 50), 90)
    assert [one.until for one in table.all()[0].secrets] == [0, 90, 70, 70]
    with pytest.raises(UnknownKey):
        table.rotate("id9", third, 0)


def test_an_id_that_is_taken_is_refused_and_nothing_of_it_kept(table: KeyTable) -> None:
    table.add(KEY)
    with pytest.raises(StorageUnavailable, match=r"control\.db"):
        table.add(KeyRecord("id0", "again", (), "", 5, secrets=(KeySecret(b"x" * 32, b"", 5),)))
    assert table.all() == [KEY]


def test_the_version_changes_when_somebody_else_writes(table: KeyTable, tmp_path: Path) -> None:
    before = table.version
    assert table.version == before
    other = open_keys(tmp_path / "data")
    other.add(KEY)
    other.close()
    assert table.version != before
    assert table.all() == [KEY]


def test_a_control_db_of_the_version_before_gets_the_tables(tmp_path: Path) -> None:
    Control(tmp_path).close()
    with sqlite3.connect(tmp_path / "control.db") as db:
        db.execute("DROP TABLE keys")
        db.execute("DROP TABLE key_secrets")
        db.execute(f"PRAGMA user_version = {2}")
    db.close()
    table = open_keys(tmp_path)
    assert table.all() == []
    table.add(KEY)
    table.close()
    db = sqlite3.connect(tmp_path / "control.db")
    assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    db.close()


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(CorruptCatalog, match="backup"):
        open_keys(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        open_keys(tmp_path / "file" / "data")
