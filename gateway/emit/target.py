"""One file that an emitter appends to: taken up where it is settled, written, moved aside.

Blocking; every function may raise OSError.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.emit.journal import Journal, Settled
from gateway.logs import event
from storage.segment import sync_directory

_log = logging.getLogger("weir.emit")

STAMP = "%Y%m%dT%H%M%SZ"
"""What a file that is moved aside has behind its name: when that was, in UTC."""


class InUse(OSError):  # noqa: N818 - a state of the file
    """Another process writes to the file."""


@dataclass(slots=True)
class Target:
    """An open file.

    Attributes:
        path: of it.
        fd: open for writing, and locked.
        length: settled bytes; the next batch is written there.
        since: ns when the file was begun.
    """

    path: Path
    fd: int
    length: int
    since: int

    def is_there(self) -> bool:
        """Whether the path still names this file, at least as long as it was left: others rotate files too."""
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self.fd)
        return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino) and mine.st_size >= self.length

    def write(self, data: bytes) -> None:
        """Writes behind what is settled, durably; what stood there before is overwritten, or cut off."""
        os.ftruncate(self.fd, self.length)
        try:
            view, place = memoryview(data), self.length
            while view:
                done = os.pwrite(self.fd, view, place)
                view, place = view[done:], place + done
            os.fdatasync(self.fd)
        except OSError:
            os.ftruncate(self.fd, self.length)  # nobody who reads the file is to see half a batch
            raise

    def close(self) -> None:
        """Lets go of it."""
        os.close(self.fd)


def take_up(path: Path, journal: Journal) -> Target:
    """Opens a file, or begins it; what is not settled in it is cut off.

    Raises:
        InUse: another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        _lock(fd, path)
        size = os.fstat(fd).st_size
        known = journal.of(str(path))
        if known is None or known.length > size:
            # New, or not ours until now, or begun anew by who took the old one away.
            known = Settled(str(path), size, time.time_ns())
            if not size:
                sync_directory(path.parent)
            journal.settle(known)
        elif known.length < size:
            cut = size - known.length
            event(
                _log, logging.WARNING, "a batch that was not written to its end is cut off", file=str(path), bytes=cut
            )
            os.ftruncate(fd, known.length)
            os.fsync(fd)
    except BaseException:
        os.close(fd)
        raise
    return Target(path, fd, known.length, known.since)


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InUse(error.errno, "another process writes to it", str(path)) from error


def move_aside(target: Target, journal: Journal, now: int) -> Path:
    """Ends a file: gives it a name with the time, and closes it; its new path. `now` in ns."""
    stamp = datetime.fromtimestamp(now // 1_000_000_000, UTC).strftime(STAMP)
    aside = target.path.with_name(f"{target.path.name}.{stamp}")
    number = 0
    while aside.exists() or aside.with_name(f"{aside.name}.gz").exists():
        number += 1
        aside = target.path.with_name(f"{target.path.name}.{stamp}-{number}")
    target.path.rename(aside)  # if this goes wrong, the target is as it was
    target.close()
    sync_directory(aside.parent)
    # If nobody comes to say this, the file is shorter than its settled length at the next start, or not there.
    journal.settle(Settled(str(target.path), 0, now))
    return aside
