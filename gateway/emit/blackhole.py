"""The sink `blackhole`: takes everything and keeps nothing."""

from __future__ import annotations

from gateway.relay.sink import Archived, Outcome, Outgoing


class BlackholeSink:
    """Nowhere."""

    kind = "blackhole"
    destination = "nowhere"

    async def send(self, outgoing: Outgoing) -> Outcome:
        """The batch is taken."""
        del outgoing
        return Archived()

    async def close(self) -> None:
        """Nothing is open."""
