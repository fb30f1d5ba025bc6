from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from storage.control import KEEP_IDS, LOST, VERSION, Control, DeleteRecord, DeleteStatus
from storage.errors import CorruptCatalog, StorageError
from storage.lock import DirectoryLock
from tests.storage.entries import NOON, entry, read, start, stored

ID, DIGEST = b"i" * 16, b"d" * 16


def test_ids_are_kept_by_tenant_across_a_restart(tmp_path: Path) -> None:
    control = Control(tmp_path)
    control.remember([("t", ID, DIGEST)])
    control.close()
    again = Control(tmp_path)
    assert again.digest_of("t", ID) == DIGEST
    assert again.digest_of("other", ID) is None
    assert again.digest_of("t", b"j" * 16) is None
    again.close()


def test_the_first_digest_of_an_id_stays(tmp_path: Path) -> None:
    control = Control(tmp_path)
    control.remember([("t", ID, DIGEST)])
    control.remember([("t", ID, b"e" * 16)])
    assert control.digest_of("t", ID) == DIGEST
    control.close()


def test_ids_are_forgotten_after_a_week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = Control(tmp_path)
    now = time.time()
    control.remember([("t", ID, DIGEST)])
    monkeypatch.setattr("storage.control.time.time", lambda: now + KEEP_IDS - 10)
    control.remember([("t", b"j" * 16, DIGEST)])
    assert control.digest_of("t", ID) == DIGEST
    monkeypatch.setattr("storage.control.time.time", lambda: now + KEEP_IDS + 10)
    control.remember([("t", b"k" * 16, DIGEST)])
    assert control.digest_of("t", ID) is None
    assert control.digest_of("t", b"j" * 16) == DIGEST
    control.close()


@pytest.mark.parametrize("damage", ["rubbish", "another version"])
def test_no_store_starts_on_an_unreadable_control_db(tmp_path: Path, damage: str) -> None:
    start(tmp_path).close()
    if damage == "rubbish":
        for path in tmp_path.glob("control.db*"):
            path.unlink()
        (tmp_path / "control.db").write_bytes(b"rubbish" * 1000)
    else:
        with sqlite3.connect(tmp_path / "control.db") as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    before = (tmp_path / "control.db").read_bytes()
    with pytest.raises(CorruptCatalog, match="backup"):
        start(tmp_path)
    assert (tmp_path / "control.db").read_bytes() == before
    DirectoryLock(tmp_path).release()  # the failed start let go of the directory


def test_a_control_db_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    control = Control(tmp_path)
    control._db.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageError, match=r"control\.db"):
        control.remember([("t", ID, DIGEST)])
    control.close()


def delete_of(number: int, tenant: str = "t") -> DeleteRecord:
    return DeleteRecord(
        id=f"id{number}",
        tenant=tenant,
        query='{app="ä"}',
        first=-(1 << 63),
        last=(1 << 63) - 1,
        who="10.0.0.1 someone",
        created=number,
        due=number + 5,
        origin="0" * 32,
        seq=7,
        generation=3,
        blocks=2,
        bytes=1 << 40,
    )


def test_deletes_are_kept_for_good_and_listed_as_they_came(tmp_path: Path) -> None:
    control = Control(tmp_path)
    for number in (2, 1, 3):
        control.add_delete(delete_of(number))
    control.add_delete(delete_of(4, "other"))
    changed = replace(delete_of(2), status=DeleteStatus.PROCESSED, started=8, ended=9)
    control.update_delete(changed)
    control.close()
    again = Control(tmp_path)
    assert again.deletes("t") == [delete_of(1), changed, delete_of(3)]
    assert again.deletes() == [delete_of(1), changed, delete_of(3), delete_of(4, "other")]
    assert again.deletes("nobody") == []
    assert [each.is_open for each in again.deletes("t")] == [True, False, True]
    again.close()


def test_a_control_db_of_version_1_is_taken_along(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "control.db") as db:  # the tables of version 1
        db.execute(
            "CREATE TABLE batch_ids (tenant TEXT NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL, "
            "at INTEGER NOT NULL, PRIMARY KEY (tenant, id)) WITHOUT ROWID"
        )
        db.execute("CREATE INDEX batch_ids_at ON batch_ids (at)")
        db.execute("INSERT INTO batch_ids VALUES ('t', ?, ?, ?)", (ID, DIGEST, int(time.time())))
        db.execute("PRAGMA user_version = 1")
    db.close()
    for _ in range(2):
        control = Control(tmp_path)
        assert control.digest_of("t", ID) == DIGEST
        if not control.deletes():
            control.add_delete(delete_of(1))
        assert control.deletes() == [delete_of(1)]
        control.close()
    with sqlite3.connect(tmp_path / "control.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    db.close()


def test_a_control_db_that_is_gone_is_missed_until_it_is_given_up(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON, "kept")])
    before = read(store)
    store.close()
    control = Control(tmp_path)
    control.remember([("t", ID, DIGEST)])
    control.close()
    for path in tmp_path.glob("control.db*"):
        path.unlink()
    (tmp_path / "control.db-wal").write_bytes(b"of the former")
    for _ in range(2):
        with pytest.raises(CorruptCatalog, match=r"control\.db is missing\. It holds what must not be forgotten"):
            start(tmp_path)
        assert not (tmp_path / "control.db").exists()
    (tmp_path / LOST).touch()
    store = start(tmp_path)
    assert read(store) == before != []
    store.close()
    assert not (tmp_path / LOST).exists()
    assert [path.read_bytes() for path in tmp_path.glob(f"{LOST}-*-wal")] == [b"of the former"]
    control = Control(tmp_path)
    assert control.digest_of("t", ID) is None
    control.close()


def test_a_control_db_that_lost_its_log_is_no_new_one(tmp_path: Path) -> None:
    start(tmp_path).close()
    for path in tmp_path.glob("control.db*"):
        path.unlink()
    sqlite3.connect(tmp_path / "control.db").execute("PRAGMA journal_mode = WAL").close()
    assert (tmp_path / "control.db").stat().st_size
    with pytest.raises(CorruptCatalog, match=r"has lost its contents\. It holds what must not be forgotten"):
        start(tmp_path)


def test_an_empty_control_db_is_no_new_one(tmp_path: Path) -> None:
    Control(tmp_path).close()
    for path in tmp_path.glob("control.db*"):
        path.unlink()
    (tmp_path / "control.db").touch()
    Control(tmp_path).close()  # nobody has used it: a first start was cut short
    (tmp_path / "origin").touch()
    for path in tmp_path.glob("control.db*"):
        path.unlink()
    (tmp_path / "control.db").touch()
    with pytest.raises(CorruptCatalog, match=r"is empty\. It holds what must not be forgotten"):
        Control(tmp_path)
