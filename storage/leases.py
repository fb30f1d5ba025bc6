"""Files that have gone from every view, and who may still be reading them.

A reader takes a lease *before* it takes a view, and keeps it as long as anything that it got from that view. A file
that went from the view later can be read by no one whose lease began after that: so it is removed when all earlier
leases have ended. Leases end by themselves, with the last reference to them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from pathlib import Path
from weakref import WeakValueDictionary

from storage.blockread import forget
from storage.freed import Freed, gain
from storage.repeats import forget_repeats
from storage.segment import sync_directory

log = logging.getLogger("weir.storage")


class Lease:
    """A reader's hold on what it sees."""

    __slots__ = ("__weakref__",)


class Leases:
    """Leases and what waits for them."""

    def __init__(self) -> None:
        self.freed = Freed()
        """What came free by files that were removed; who removes others is to note it too."""
        self._lock = threading.Lock()
        self._serial = 0
        self._live: WeakValueDictionary[int, Lease] = WeakValueDictionary()
        self._waiting: deque[tuple[int, Path]] = deque()
        self._complained: set[Path] = set()

    def begin(self) -> Lease:
        """A new lease; to be taken before the view."""
        lease = Lease()
        with self._lock:
            self._serial += 1
            self._live[self._serial] = lease
        return lease

    def remove_later(self, path: Path) -> None:
        """Removes a file, that no view holds any more, in a `sweep` once nobody can be reading it."""
        with self._lock:
            self._waiting.append((self._serial, path))

    @property
    def waiting(self) -> int:
        """Files that wait for their readers."""
        return len(self._waiting)

    @property
    def waiting_paths(self) -> tuple[Path, ...]:
        """Those files."""
        with self._lock:
            return tuple(path for _, path in self._waiting)

    def sweep(self) -> list[Path]:
        """Removes what nobody reads, durably; returns it. What cannot be removed now is tried again."""
        with self._lock:
            oldest = min(self._live.keys(), default=self._serial + 1)
            ready = []
            while self._waiting and self._waiting[0][0] < oldest:
                ready.append(self._waiting.popleft())
        removed: list[Path] = []
        try:
            for _, path in ready:
                if self._is_removed(path):
                    removed.append(path)
        finally:
            left = [(serial, path) for serial, path in ready if path not in removed]
            if left:
                with self._lock:
                    self._waiting.extendleft(reversed(left))
        if removed:
            forget_repeats()
        for folder in {path.parent for path in removed}:
            try:
                sync_directory(folder)
            except OSError as error:  # after a power cut a file may be back, and is seen to be replaced then
                log.warning("that files were removed from %s could not be synced: %s", folder, error.strerror)
        return removed

    def _is_removed(self, path: Path) -> bool:
        forget(path)
        size = gain(path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if path not in self._complained:  # it is tried at each tick, and a disk may be read-only for a night
                self._complained.add(path)
                log.warning("%s cannot be removed, it is tried again: %s", path, error.strerror)
            return False
        self._complained.discard(path)
        self.freed.note(size)
        return True
