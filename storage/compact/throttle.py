"""How much of a processor compaction takes: little while pushes come, all of one else.

Its thread has the priority of all others. With a lower one (nice 10) it kept the interpreter's lock while busy threads
without that lock had the processors, and everybody waited: push p99 was 1.8 times that without compaction, not 1.1.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_MOST = 2.0
"""Seconds that one pause lasts at most: what is owed after a long piece of work is no reason to stand still."""


class Stopped(Exception):  # noqa: N818 - no mistake: the store is closing
    """Compaction is to end now; what it has begun is given up."""


class Throttle:
    """Pauses between pieces of work such that, while it is busy elsewhere, they take a share of one processor."""

    def __init__(self, share: float, is_busy: Callable[[], bool], stop: threading.Event) -> None:
        """`share`: of a processor, while `is_busy`. `stop` ends every pause."""
        self._share = share
        self._is_busy = is_busy
        self._stop = stop
        self.begin()

    def begin(self) -> None:
        """Begins a piece of work in the calling thread."""
        self._began = time.monotonic()
        self._spent = time.thread_time()

    def pause(self) -> None:
        """Ends a piece of work, waits if need be, and begins the next. Raises Stopped."""
        if self._is_busy():
            owed = (time.thread_time() - self._spent) / self._share - (time.monotonic() - self._began)
            if owed > 0:
                self._stop.wait(min(owed, _MOST))
        if self._stop.is_set():
            raise Stopped
        self.begin()
