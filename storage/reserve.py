"""Disk space kept back, so that a server can start and a flush can empty the log when the disk is full."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from storage.unwritable import DISK_FULL, refusal

log = logging.getLogger("weir.storage")

RETRY = 1.0
"""Seconds between two tries to get the space back."""
START_ROOM = 1 << 20
"""Bytes that a start may need: SQLite makes files beside its own, replay sets damaged records aside."""
_NEARLY_FULL = "the disk of the data directory is nearly full; free some space"


class Reserve:
    """A file of fixed size. While it cannot be had, pushes are refused: what room there is belongs to the flush."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._tried = float("-inf")
        self.held = False
        self.why_not = _NEARLY_FULL
        """What is said to who wants to write while the space is not held."""

    def lend(self) -> None:
        """Gives the space to a start that would have no room; `ensure` takes back what is left. Raises OSError."""
        state = os.statvfs(self._path.parent)
        if state.f_bavail * state.f_frsize < START_ROOM and self._path.exists():
            os.truncate(self._path, 0)

    def ensure(self) -> bool:
        """Takes the space if it is not held, at most once per RETRY; returns whether it is held."""
        if self.held:
            return True
        if time.monotonic() - self._tried < RETRY:
            return False
        self._tried = time.monotonic()
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                if os.fstat(fd).st_size > self._size:
                    os.ftruncate(fd, self._size)
                if self._size:
                    os.posix_fallocate(fd, 0, self._size)
            finally:
                os.close(fd)
        except OSError as error:
            log.warning("the reserve of %d bytes cannot be kept back: %s", self._size, error.strerror)
            self.release()
            if error.errno not in DISK_FULL:
                self.why_not = str(refusal(error, "the reserve"))
            return False
        self.held = True
        return True

    def release(self) -> None:
        """Gives the space to whoever writes next."""
        self.held = False
        self.why_not = _NEARLY_FULL
        self._tried = time.monotonic()
        try:
            os.truncate(self._path, 0)
        except OSError as error:
            log.warning("the reserve cannot be given free: %s", error.strerror)
