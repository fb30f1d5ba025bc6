"""From a message to the store: unpacked, mapped to streams, validated, handed over; and what becomes of it.

What can never be stored is counted and acknowledged, for a sender would send it again for ever. What cannot be stored
now is tried again while the acknowledgement is held back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from anyio import to_thread

from gateway.forward.compression import unpacker
from gateway.forward.duplicates import Turn, Turns, chunk_id
from gateway.forward.messages import Message, Mode
from gateway.forward.room import NotStored, Patience, Room
from gateway.logs import event
from gateway.push.errors import RateLimited
from gateway.push.metadata import metadata_sizes
from gateway.push.threads import INLINE_BYTES, decoding
from gateway.push.validate import Verdict, validate
from gateway.state import Gateway
from storage import BatchId, Receipt
from storage.batch import Batch
from storage.errors import StorageError

_log = logging.getLogger("weir.forward")

CLIENT = "Fluent-Forward"
"""What stands for a User-Agent in the metrics of pushes."""

UNPACK_STEP = 4 << 20
"""Bytes unpacked before room for more is asked for."""

TELL_EVERY = 60.0
"""Seconds between two log lines that say the same of messages that can never be stored."""

_LOGS = 0
_NS_PER_SECOND = 1_000_000_000
_NS_PER_MS = 1_000_000


class Mapped(Protocol):
    """What the mapping makes of entries: batches by tenant, and entries that could not be used by reason."""

    @property
    def batches(self) -> Mapping[str, Batch]:
        """Entries by tenant, with the message's own stream table."""

    @property
    def bad(self) -> Mapping[str, int]:
        """Reason -> entries."""


class Mapper(Protocol):
    """The mapping: entries of one message to streams."""

    def __call__(self, tag: bytes, option: Mapping[str, object], entries: bytes, *, now: int, tenant: str) -> Mapped:
        """Maps entries; `now` in ns, `tenant` for entries that name none."""


@dataclass(slots=True, eq=False)
class _Part:
    """What one message brings to one tenant."""

    tenant: str
    batch: Batch
    stored: asyncio.Future[Receipt]


@dataclass(slots=True, eq=False)
class Taken:
    """A message on its way to the disk.

    Attributes:
        chunk: what is to be acknowledged.
        size: bytes of it as it came.
        room: what it holds of the byte budget.
        patience: how long it may be held back.
        identity: under which the store knows it, if it is acknowledged.
        turn: that it is the only arrival of its chunk.
        parts: what waits for the store.
    """

    chunk: bytes | None
    size: int
    room: Room
    patience: Patience
    identity: BatchId | None
    turn: Turn | None
    parts: Sequence[_Part] = ()

    def end(self) -> None:
        """Lets go of what it holds; again: nothing."""
        self.room.give_back()
        if self.turn is not None:
            self.turn.end()
        for part in self.parts:
            # Of a connection that broke off: nobody will ask, and asyncio complains of errors nobody asked for.
            if not part.stored.cancel() and not part.stored.cancelled():
                part.stored.exception()


class Intake:
    """The way to the store, for every connection of one listener."""

    def __init__(self, gateway: Gateway, mapper: Mapper) -> None:
        settings = gateway.settings
        self._gateway = gateway
        self._mapper = mapper
        self._figures = gateway.forward
        self._tenant = settings.forward.tenant or settings.tenancy.default
        self._hold = settings.forward.hold_ack / _NS_PER_SECOND
        self._most = min(settings.forward.max_unpacked, gateway.ingest.limit)
        self._turns = Turns()
        self._told: dict[str, float] = {}

    async def take(self, message: Message, size: int) -> Taken:
        """Takes one message in, in order; it is stored once `settle` has returned.

        Args:
            message: as parsed.
            size: bytes of it as it came.

        Raises:
            NotStored: nothing could be taken in for as long as an acknowledgement may be held back.
        """
        taken = self.nothing(message.chunk, size)
        try:
            if message.signal != _LOGS:
                self.drop("signal", message.tag)
                return taken
            await taken.room.take(size)
            if message.chunk is not None:
                if size < INLINE_BYTES:
                    identity = self._identify(message)
                else:
                    identity = await to_thread.run_sync(self._identify, message, limiter=decoding)
                taken.identity = identity
                taken.turn = await self._turns.take(identity)
            entries = await self._unpacked(message, taken)
            if entries:
                await self._hand_over(message, entries, taken)
        except BaseException:
            taken.end()
            raise
        return taken

    def nothing(self, chunk: bytes | None, size: int = 0) -> Taken:
        """A message that brings nothing, but whose chunk may have to be acknowledged."""
        patience = Patience(asyncio.get_running_loop().time() + self._hold)
        return Taken(chunk, size, Room(self._gateway.ingest, patience), patience, None, None)

    async def settle(self, taken: Taken) -> None:
        """Waits until a message is on disk.

        Raises:
            NotStored: it could not be stored for as long as an acknowledgement may be held back.
        """
        try:
            again = False
            for part in taken.parts:
                again |= (await self._settled(part, taken)).deduplicated
            self._figures.deduplicated += again
        finally:
            taken.end()

    def drop(self, reason: str, tag: bytes) -> None:
        """Counts a message that can never be stored, and says so now and then."""
        self._figures.dropped[reason] += 1
        self._tell(f"messages dropped: {reason}", tag)

    def _tell(self, what: str, tag: bytes, **more: str) -> None:
        now = time.monotonic()
        if now - self._told.get(what, -TELL_EVERY) >= TELL_EVERY:
            self._told[what] = now
            shown = {"tag": tag[:200].decode("utf-8", "replace"), **more}
            event(_log, logging.WARNING, what, exc_info=None, **shown)

    def _identify(self, message: Message) -> BatchId:
        assert message.chunk is not None
        return chunk_id(self._tenant, "forward", message.tag, message.chunk, message.entries)

    async def _unpacked(self, message: Message, taken: Taken) -> bytes:
        """The entries; none where the payload unpacks to more than is allowed, or to nothing."""
        found = unpacker(message.entries) if message.mode is Mode.PACKED else None
        if found is None:
            return message.entries
        pieces: list[bytes] = []
        made = 0
        while made <= self._most:
            await taken.room.take(UNPACK_STEP if made else min(UNPACK_STEP, 8 * taken.size))
            if taken.size < INLINE_BYTES // 8:
                got = found.more(UNPACK_STEP)
            else:
                got = await to_thread.run_sync(found.more, UNPACK_STEP, limiter=decoding)
            if not got:
                break
            made += len(got)
            pieces.append(got)
        if made > self._most:
            self.drop("unpacks_too_long", message.tag)
            return b""
        if found.damaged:
            self._figures.damaged += 1
            self._tell("a compressed payload is damaged; what could be unpacked of it is kept", message.tag)
        return b"".join(pieces)

    async def _hand_over(self, message: Message, entries: bytes, taken: Taken) -> None:
        mapped, verdicts = await self._run(len(entries), message, entries)
        for reason, count in mapped.bad.items():
            self._figures.bad_entries[reason] += count
            self._tell(f"entries that could not be used as they were: {reason}", message.tag)
        taken.parts = [
            _Part(tenant, verdict.batch, self._put(tenant, verdict.batch, taken))
            for tenant, verdict in [
                (tenant, await self._admitted(tenant, mapped.batches[tenant], verdict, message, taken))
                for tenant, verdict in verdicts.items()
            ]
            if verdict.batch is not None
        ]

    async def _run(self, size: int, message: Message, entries: bytes) -> tuple[Mapped, dict[str, Verdict]]:
        if size < INLINE_BYTES:
            return self._map(message, entries)
        return await to_thread.run_sync(self._map, message, entries, limiter=decoding)

    def _map(self, message: Message, entries: bytes) -> tuple[Mapped, dict[str, Verdict]]:
        mapped = self._mapper(message.tag, message.option, entries, now=time.time_ns(), tenant=self._tenant)
        return mapped, {tenant: self._validated(tenant, batch) for tenant, batch in mapped.batches.items()}

    def _validated(self, tenant: str, batch: Batch) -> Verdict:
        gateway = self._gateway
        return validate(batch, tenant, gateway.settings.limits_for(tenant), time.time_ns(), gateway.stream_states)

    async def _admitted(self, tenant: str, batch: Batch, verdict: Verdict, message: Message, taken: Taken) -> Verdict:
        """The verdict on a batch once the tenant's rate lets it in."""
        patience = taken.patience
        while verdict.batch is None and isinstance(verdict.error, RateLimited):
            if not patience.left:
                raise NotStored("rate_limited", str(verdict.error))
            await patience.pause()
            verdict = self._validated(tenant, batch)
        self._count(tenant, batch, verdict)
        if verdict.error is not None:
            self._tell("entries refused", message.tag, tenant=tenant, error=str(verdict.error)[:500])
        return verdict

    def _put(self, tenant: str, batch: Batch, taken: Taken) -> asyncio.Future[Receipt]:
        gateway = self._gateway
        return gateway.commits.put(gateway.store, tenant, batch, taken.identity)

    async def _settled(self, part: _Part, taken: Taken) -> Receipt:
        patience = taken.patience
        while True:
            try:
                return await part.stored
            except StorageError as error:
                if not patience.left:
                    raise NotStored("not_stored", str(error)) from error
            await patience.pause()
            part.stored = self._put(part.tenant, part.batch, taken)

    def _count(self, tenant: str, batch: Batch, verdict: Verdict) -> None:
        metrics = self._gateway.metrics
        if len(batch):
            metadata = int(metadata_sizes(batch)[0].sum()) if batch.metadata or batch.rest is not None else 0
            lag = (time.time_ns() - int(batch.ts.max())) // _NS_PER_MS
            metrics.push_received(tenant, batch.lines.lengths, metadata, lag, CLIENT, "", "", False)
        if verdict.sanitised:
            metrics.sanitised(tenant, verdict.sanitised)
        for discard in verdict.discarded:
            metrics.discarded(discard.reason, tenant, discard.lines, discard.bytes)
        for mutation in verdict.mutated:
            metrics.mutated(mutation.reason, tenant, mutation.lines, mutation.bytes)
