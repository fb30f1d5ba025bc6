"""A wire between two servers that can be cut: a TCP proxy whose faults change while it carries.

Its address stays, whatever port the server behind it has after a restart.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

PIECE = 1 << 16
"""Bytes that are carried at a time."""


class Fault(Enum):
    """What is wrong with a wire."""

    NONE = "everything passes"
    DROP = "connections are reset, and so are new ones"
    STALL = "connections stay and nothing passes, in either direction"
    NO_ANSWERS = "requests pass, answers do not"
    CUT = "a few bytes of an answer pass, then its connection is reset"


class Wire:
    """The way to one server. What happens with it is done in a thread of its own."""

    def __init__(self) -> None:
        self.fault = Fault.NONE
        self.carried = 0
        """Bytes of answers that passed."""
        self.held = 0
        """Bytes of answers that were kept back, or thrown away, since the fault began."""
        self._allowance = 0
        self._target: tuple[str, int] | None = None
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._connections: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire")
        self._thread.start()
        self._server = self._do(self._listen())
        self.url = "http://{}:{}".format(*self._server.sockets[0].getsockname())

    def to(self, url: str) -> None:
        """Where it leads from now on; connections that there are stay where they lead."""
        where = urlsplit(url)
        assert where.hostname is not None
        assert where.port is not None
        self._target = where.hostname, where.port

    def suffer(self, fault: Fault, *, answer_bytes: int = 0) -> None:
        """What is wrong with it from now on; `answer_bytes` pass before CUT cuts."""
        self._do(self._suffer(fault, answer_bytes))

    def close(self) -> None:
        """Ends it, and all connections."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _close(self) -> None:
        self._server.close()
        self._reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _suffer(self, fault: Fault, answer_bytes: int) -> None:
        self.fault, self.held, self._allowance = fault, 0, answer_bytes
        # Those who wait look again; what was kept back is let go, in order, when everything passes.
        self._changed.set()
        self._changed = asyncio.Event()
        if fault is Fault.DROP:
            self._reset()

    def _reset(self) -> None:
        for pair in tuple(self._connections):
            for writer in pair:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault is Fault.DROP or self._target is None:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = writer, far_writer
        self._connections.add(pair)
        ways = [
            asyncio.ensure_future(self._requests(reader, far_writer)),
            asyncio.ensure_future(self._answers(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connections.discard(pair)
            for way in ways:
                way.cancel()
            for each in pair:
                each.close()  # what is written already still goes out

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                while self.fault is Fault.STALL:
                    await self._changed.wait()
                writer.write(piece)
                await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                if self.fault in (Fault.STALL, Fault.NO_ANSWERS):
                    self.held += len(piece)
                while self.fault in (Fault.STALL, Fault.NO_ANSWERS):
                    await self._changed.wait()
                if self.fault is Fault.CUT and len(piece) >= self._allowance:
                    self.held += len(piece) - self._allowance
                    writer.write(piece[: self._allowance])
                    self._allowance = 0
                    with suppress(TimeoutError):
                        await asyncio.wait_for(writer.drain(), 1)
                    writer.transport.abort()
                    return
                self._allowance -= len(piece)
                writer.write(piece)
                await writer.drain()
                self.carried += len(piece)
