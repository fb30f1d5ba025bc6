"""Bytes that a message holds of the budget which all doors share, and how long a sender is made to wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.state import ByteBudget, IngestBusy

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
"""Seconds between tries of what cannot be done now."""


class NotStored(Exception):  # noqa: N818 - named for what happened
    """Something could not be stored for as long as an acknowledgement may be held back.

    Attributes:
        reason: short, for the counter.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(slots=True)
class Patience:
    """How long one message may be held back.

    Attributes:
        until: seconds of the event loop's clock.
    """

    until: float
    _pause: float = _FIRST_PAUSE

    @property
    def left(self) -> bool:
        """Whether there is time for one more try."""
        return asyncio.get_running_loop().time() < self.until

    async def pause(self) -> None:
        """Waits before the next try, longer each time."""
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


class Room:
    """What one message holds of a byte budget."""

    __slots__ = ("_budget", "_held", "_patience")

    def __init__(self, budget: ByteBudget, patience: Patience) -> None:
        self._budget = budget
        self._patience = patience
        self._held = 0

    @property
    def is_taken(self) -> bool:
        """Whether it holds any."""
        return self._held > 0

    def take_now(self, size: int) -> bool:
        """Takes room for `size` bytes more if it is there; whether it is."""
        if not self._budget.take(size):
            return False
        self._held += size
        return True

    async def take(self, size: int) -> None:
        """Takes room for `size` bytes more when it is there.

        Raises:
            NotStored: there was none for too long.
        """
        while not self._budget.take(size):
            try:
                await self._budget.wait_for(size)
            except IngestBusy as error:
                if not self._patience.left:
                    raise NotStored("overloaded", str(error)) from error
            else:
                break
        self._held += size

    def give_back(self) -> None:
        """Gives all of it back."""
        if self._held:
            self._budget.give_back(self._held)
            self._held = 0
