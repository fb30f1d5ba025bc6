"""How often the log says of one client that it was not let in: an agent with a wrong key tries ten times a second."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY = 60.0
"""Seconds between two lines about the same client and reason."""

MOST = 1000
"""Clients and reasons told apart; further ones share a line."""


class Muffled:
    """What was said when, and how often it was not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[tuple[str, str], list[float]] = {}

    def skipped(self, client: str, reason: str) -> int | None:
        """How many lines were left out since the last about this; None: this one is to be left out too."""
        now = self._clock()
        if len(self._said) >= MOST and (client, reason) not in self._said:
            self._said = {about: said for about, said in self._said.items() if now - said[0] < EVERY}
            if len(self._said) >= MOST:
                client = "others"
        said = self._said.setdefault((client, reason), [now - EVERY, 0])
        if now - said[0] < EVERY:
            said[1] += 1
            return None
        count, said[:] = int(said[1]), [now, 0]
        return count
