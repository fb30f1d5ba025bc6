"""The two directions of a connection's socket: bytes into an inbox, acknowledgements out.

In place of asyncio's streams, which copy what comes four times and wake their reader for every piece of it: a chunk of
events comes in several, and only the last one makes it whole.
"""

from __future__ import annotations

import asyncio
from typing import cast

from gateway.forward.wire import Inbox

READ_BYTES = 256 << 10
"""Read from a connection at a time, at most; and kept of it while nobody waits for more."""


class Incoming(asyncio.BufferedProtocol):
    """A connection's socket. Used on the event loop's thread alone.

    Attributes:
        inbox: where bytes go.
        received: bytes that have come.
        last_read: seconds of the event loop's clock at which bytes came last.
        transport: of the connection.
    """

    def __init__(self, inbox: Inbox, scratch: memoryview) -> None:
        """`scratch`: READ_BYTES that all connections of a loop share, as no two of them read at once."""
        self.inbox = inbox
        self.received = 0
        self.transport: asyncio.Transport
        self._scratch = scratch
        self._loop = asyncio.get_running_loop()
        self.last_read = self._loop.time()
        self._enough = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended = self._paused = self._full = self._woken = self._discarding = False
        self._lost: OSError | None = None

    # -- what the reader calls

    async def more(self, seconds: float | None) -> bool:
        """Waits until it is worth to look into the inbox again, or somebody calls `wake`.

        Args:
            seconds: to wait at most, None for ever.

        Returns:
            False: there will be no more.

        Raises:
            TimeoutError: nothing came for so long.
            OSError: the connection broke.
        """
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        self._enough = self.inbox.enough
        if len(self.inbox) < self._enough and not self._ended and not self._woken:
            self._reader = self._loop.create_future()
            self._set_timer(seconds)
            try:
                await self._reader
            finally:
                self._reader = None
        self._woken = False
        if len(self.inbox) >= self._enough:
            return True
        if self._lost is not None:
            raise self._lost
        return not self._ended

    def wake(self) -> None:
        """Ends a wait for more, or the next one."""
        self._woken = True
        self._wake()

    async def discard(self) -> None:
        """Reads to the end and forgets it."""
        self._discarding = True
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        while not self._ended:
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def write(self, data: bytes) -> None:
        """Sends at once what the socket takes, the rest later.

        Raises:
            ConnectionResetError: the connection is gone.
        """
        if self._lost is not None or self.transport.is_closing():
            raise ConnectionResetError("the connection is gone")
        self.transport.write(data)

    @property
    def is_full(self) -> bool:
        """Whether the client does not read what was written."""
        return self._full

    async def drain(self) -> None:
        """Waits while the client does not read what was written. Raises OSError if the connection broke."""
        while self._full and not self.transport.is_closing():
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        if self._lost is not None:
            raise self._lost

    def close(self) -> None:
        """Ends the connection; what the client has not read by now it does not get."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.transport.is_closing():
            if self.transport.get_write_buffer_size():
                self.transport.abort()
            self.transport.close()

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = cast("asyncio.Transport", transport)  # with TLS it is not one by its class

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where to put what comes."""
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        """It came."""
        self.received += nbytes
        self.last_read = self._loop.time()
        if self._discarding:
            return
        self.inbox.feed(self._scratch[:nbytes])
        if self._reader is not None:
            if len(self.inbox) >= self._enough:
                self._wake()
        elif len(self.inbox) > READ_BYTES and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more. Plain connections stay open for what it still gets."""
        self._ended = True
        self._wake()
        return self.transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes or goes any more."""
        self._ended = True
        if exc is not None:
            self._lost = exc if isinstance(exc, OSError) else ConnectionResetError(str(exc))
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """It does again, or never will."""
        self._full = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    # -- waiting

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _set_timer(self, seconds: float | None) -> None:
        """One timer serves many waits: that most of them end long before their time costs nothing."""
        self._deadline = float("inf") if seconds is None else self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and seconds is not None:
            self._timer = self._loop.call_at(self._deadline, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        if self._reader is None or self._reader.done() or self._deadline == float("inf"):
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_time)
        else:
            self._reader.set_exception(TimeoutError())
