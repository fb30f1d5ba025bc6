"""The lock on a data directory, and what identifies it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path

from storage.errors import DirectoryLocked, StorageError
from storage.segment import sync_directory
from storage.unwritable import advice

RESTORING = "restore.tmp"
"""Folder in a data directory in which a restore gathers its files. While `origin` is not beside it, it is not over."""


class DirectoryLock:
    """Held by the one process that may write to a data directory; the kernel drops it when the process ends."""

    def __init__(self, data_dir: Path) -> None:
        """Takes the lock. Raises DirectoryLocked naming the holder, StorageError if the directory cannot be written."""
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            what = f"the data directory {data_dir} cannot be written: {error.strerror}"
            raise StorageError(
                "; ".join(filter(None, (what, advice(error), "or choose another --data-dir")))
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 200, 0).decode("utf-8", "replace").strip() or "an unknown process"
            os.close(self._fd)
            raise DirectoryLocked(
                f"the data directory {data_dir} is in use by {holder}; stop that one or choose another --data-dir"
            ) from error
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = f"weir process {os.getpid()} (since {since})\n".encode()
        # On a full disk the lock is held without a name: that is no reason not to start.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, text, 0)

    def release(self) -> None:
        """Lets another process in."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def check_restored(data_dir: Path) -> None:
    """Raises StorageError if a restore to the directory was not ended."""
    if (data_dir / RESTORING).exists() and not (data_dir / "origin").exists():
        raise StorageError(
            f"a restore to {data_dir} was cut short; run `weir restore` again, into a directory with nothing in it"
        )


def read_origin(data_dir: Path) -> bytes:
    """The 16 random bytes that were given to this data directory when it was made. Raises StorageError, OSError."""
    path = data_dir / "origin"
    if path.exists():
        text = path.read_text("utf-8", "replace").strip()
        if not re.fullmatch("[0-9a-f]{32}", text):
            raise StorageError(f"{path} is damaged: it holds 32 hex digits, which every segment of the log repeats")
        return bytes.fromhex(text)
    origin = os.urandom(16)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        file.write(origin.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_directory(data_dir)
    return origin
