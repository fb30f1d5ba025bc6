"""From a message to the store: unpacked, mapped to streams, validated, handed over; and what becomes of it.

What can never be stored is counted and acknowledged, for a sender would send it again for ever. What cannot be stored
now is tried again while the acknowledgement is held back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol, TypeVar

from gateway.forward.compression import is_compressed, unpacker
from gateway.forward.duplicates import Turn, Turns, chunk_id
from gateway.forward.messages import BadMessage, Message, Mode, parse_message
from gateway.forward.room import NotStored, Patience, Room
from gateway.forward.singles import Run
from gateway.forward.threads import Threads
from gateway.forward.together import Entries, Together
from gateway.forward.wire import Buffer
from gateway.logs import event
from gateway.push.errors import RateLimited
from gateway.push.metadata import metadata_sizes
from gateway.push.threads import INLINE_BYTES, decoding
from gateway.push.validate import Verdict, validate
from gateway.rejected.journal import Sample, Sender
from gateway.state import Gateway
from storage import BatchId, Receipt
from storage.batch import Batch
from storage.errors import StorageError

_log = logging.getLogger("weir.forward")

CLIENT = "Fluent-Forward"
"""What stands for a User-Agent in the metrics of pushes."""

UNPACK_STEP = 1 << 20
"""Bytes unpacked at most before room for more is asked for; of small messages it is less."""

TELL_EVERY = 60.0
"""Seconds between two log lines that say the same of messages that can never be stored."""

_LOGS = 0
_LISTENER = "forward"
_NS_PER_SECOND = 1_000_000_000
_NS_PER_MS = 1_000_000
_R = TypeVar("_R")


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

    def __call__(self, tag: bytes, option: Mapping[str, object], entries: Buffer, *, now: int, tenant: str) -> Mapped:
        """Maps entries; `now` in ns, `tenant` for entries that name none."""


@dataclass(frozen=True, slots=True, eq=False)
class _Tenant:
    """What one message brings to one tenant.

    Attributes:
        batch: as mapped.
        metadata_bytes: of it.
        verdict: what becomes of it.
    """

    batch: Batch
    metadata_bytes: int
    verdict: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class _Mapped:
    """What a message is: by tenant, and entries that could not be used by reason."""

    tenants: Mapping[str, _Tenant]
    bad: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Parsed:
    """A message as far as it can be read without asking for anything.

    Attributes:
        message: as parsed.
        identity: of its chunk, if it is to be acknowledged.
        mapped: None for one whose entries are compressed.
    """

    message: Message
    identity: BatchId | None = None
    mapped: _Mapped | None = None


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
        client: address of who sent it.
    """

    chunk: bytes | None
    size: int
    room: Room
    patience: Patience
    identity: BatchId | None
    turn: Turn | None
    parts: Sequence[_Part] = ()
    client: str = "-"

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
    """The way to the store, for every connection of one listener, or those of them whose keys are for one tenant."""

    def __init__(self, gateway: Gateway, mapper: Mapper, tenant: str = "") -> None:
        """`tenant`: of entries for which `mapper` finds none; "": what the settings say."""
        settings = gateway.settings
        self._gateway = gateway
        self._mapper = mapper
        self._figures = gateway.forward
        self._tenant = tenant or settings.forward.tenant or settings.tenancy.default
        self._hold = settings.forward.hold_ack / _NS_PER_SECOND
        self._most = min(settings.forward.max_unpacked, gateway.ingest.limit)
        self._turns = Turns()
        self._threads = Threads(decoding)
        self._together = Together(self._map_alike)
        self._told: dict[str, float] = {}

    async def take(self, data: Buffer, client: str = "-") -> Taken:
        """Takes one message in, in order; it is stored once `settle` has returned.

        Args:
            data: the message as it came.
            client: address of who sent it.

        Raises:
            NotStored: nothing could be taken in for as long as an acknowledgement may be held back.
        """
        taken = self.nothing(None, len(data), client)
        try:
            await taken.room.take(len(data))
            await self._take(data, taken)
        except BadMessage as bad:
            taken.room.give_back()
            taken.chunk = bad.chunk
            self._figures.messages["unreadable"] += 1
            self.drop(bad.reason, b"", client)
        except BaseException:
            taken.end()
            raise
        return taken

    async def _take(self, data: Buffer, taken: Taken) -> None:
        parsed = await self._run(len(data), self._parse, data)
        message = parsed.message
        taken.chunk, taken.identity = message.chunk, parsed.identity
        self._figures.messages[message.mode] += 1
        if message.signal != _LOGS:
            taken.room.give_back()
            self.drop("signal", message.tag, taken.client)
            return
        if parsed.identity is not None:
            taken.turn = await self._turns.take(parsed.identity)
        mapped = parsed.mapped
        if mapped is None and (entries := await self._unpacked(message, taken)):
            mapped = await self._run(len(entries), self._map, message, entries)
        if mapped is not None:
            await self._hand_over(message, mapped, taken)

    async def take_run(self, run: Run, add: Callable[[Taken], None], client: str = "-") -> None:
        """Takes messages of one event each in, in order.

        Args:
            run: of one connection.
            add: gets what is on its way, in order.
            client: address of who sent it.

        Raises:
            NotStored: as `take`.
        """
        self._figures.messages[Mode.MESSAGE] += len(run)
        if not run.chunks:
            taken = self.nothing(None, run.size, client)
            with _ended_if_it_fails([taken]):
                await taken.room.take(run.size)
                await self._hand_over_run(run, 0, len(run), [taken], add)
            return
        held: list[Taken] = []
        ends = [0, *accumulate(run.sizes)]
        for number, (start, end) in enumerate(pairwise(ends)):
            taken = self.nothing(run.chunks[number], run.size // len(run), client)
            identity = chunk_id(self._tenant, _LISTENER, run.tag, run.chunks[number], run.entries[start:end])
            with _ended_if_it_fails([*held, taken]):
                if not taken.room.take_now(taken.size) or self._turns.is_under_way(identity):
                    # What it waits for may be one that is held here.
                    await self._hand_over_run(run, number - len(held), number, held, add)
                    held = []
                    if not taken.room.is_taken:
                        await taken.room.take(taken.size)
                taken.identity = identity
                taken.turn = await self._turns.take(identity)
            held.append(taken)
        with _ended_if_it_fails(held):
            await self._hand_over_run(run, len(run) - len(held), len(run), held, add)

    async def _hand_over_run(
        self, run: Run, first: int, last: int, held: Sequence[Taken], add: Callable[[Taken], None]
    ) -> None:
        """Hands the messages first .. last of a run over, as one `taken` or as many."""
        if not held:
            return
        begin = sum(run.sizes[:first])
        sizes = [sum(run.sizes[first:last])] if len(held) == 1 else run.sizes[first:last]
        ends = list(accumulate(sizes, initial=begin))
        entries = run.entries[begin : ends[-1]]
        rows = [last - first] if len(held) == 1 else [1] * len(held)
        found = None
        if len(entries) < INLINE_BYTES:
            found = await self._together.put(run.tag, entries, rows)
        if found is not None:
            tenant, batches = found
            for taken, batch in zip(held, batches, strict=True):
                taken.parts = [_Part(tenant, batch, self._put(tenant, batch, taken))]
                add(taken)
            return
        for taken, start, end in zip(held, ends, ends[1:], strict=False):
            own = run.entries[start:end]
            message = Message(Mode.MESSAGE, run.tag, own, chunk=taken.chunk)
            await self._hand_over(message, await self._run(len(own), self._map, message, own), taken)
            add(taken)

    def _map_alike(self, tag: bytes, entries: bytes, rows: int) -> Entries | None:
        """A `together.MapAlike`."""
        found = self._map(Message(Mode.MESSAGE, tag, entries), entries)
        if found.bad or len(found.tenants) != 1:
            return None
        ((tenant, part),) = found.tenants.items()
        batch = part.verdict.batch
        if part.verdict.error is not None or batch is None or len(batch) != rows:
            return None
        self._count(tenant, part, part.verdict)
        return Entries(tenant, batch)

    def nothing(self, chunk: bytes | None, size: int = 0, client: str = "-") -> Taken:
        """A message that brings nothing yet, but whose chunk may have to be acknowledged."""
        patience = Patience(asyncio.get_running_loop().time() + self._hold)
        return Taken(chunk, size, Room(self._gateway.ingest, patience), patience, None, None, client=client)

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

    def lost(self, reason: str, text: str, client: str) -> None:
        """Notes a connection that ended with something of it not taken in."""
        self._gateway.rejected.whole(self._tenant, Sender("forward", client), f"forward_{reason}", text)

    def not_let_in(self, reason: str, client: str) -> int | None:
        """Counts a sender that was not let in; how often the log left that out, None: it is to do so again."""
        self._gateway.gate.failures["forward", reason] += 1
        return self._gateway.not_let_in.skipped(client, f"forward {reason}")

    def close(self) -> None:
        """Ends its threads; nothing is taken in any more."""
        self._threads.close()

    async def _run(self, size: int, work: Callable[..., _R], *args: object) -> _R:
        """Runs what takes as long as so many bytes: here, or in a thread."""
        if size < INLINE_BYTES:
            return work(*args)
        return await self._threads.run(work, *args)

    def drop(self, reason: str, tag: bytes, client: str = "-") -> None:
        """Counts a message that can never be stored, and says so now and then."""
        self._figures.dropped[reason] += 1
        text = f"a message{_tagged(tag)} was dropped: {reason}"
        self._gateway.rejected.whole(self._tenant, Sender("forward", client), f"forward_{reason}", text)
        self._tell(f"messages dropped: {reason}", tag)

    def _tell(self, what: str, tag: bytes, **more: str) -> None:
        now = time.monotonic()
        if now - self._told.get(what, -TELL_EVERY) >= TELL_EVERY:
            self._told[what] = now
            shown = {"tag": tag[:200].decode("utf-8", "replace"), **more}
            event(_log, logging.WARNING, what, exc_info=None, **shown)

    def _parse(self, data: Buffer) -> _Parsed:
        """Whatever can be done with a message's bytes in one go. In any thread. Raises BadMessage."""
        message = parse_message(data)
        if message.signal != _LOGS:
            return _Parsed(message)
        identity = None
        if message.chunk is not None:
            identity = chunk_id(self._tenant, _LISTENER, message.tag, message.chunk, message.entries)
        if message.mode is Mode.PACKED and is_compressed(message.entries):
            return _Parsed(message, identity)
        return _Parsed(message, identity, self._map(message, message.entries) if message.entries else None)

    async def _unpacked(self, message: Message, taken: Taken) -> Buffer:
        """The entries; none where the payload unpacks to more than is allowed, or to nothing."""
        found = unpacker(message.entries) if message.mode is Mode.PACKED else None
        if found is None:
            return message.entries
        # Pieces that are joined in the end would be there twice, outside the byte budget.
        entries = bytearray()
        room = 0
        while len(entries) <= self._most:
            step = min(UNPACK_STEP, max(8 * taken.size, len(entries)))
            if (missing := len(entries) + step - room) > 0:
                await taken.room.take(missing)
                room += missing
            if taken.size < INLINE_BYTES // 8:
                got = found.more(step)
            else:
                got = await self._threads.run(found.more, step)
            if not got:
                break
            entries += got
            del got  # not kept while the next is made
        if len(entries) > self._most:
            self.drop("unpacks_too_long", message.tag, taken.client)
            return b""
        if found.damaged:
            self._figures.damaged += 1
            self._tell("a compressed payload is damaged; what could be unpacked of it is kept", message.tag)
        return entries

    async def _hand_over(self, message: Message, mapped: _Mapped, taken: Taken) -> None:
        for reason, count in mapped.bad.items():
            self._figures.bad_entries[reason] += count
            bad = [(Sample(f"an event{_tagged(message.tag)} could not be used as it was: {reason}"), count)]
            self._gateway.rejected.entries(
                self._tenant, Sender("forward", taken.client), f"forward_{reason}", count, bad
            )
            self._tell(f"entries that could not be used as they were: {reason}", message.tag)
        admitted = [
            (tenant, (await self._admitted(tenant, part, message, taken)).batch)
            for tenant, part in mapped.tenants.items()
        ]
        taken.parts = [
            _Part(tenant, batch, self._put(tenant, batch, taken)) for tenant, batch in admitted if batch is not None
        ]

    def _map(self, message: Message, entries: Buffer) -> _Mapped:
        """In any thread."""
        mapped = self._mapper(message.tag, message.option, entries, now=time.time_ns(), tenant=self._tenant)
        tenants = {}
        for tenant, batch in mapped.batches.items():
            has_metadata = batch.metadata or batch.rest is not None
            metadata = int(metadata_sizes(batch)[0].sum()) if has_metadata else 0
            tenants[tenant] = _Tenant(batch, metadata, self._validated(tenant, batch))
        return _Mapped(tenants, mapped.bad)

    def _validated(self, tenant: str, batch: Batch) -> Verdict:
        gateway = self._gateway
        return validate(batch, tenant, gateway.settings.limits_for(tenant), time.time_ns(), gateway.stream_states)

    async def _admitted(self, tenant: str, part: _Tenant, message: Message, taken: Taken) -> Verdict:
        """The verdict on a batch once the tenant's rate lets it in."""
        patience, verdict = taken.patience, part.verdict
        while verdict.batch is None and isinstance(verdict.error, RateLimited):
            if not patience.left:
                raise NotStored("rate_limited", str(verdict.error))
            await patience.pause()
            verdict = self._validated(tenant, part.batch)
        self._count(tenant, part, verdict)
        if verdict.discarded:
            self._gateway.rejected.lines(tenant, Sender("forward", taken.client), verdict.discarded)
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

    def _count(self, tenant: str, part: _Tenant, verdict: Verdict) -> None:
        metrics, batch = self._gateway.metrics, part.batch
        if len(batch):
            received = part.verdict.received
            lag = (time.time_ns() - received.newest) // _NS_PER_MS
            metrics.push_received(tenant, received.lengths, part.metadata_bytes, lag, CLIENT, "", "", False)
        if verdict.sanitised:
            metrics.sanitised(tenant, verdict.sanitised)
        for discard in verdict.discarded:
            metrics.discarded(discard.reason, tenant, discard.lines, discard.bytes)
        for mutation in verdict.mutated:
            metrics.mutated(mutation.reason, tenant, mutation.lines, mutation.bytes)


def _tagged(tag: bytes) -> str:
    return f" of tag {tag[:100].decode('utf-8', 'replace')!r}" if tag else ""


@contextmanager
def _ended_if_it_fails(held: Sequence[Taken]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for taken in held:
            taken.end()
        raise
