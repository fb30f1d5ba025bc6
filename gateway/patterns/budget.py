"""How much CPU may go into patterns: a share of one core, saved up to some."""

from __future__ import annotations

import time
from collections.abc import Callable

SAVED = 0.25
"""Seconds of CPU that may be saved up: a few thousand lines of shapes never seen, at once."""


class Budget:
    """Seconds of CPU: so many come in each second, and up to SAVED are kept."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`share`: seconds of CPU a second; `clock` in seconds."""
        self._share = share
        self._clock = clock
        self._at = clock()
        self._level = SAVED

    def level(self) -> float:
        """Seconds that may be spent now; below 0 where more was spent than there was."""
        now = self._clock()
        self._level = min(SAVED, self._level + (now - self._at) * self._share)
        self._at = now
        return self._level

    def spend(self, seconds: float) -> None:
        """So many were spent."""
        self._level -= seconds
