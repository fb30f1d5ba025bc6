"""One connection's ordinary requests, one at a time: the way of every push.

h11 and hypercorn's streams cost more than the push they carry (docs/adr/0006). So ordinary requests (head.py) are read
here; the first that is not, and all that follows it, is handed to hypercorn with every byte that came: chunked bodies,
HTTP/1.0, `Expect`, `Connection: close`, upgrades, HTTP/2, long heads, and all that is no HTTP. Invariant: a connection
is handed over only between two requests.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Protocol, cast

from starlette.types import ASGIApp

from gateway.http1.head import may_become_ordinary, read_head
from gateway.http1.turn import Turn

MOST_BEGUN = 16 << 10
"""Bytes of a head that came in pieces and is still not whole, past which hypercorn reads it."""

MOST_AHEAD = 16 << 10
"""Bytes of requests that came before the one at hand is answered, past which the socket is left alone."""

MOST_HELD = 256 << 10
"""Bytes of a body that the app has not taken, past which the socket is left alone."""

GOODBYE = 1.0
"""Seconds in which a client of TLS may answer the end of an idle connection when the server stops."""


class Host(Protocol):
    """What a connection needs of the listener."""

    app: ASGIApp
    keep_alive: float
    stopping: bool

    def joined(self, connection: Connection, transport: asyncio.Transport) -> bool:
        """A client has come. False: it was turned away, and the transport is no longer the connection's."""

    def hand_over(self, connection: Connection, transport: asyncio.Transport, came: bytes, ended: bool) -> None:
        """From here on it is hypercorn's; `came` was not answered, and is the last of it if `ended`."""

    def left(self, connection: Connection) -> None:
        """Client and app are done with it."""


class Connection(asyncio.Protocol):
    """One client, from its coming to its leaving or to the first request that is not ordinary."""

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._host = host
        self.transport: asyncio.Transport
        self.scheme = "http"
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int] | None = None
        self._turn: Turn | None = None
        self._task: asyncio.Task[None] | None = None
        self._rest = b""
        self._ended = False
        self._paused = False
        self._room: asyncio.Event | None = None
        self._idle_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self.transport = cast("asyncio.Transport", transport)
        if not self._host.joined(self, self.transport):
            return
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = "https"
        self.client = _address(transport.get_extra_info("peername"))
        self.server = _address(transport.get_extra_info("sockname"))
        self._idle_since = self.loop.time()
        self._timer = self.loop.call_later(self._host.keep_alive, self._look_at_idleness)

    def data_received(self, data: bytes) -> None:
        """Bytes of the body that is coming, of the next request, or of both."""
        turn = self._turn
        if turn is not None and turn.missing:
            taken = turn.feed(data)
            data = data[taken:]
        if data:
            self._rest = self._rest + data if self._rest else data
            if turn is None:
                self._next()
        self.balance()

    def eof_received(self) -> bool:
        """The client sends no more. What it asked before is answered, but not over TLS, which asyncio closes then."""
        self._ended = True
        if self._turn is None:
            return False
        self._turn.leave()
        return self.scheme == "http"

    def connection_lost(self, _exc: Exception | None) -> None:
        """The socket is gone; the app may still be at work."""
        self._ended = True
        self._rest = b""
        self._stop_timer()
        if self._turn is not None:
            self._turn.leave()
        self.resume_writing()
        if self._task is None or self._task.done():
            self._host.left(self)
        else:
            self._task.add_done_callback(lambda _: self._host.left(self))

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        self._room = asyncio.Event()

    def resume_writing(self) -> None:
        """It has caught up, or gone."""
        if self._room is not None:
            self._room.set()
            self._room = None

    # -- what its turns call: a Way

    @property
    def app(self) -> ASGIApp:
        """Answers its requests."""
        return self._host.app

    async def room(self) -> None:
        """Waits until the client has read enough of what it was sent."""
        while self._room is not None:
            await self._room.wait()

    def balance(self) -> None:
        """Reads from the socket, or not, as what waits to be worked on allows."""
        much = len(self._rest) > MOST_AHEAD or (self._turn is not None and self._turn.held > MOST_HELD)
        if much is not self._paused and not self.transport.is_closing():
            self._paused = much
            if much:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def answered(self, *, goes_on: bool) -> None:
        """The turn's answer is out."""
        self._turn = None
        if not goes_on or self._host.stopping:
            self.close()
            return
        self._idle_since = self.loop.time()
        if self._rest:
            self._next()
        elif self._ended:
            self.close()
        if self._paused:
            self.balance()

    # -- what the listener calls

    def close(self) -> None:
        """Ends the connection once what was written is sent."""
        with suppress(OSError, RuntimeError):  # the client was quicker
            self.transport.write_eof()
        self.transport.close()

    def close_if_idle(self) -> None:
        """Ends the connection if no request is being answered."""
        if self._turn is None:
            self.close()
            if self.scheme == "https":  # a client that keeps connections for later does not read our goodbye
                self.loop.call_later(GOODBYE, self.transport.abort)

    def cut(self) -> None:
        """Ends it and what the app does for it."""
        if self._task is not None:
            self._task.cancel()
        self.transport.abort()

    # -- inside

    def _next(self) -> None:
        """Begins the next request if its head is whole."""
        came = self._rest
        end = came.find(b"\n\r\n") + 3
        if end < 3:
            if len(came) > MOST_BEGUN or not may_become_ordinary(came):
                self._hand_over()
            elif self._ended:
                self.close()
            return
        head = read_head(came[:end])
        if head is None:
            self._hand_over()
            return
        turn = self._turn = Turn(self, head)
        rest = came[end:]
        self._rest = rest[turn.feed(rest) :] if rest and head.length else rest
        turn.task = self._task = self.loop.create_task(turn.run())
        if self._ended:
            turn.leave()

    def _hand_over(self) -> None:
        self._stop_timer()
        if self._paused:
            self.transport.resume_reading()
        came, self._rest = self._rest, b""
        self._host.hand_over(self, self.transport, came, self._ended)

    def _look_at_idleness(self) -> None:
        """One timer a connection, not one a request: it looks when the client came to rest, and sleeps again."""
        since = self._idle_since if self._turn is None else self.loop.time()
        wait = since + self._host.keep_alive - self.loop.time()
        if wait <= 0:
            self.close()
        else:
            self._timer = self.loop.call_later(wait, self._look_at_idleness)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _address(name: Any) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
