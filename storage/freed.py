"""Bytes of files that were removed lately: some file systems (XFS, btrfs) tell only later that they are free."""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path

SETTLE = 30.0
"""Seconds that a file system is given to tell what came free."""


class Freed:
    """What was removed within the last SETTLE seconds. Safe for use by any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._removed: deque[tuple[float, int]] = deque()

    def note(self, size: int) -> None:
        """So many bytes came free now, as `gain` has them."""
        if size:
            with self._lock:
                self._removed.append((time.monotonic(), size))
                self._forget()

    def lately(self) -> int:
        """Bytes that came free within SETTLE, whether the file system tells of them yet or not."""
        with self._lock:
            self._forget()
            return sum(size for _, size in self._removed)

    def _forget(self) -> None:
        now = time.monotonic()
        while self._removed and now - self._removed[0][0] >= SETTLE:
            self._removed.popleft()


def gain(path: Path) -> int:
    """Bytes that come free with a file: none if a backup has it too, as a hard link."""
    try:
        state = path.stat()
    except OSError:
        return 0
    return state.st_blocks * 512 if state.st_nlink == 1 else 0
