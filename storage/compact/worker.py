"""The maintenance thread: files that nobody reads go, expired blocks go, blocks are compacted.

A compaction may take minutes beside pushes; what else there is to do is done between two pieces of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from storage.compact.engine import Barred, Engine
from storage.compact.throttle import Stopped, Throttle
from storage.errors import StorageError
from storage.leases import Leases

log = logging.getLogger("weir.storage")

TICK = 1.0
"""Seconds between two looks at what is to be done."""
BUSY = 2.0
"""Seconds after a push in which compaction holds back."""
BACKOFF = (10.0, 30.0, 60.0, 300.0)
"""Seconds between tries of a step that fails."""


class Worker:
    """The thread "weir-compact". A store without compaction has it too: files wait for their readers there."""

    def __init__(
        self,
        engine: Engine,
        leases: Leases,
        *,
        share: float,
        compacts: bool,
        chores: Sequence[Callable[[], None]] = (),
    ) -> None:
        """`share`: of a processor while pushes come. `chores`: what else is done at each tick, in the thread."""
        self._engine = engine
        self._leases = leases
        self._compacts = compacts
        self._chores = chores
        self._looked = 0.0
        self._pushed = 0.0
        self._failures = 0
        self._not_before = 0.0
        self._stop = threading.Event()
        self._throttle = Throttle(share, self._is_busy, self._stop)
        self._thread = threading.Thread(target=self._run, name="weir-compact", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; a merge that runs is given up."""
        self._stop.set()
        self._thread.join()

    def note_push(self) -> None:
        """To be called at each commit."""
        self._pushed = time.monotonic()

    def _is_busy(self) -> bool:
        return time.monotonic() - self._pushed < BUSY

    def _run(self) -> None:
        wait = TICK
        while not self._stop.wait(wait):
            wait = TICK
            self._guarded(self._look_around)
            if self._compacts and time.monotonic() >= self._not_before:
                wait = 0.0 if self._guarded(self._compact) else TICK

    def _guarded(self, work: Callable[[], bool]) -> bool:
        """What `work` says; False if it failed, which ends no thread."""
        try:
            return work()
        except Stopped:
            pass
        except (OSError, StorageError) as error:
            self._hold_back()
            log.error("compaction failed, the blocks stay as they are: %s", error)  # noqa: TRY400 - no fault of ours
        except Exception:  # the thread must live: nothing is lost, and the next try may succeed
            self._hold_back()
            log.exception("compaction failed, the blocks stay as they are")
        return False

    def _hold_back(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + BACKOFF[min(self._failures, len(BACKOFF)) - 1]

    def _look_around(self) -> bool:
        """What is done at each tick, whatever becomes of compaction."""
        self._looked = time.monotonic()
        self._leases.sweep()
        for chore in self._chores:
            chore()
        return False

    def _between(self) -> None:
        """What is done between two pieces of a step. Raises Stopped."""
        if time.monotonic() - self._looked >= TICK:
            self._guarded(self._look_around)
        self._throttle.pause()

    def _compact(self) -> bool:
        """One step; whether there may be more to do."""
        self._throttle.begin()
        self._engine.pending()
        try:
            done = self._engine.step(self._between, waits=False)
        except Barred as error:
            log.error("%s", error)  # noqa: TRY400 - it names file and fault
            return True
        self._failures = 0
        return done is not None
