"""Bytes of messages that have come in part, over all connections.

They are bounded, so that a thousand connections with a large message each, none of which ever ends, cannot fill the
memory. When there is no room left, the connection that has stood still longest goes: whoever sends is not kept out by
those who do not.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.forward.figures import ForwardFigures
from gateway.state import ByteBudget, IngestBusy

FREE_BYTES = 64 << 10
"""Every connection may hold so much without asking: small messages never wait for large ones."""

STEP = 256 << 10
"""Bytes by which a connection's part grows."""

STALLED = 3.0
"""Seconds without a byte after which a connection may be sent away for another one."""

_LOOK_EVERY = 0.5


class Holder(Protocol):
    """A connection that holds a message in part."""

    @property
    def last_read(self) -> float:
        """Seconds of the event loop's clock at which bytes came last."""

    def crowd_out(self) -> None:
        """Ends the connection."""


class Buffers:
    """The room for messages in part. Used on the event loop's thread alone."""

    def __init__(self, limit: int, figures: ForwardFigures) -> None:
        self._figures = figures
        self._budget = ByteBudget(limit, _LOOK_EVERY)
        self._held: dict[Holder, int] = {}

    async def grow(self, holder: Holder, size: int) -> None:
        """Makes room for a message in part of `size` bytes; may take long."""
        held = self._held.get(holder, 0)
        if size <= FREE_BYTES + held:
            return
        more = max(STEP, size - FREE_BYTES - held)
        while not self._budget.take(more):
            try:
                await self._budget.wait_for(more)
            except IngestBusy:
                self._make_room(holder)
            else:
                break
        self._held[holder] = held + more
        self._figures.buffered += more

    def release(self, holder: Holder) -> None:
        """The message is whole, or the connection has ended."""
        held = self._held.pop(holder, 0)
        if held:
            self._budget.give_back(held)
            self._figures.buffered -= held

    def _make_room(self, asking: Holder) -> None:
        others = [holder for holder in self._held if holder is not asking]
        slowest = min(others, key=lambda holder: holder.last_read, default=None)
        if slowest is not None and asyncio.get_running_loop().time() - slowest.last_read > STALLED:
            slowest.crowd_out()
