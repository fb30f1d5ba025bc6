"""A Fluent Forward door in this process: a real listener and real sockets, a store in memory, and a plain mapping."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgpack

from config import Settings
from gateway.forward.figures import ForwardFigures
from gateway.forward.listener import ForwardListener, open_sockets
from gateway.metrics import Metrics
from gateway.push.streams import TenantStreams
from gateway.query.pool import QueryPool
from gateway.state import ByteBudget, Gateway
from storage import BatchId, Receipt
from storage.batch import Batch
from storage.build import BatchBuilder
from storage.errors import StorageError, StorageUnavailable

Done = Callable[[Receipt | StorageError], None]


@dataclass
class HeldStore:
    """Batches as appended, each id once; they reach the "disk" at once, or when the test says so."""

    batches: list[tuple[str, Batch]] = field(default_factory=list)
    ids: set[tuple[str, bytes]] = field(default_factory=set)
    hold: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)
    refuse: int = 0

    def append(self, tenant: str, batch: Batch, done: Done, *, batch_id: BatchId | None = None) -> None:
        if self.refuse:
            self.refuse -= 1
            done(StorageUnavailable("the disk is full"))
            return

        def store() -> None:
            again = batch_id is not None and (tenant, batch_id.id) in self.ids
            if batch_id is not None:
                self.ids.add((tenant, batch_id.id))
            if not again:
                self.batches.append((tenant, batch))
            done(Receipt(deduplicated=again))

        if self.hold:
            self.waiting.append(store)
        else:
            store()

    def release(self) -> None:
        """What waits reaches the disk, in order."""
        self.hold = False
        waiting, self.waiting = self.waiting, []
        for store in waiting:
            store()

    def close(self) -> None:
        pass

    @property
    def lines(self) -> list[bytes]:
        return [line for _, batch in self.batches for line in batch.lines.tolist()]


@dataclass(frozen=True)
class PlainMapped:
    batches: Mapping[str, Batch]
    bad: Mapping[str, int]


@dataclass
class PlainMapper:
    """Each entry is a line of the stream {tag=...}: its msgpack, or its log if it has one."""

    calls: list[tuple[bytes, Mapping[str, object], bytes]] = field(default_factory=list)

    def __call__(
        self, tag: bytes, option: Mapping[str, object], entries: bytes, *, now: int, tenant: str
    ) -> PlainMapped:
        self.calls.append((tag, option, entries))
        unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=0)
        unpacker.feed(entries)
        builder = BatchBuilder()
        stream = builder.add_stream((("tag", tag.decode("utf-8", "replace")),))
        bad = 0
        try:
            for entry in unpacker:
                if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict):
                    builder.add(stream, now, entry[1].get(b"log", msgpack.packb(entry[1])))
                else:
                    bad += 1
        except ValueError:
            bad += 1
        return PlainMapped({tenant: builder.build()}, {"entry": bad} if bad else {})


class Door:
    """What a test talks to."""

    def __init__(self, store: Any, mapper: Any, **forward: Any) -> None:
        self.store, self.mapper = store, mapper
        others = {group: forward.pop(group, {}) for group in ("server", "limits", "auth", "tls")}
        settings = Settings.model_validate({"forward": {"listen": "127.0.0.1:0", **forward}, **others})
        self.gateway = Gateway(
            settings=settings,
            metrics=Metrics("1.2.3"),
            stream_states=TenantStreams(),
            queries=QueryPool(1, 1),
            ingest=ByteBudget(settings.server.ingest_in_flight, settings.server.push_wait / 1e9),
        )
        self.gateway.opened(store)
        sockets = open_sockets(settings)
        assert sockets is not None
        self.listener = ForwardListener(self.gateway, sockets, mapper)
        self.port = int(self.listener.address.rpartition(":")[2])

    @property
    def figures(self) -> ForwardFigures:
        return self.gateway.forward

    async def connect(self, context: ssl.SSLContext | None = None) -> Sender:
        return Sender(*await asyncio.open_connection("127.0.0.1", self.port, ssl=context))

    async def replay(self, data: bytes) -> bytes:
        """Sends bytes, ends the sending, and gives what came until the server closed."""
        sender = await self.connect()
        sender.write(data)
        sender.writer.write_eof()
        return await sender.rest()


class Sender:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="surrogateescape")

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, *message: Any) -> None:
        self.writer.write(msgpack.packb(message))

    async def receive(self) -> Any:
        """The next object from the server."""
        async with asyncio.timeout(20):
            while True:
                for found in self._unpacker:
                    return found
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError
                self._unpacker.feed(data)

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(20):
            data = await self.reader.read()
        self.writer.close()
        return data

    async def gone(self) -> bool:
        """Whether the server ended the connection, cleanly or not."""
        try:
            return await self.rest() == b""
        except ConnectionError:
            return True


async def until(true: Callable[[], bool]) -> None:
    """Waits for something that is on its way; fails after a generous time."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is waited for is a figure, which tells nobody that it changes
            await asyncio.sleep(0.005)


@asynccontextmanager
async def open_door(store: Any = None, mapper: Any = None, **forward: Any) -> AsyncIterator[Door]:
    """A door for the length of an `async with`; at its end nothing of it may be left over."""
    door = Door(store or HeldStore(), mapper or PlainMapper(), **forward)
    await door.listener.start()
    try:
        yield door
    finally:
        stopped = await door.listener.stop(10)
        door.gateway.queries.close()
    assert stopped
    assert door.gateway.ingest.used == 0
    assert (door.figures.unsettled, door.figures.buffered, door.figures.connections) == (0, 0, 0)
