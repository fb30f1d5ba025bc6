"""Chunks that come twice: a sender that got no acknowledgement sends the same bytes under the same id again.

What was stored is known to the store, which keeps the ids of batches with their data (a crash cannot part them). Here
is only what is on its way: a second arrival waits for what becomes of the first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256

from gateway.forward.wire import Buffer
from storage import BatchId

_ID_BYTES = 16


def chunk_id(tenant: str, listener: str, tag: bytes, chunk: bytes, entries: Buffer) -> BatchId:
    """The name under which a chunk is stored once.

    Chunk ids alone do not tell chunks apart: Fluent Bit's are a hash of the entries without the tag. The digest is of
    what was sent, not of what was made of it: an entry without a time gets another one each time it comes.

    Args:
        tenant: of the listener.
        listener: where it came.
        tag: as sent.
        chunk: the msgpack object under `chunk`.
        entries: as they came, compressed or not.
    """
    # SHA-256, for which processors have instructions: half the time of BLAKE2.
    digest = sha256(entries).digest()[:_ID_BYTES]
    parts = (tenant.encode(), listener.encode(), tag, chunk, digest)
    key = sha256(b"".join([len(part).to_bytes(8, "big") + part for part in parts]))
    return BatchId(key.digest()[:_ID_BYTES], digest)


@dataclass(slots=True, eq=False)
class Turn:
    """One arrival of a chunk that is the only one on its way."""

    _turns: Turns
    _key: bytes
    _end: asyncio.Future[None]

    def end(self) -> None:
        """It was stored or given up; one that waits goes next. Again: nothing."""
        if not self._end.done():
            self._turns.leave(self._key)
            self._end.set_result(None)


class Turns:
    """Chunks on their way, over all connections of a listener. Used on the event loop's thread alone."""

    def __init__(self) -> None:
        self._ends: dict[bytes, asyncio.Future[None]] = {}

    def is_under_way(self, identity: BatchId) -> bool:
        """Whether an arrival of the chunk is on its way."""
        return identity.id in self._ends

    async def take(self, identity: BatchId) -> Turn:
        """Waits until no other arrival of the chunk is on its way.

        The one that waited is handled like any other: the store says whether the first was stored.
        """
        while (other := self._ends.get(identity.id)) is not None:
            await asyncio.shield(other)
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends[identity.id] = end
        return Turn(self, identity.id, end)

    def leave(self, key: bytes) -> None:
        """Called by a turn that ends."""
        self._ends.pop(key, None)
