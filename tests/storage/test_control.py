from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from storage.control import KEEP_IDS, Control
from storage.errors import CorruptCatalog, StorageError
from storage.lock import DirectoryLock
from tests.storage.entries import start

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
