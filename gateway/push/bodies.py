"""Reading the body of a push within the byte budget, so that memory stays flat however many pushers there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from gateway.push.encodings import check_size
from gateway.state import ByteBudget

READ_STEP = 1 << 20
"""Bytes by which the budget of a body of unknown length grows while it is read."""


class Room:
    """What one push holds of the byte budget."""

    __slots__ = ("_budget", "_held")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._held = 0

    def take(self, size: int) -> bool:
        """Takes room if it is there now."""
        if not self._budget.take(size):
            return False
        self._held += size
        return True

    async def wait_for(self, size: int) -> None:
        """Takes room when it is there. Raises IngestBusy."""
        await self._budget.wait_for(size)
        self._held += size

    async def unpack(self, size: int, unpacked: int) -> None:
        """Takes what a body of `size` bytes will need besides when it is unpacked. Raises IngestBusy."""
        # What cannot fit even alone is refused while it is unpacked, and must not wait for room there never is.
        more = min(unpacked, self._budget.limit) - size
        if more > 0 and not self.take(more):
            await self.wait_for(more)

    def give_back(self) -> None:
        """Gives all of it back."""
        if self._held:
            self._budget.give_back(self._held)


@contextmanager
def room_in(budget: ByteBudget) -> Iterator[Room]:
    """Room that is given back at the end of the block."""
    room = Room(budget)
    try:
        yield room
    finally:
        room.give_back()


def length_said(header: str) -> int:
    """The bytes that a Content-Length announces, 0 where it is not said."""
    return int(header) if header.isascii() and header.isdigit() and len(header) < 19 else 0


async def read_body(request: Request, length: int, cap: int, room: Room) -> bytes:
    """The body.

    Args:
        request: whose body has not been read.
        length: bytes that Content-Length announces, 0 where it is not said.
        cap: most bytes.
        room: gets what the body takes.

    Raises:
        PushTooLarge: it is longer than `cap`.
        IngestBusy: there was no room.
        ClientDisconnect: the client left before it was whole.
    """
    held = length
    check_size(held, cap)
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece, more = message.get("body", b""), message.get("more_body", False)
        # Not before: a client that announces much and sends nothing must not keep the others out.
        if not pieces and held and not room.take(held):
            await room.wait_for(held)
        size += len(piece)
        check_size(size, cap)
        if size > held:
            step = max(READ_STEP, size - held)
            if not room.take(step):
                await room.wait_for(step)
            held += step
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
