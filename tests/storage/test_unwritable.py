from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from storage.errors import StorageError, StorageUnavailable
from storage.lock import DirectoryLock
from storage.reserve import Reserve
from storage.unwritable import refusal
from tests.storage.entries import NOON, entry, read, start, stored


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def sqlite_error(code: int, text: str) -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (os_error(errno.ENOSPC), "the disk of the data directory is full: No space left on device; free some space"),
        (os_error(errno.EDQUOT), "the disk of the data directory is full: Disk quota exceeded; free some space"),
        (os_error(errno.EROFS), "the disk of the data directory is read-only: mount its file system writable again"),
        (os_error(errno.EIO), "the log cannot be written: Input/output error"),
        (
            sqlite_error(sqlite3.SQLITE_FULL, "database or disk is full"),
            "the disk of the data directory is full: the log cannot be written; free some space",
        ),
        (
            sqlite_error(sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
            "the log cannot be written: attempt to write a readonly database; mount its file system writable again",
        ),
        (sqlite_error(sqlite3.SQLITE_IOERR_WRITE, "disk I/O error"), "the log cannot be written: disk I/O error"),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), "the log cannot be written: Cannot operate"),
    ],
)
def test_a_refusal_says_what_to_do(error: OSError | sqlite3.Error, said: str) -> None:
    told = refusal(error, "the log")
    assert str(told).startswith(said)
    assert told.retry_after > 0


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EROFS, "Read-only file system; mount its file system writable again; or choose another --data-dir"),
        (
            errno.EACCES,
            (
                f"Permission denied; give user {os.geteuid()}, which this process runs as, the right to write there; "
                "or choose another --data-dir"
            ),
        ),
        (errno.EIO, "Input/output error; or choose another --data-dir"),
    ],
)
def test_a_data_directory_that_cannot_be_written_is_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise os_error(number)

    monkeypatch.setattr("storage.lock.os.open", fail)
    with pytest.raises(StorageError) as told:
        DirectoryLock(tmp_path)
    assert str(told.value) == f"the data directory {tmp_path} cannot be written: {advice}"


def test_a_reserve_that_cannot_be_had_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("storage.reserve.time.monotonic", lambda: now[0])
    reserve = Reserve(tmp_path / "reserve", 4096)
    for number, why in ((errno.EROFS, "is read-only"), (errno.ENOSPC, "is nearly full"), (errno.EIO, "Input/output")):

        def fail(*_: object, number: int = number) -> None:
            raise os_error(number)

        with monkeypatch.context() as patch:
            patch.setattr("storage.reserve.os.posix_fallocate", fail)
            now[0] += 10
            assert not reserve.ensure()
            assert why in reserve.why_not
    now[0] += 10
    assert reserve.ensure()


def test_what_a_flush_that_failed_could_not_remove_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise os_error(errno.EROFS)

    row = entry("a", NOON, "line")
    store = start(tmp_path)
    stored(store, [row])
    with monkeypatch.context() as patch:
        patch.setattr("storage.publish.sync_directory", fail)  # after the block has got its name
        patch.setattr(Path, "unlink", fail)
        with pytest.raises(StorageUnavailable, match="the disk of the data directory is read-only"):
            store.flush()
        assert len(list(tmp_path.glob("blocks/*/*/*.parquet"))) == 1
        assert read(store) == [row]
    store.flush()
    assert len(list(tmp_path.glob("blocks/*/*/*"))) == 1
    assert read(store) == [row]
    store.close()
    store = start(tmp_path)
    assert read(store) == [row]
    assert store.figures().tenants["t"].block_rows == 1
    store.close()
