"""A clock for removing what has expired: one that a jump of the time of day does not carry away.

That an entry is out of sight can be undone, by setting the clock right; that its file is gone cannot. So files go by a
time that runs on from when the server last ran, at the pace of the system's uptime. The time of day is believed as long
as it is near that; where it is not (it jumped, or the server did not run for a while), only after it has stayed so for
PATIENCE of running. Until then what was there when it jumped goes no sooner than if it had not, and nothing is lost but
the disk that it takes. A file `clock` in the data directory says how far this is, for the next start; without it the
time of day is believed.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("weir.storage")

_SECOND = 1_000_000_000
TOLERANCE = 600 * _SECOND
"""ns by which the time of day may be off at each look, and is believed: an upgrade, a reboot, an hour's drift."""
PATIENCE = 3 * 86_400 * _SECOND
"""ns of running after which a time of day that is off is believed after all: longer than a weekend without anybody."""
_A_STOP = 7 * 86_400 * _SECOND
"""ns by which it may be off by more than before at the first look after a start, and the count goes on: the server was
not running. After a longer stop it begins anew, as it does when the time of day jumps again while the server runs."""
_AT_ONCE = 3600 * _SECOND
"""ns of running between two looks that count for that at most: a laptop that was asleep has shown nobody its clock."""
_SAVE_EVERY = 60 * _SECOND
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the first is Linux's: it goes on while a laptop sleeps


def uptime() -> int:
    """Time since the system was started, asleep too, ns."""
    return time.clock_gettime_ns(_CLOCK)


class SteadyClock:
    """The time by which files may go. Safe for use by any number of threads.

    Args:
        path: where the time is kept.
        wall: the time of day, ns.
        running: ns that never jump.
    """

    def __init__(self, path: Path, wall: Callable[[], int] = time.time_ns, running: Callable[[], int] = uptime) -> None:
        self._path = path
        self._wall = wall
        self._running = running
        self._lock = threading.Lock()
        self._at = running()
        self._time, self._off_for, self._off_by = self._restored()
        self._told = False
        self._just_started = True
        self._saved: int | None = None

    def now(self) -> int:
        """The time of day, ns, or an earlier one while that is not believed."""
        with self._lock:
            wall, running = self._wall(), self._running()
            passed, self._at = max(0, running - self._at), running
            self._time += passed
            self._follow(wall, passed)
            if self._saved is None or running - self._saved >= _SAVE_EVERY:
                self._saved = running
                self._save()
            return min(self._time, wall)

    @property
    def behind(self) -> int:
        """By how many ns the time of day is ahead without being believed; 0 if it is."""
        with self._lock:
            return max(0, self._wall() - self._time - max(0, self._running() - self._at)) if self._off_for else 0

    def believe(self) -> None:
        """The time of day is right: somebody who looks at it says so."""
        with self._lock:
            self._at, self._time, self._off_for, self._off_by = self._running(), self._wall(), 0, 0
            self._save()

    def _follow(self, wall: int, passed: int) -> None:
        ahead, near = wall - self._time, _A_STOP if self._just_started else TOLERANCE
        self._just_started = False
        if abs(ahead) <= TOLERANCE:
            self._time, self._off_for, self._told = wall, 0, False
            return
        if self._off_for and abs(ahead - self._off_by) <= near:
            self._off_for += min(passed, _AT_ONCE)
        else:  # it is off from now on, or by something else than before; how long before it was seen is not known
            self._off_for, self._told = 1, False
        self._off_by = ahead
        if self._off_for >= PATIENCE:
            log.warning(
                "the clock, %s s off from when this server ran before, is believed from now on", ahead // _SECOND
            )
            self._time, self._off_for, self._told = wall, 0, False
        elif not self._told:
            self._told = True
            way = "ahead of" if ahead > 0 else "behind"
            left = (PATIENCE - self._off_for) // (3600 * _SECOND)
            log.warning(
                "the clock is %d s %s the time that this server should have: what expires by it is out of sight, but "
                "its files stay until the clock is set right, or has stayed so for %d more hours of running",
                abs(ahead) // _SECOND,
                way,
                left,
            )

    def _restored(self) -> tuple[int, int, int]:
        """(time, how long the time of day has been off, by how much), of the last run."""
        try:
            said = json.loads(self._path.read_bytes())
            return int(said["time"]), max(0, int(said["off_for"])), int(said.get("off_by", 0))
        except FileNotFoundError:
            return self._wall(), 0, 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read, the clock is believed: %s", self._path, error)
            return self._wall(), 0, 0

    def _save(self) -> None:
        """Keeps the time. A disk that is full is no reason to fail: the next time it is tried again."""
        temporary = self._path.with_suffix(".tmp")
        with suppress(OSError):
            with temporary.open("w") as file:
                json.dump({"time": self._time, "off_for": self._off_for, "off_by": self._off_by}, file)
                file.flush()
                os.fsync(file.fileno())  # an empty file after a power cut would let any time of day be believed
            temporary.replace(self._path)
