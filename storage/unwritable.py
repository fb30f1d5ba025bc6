"""What is said of a disk that cannot be written: why, and what to do about it."""

from __future__ import annotations

import errno
import os
import sqlite3

from storage.errors import StorageUnavailable

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the kernel says when there is no room: full disk, quota, file size limit."""


def advice(error: OSError) -> str:
    """What to do when the data directory cannot be written; empty if nothing can be said."""
    if error.errno in DISK_FULL:
        return "free some space"
    if error.errno == errno.EROFS:
        return "mount its file system writable again"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"give user {os.geteuid()}, which this process runs as, the right to write there"
    return ""


def refusal(error: OSError | sqlite3.Error, what: str) -> StorageUnavailable:
    """The refusal of a write, as a sentence that says what to do.

    Args:
        error: of the write.
        what: could not be written: `the write-ahead log`.
    """
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return _full(f"{what} cannot be written")
        read_only = "; mount its file system writable again" if code == sqlite3.SQLITE_READONLY else ""
        return StorageUnavailable(f"{what} cannot be written: {error}{read_only}")
    if error.errno in DISK_FULL:
        return _full(error.strerror or "no room")
    if error.errno == errno.EROFS:
        return StorageUnavailable(f"the disk of the data directory is read-only: {advice(error)}")
    return StorageUnavailable(f"{what} cannot be written: {error.strerror or error}")


def _full(why: str) -> StorageUnavailable:
    return StorageUnavailable(f"the disk of the data directory is full: {why}; free some space")
