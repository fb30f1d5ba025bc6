"""The listening socket and its connections: accepted, counted and ended here.

hypercorn's worker takes any number of connections, and from Python 3.12 on its shutdown waits without limit for
connections in use. What is said on a connection is http1.py's while its requests are ordinary, then hypercorn's.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import socket
from contextlib import suppress
from functools import partial
from typing import Any, cast

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Event, RawData
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

from config import Settings
from gateway.http1 import Connection
from gateway.metrics import Metrics
from gateway.tls_accept import Handshakes

BACKLOG = 1024
"""Connections the kernel keeps for us while the loop is busy; hypercorn's 100 drops clients in a burst."""

MAX_HEAD = 512 * 1024
"""Bytes of request line and headers: a LogQL query of 128 KiB, escaped, is a long URL."""

WEBSOCKET_PING = 1.0
"""Seconds; as Loki's tail."""

CUT = "weir.cut"
"""Key of the ASGI scope's state: a function that ends a websocket's connection, with no close frame."""

REFUSAL_WAIT = 1.0
"""Seconds a refused client gets to read its 503 and close first, or the kernel would throw the answer away."""

MAX_REFUSALS = 256
"""Refusals written at once; connections past that are closed without a word."""

_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: 21\r\n\r\ntoo many connections\n"
)
_NS_PER_SECOND = 1_000_000_000


class CannotListen(Exception):  # noqa: N818 - named for what happened
    """The address cannot be bound; the text says why in plain words."""


def bind(settings: Settings) -> socket.socket:
    """A socket bound to server.http, not listening yet.

    Raises:
        CannotListen: the port is taken, the address is not ours, ...
    """
    host, port = settings.server.address
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CannotListen(f"cannot listen on {settings.server.http}: {error.strerror or error}") from error
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        reason = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            reason = "the port is in use by another program"
        raise CannotListen(f"cannot listen on {settings.server.http}: {reason}") from error
    return bound


def url_of(bound: socket.socket, scheme: str = "http") -> str:
    """`http://host:port` of a bound socket, with the port the kernel gave."""
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def hypercorn_config(settings: Settings) -> Config:
    """What hypercorn is told: its defaults break real clients."""
    config = Config()
    config.backlog = BACKLOG
    config.keep_alive_timeout = settings.server.keep_alive / _NS_PER_SECOND
    # Log shippers keep one connection for weeks; closing it every 1,000 requests races with their next push.
    config.keep_alive_max_requests = 2**31
    config.graceful_timeout = settings.server.shutdown_timeout / _NS_PER_SECOND
    config.h11_max_incomplete_size = MAX_HEAD
    config.websocket_ping_interval = WEBSOCKET_PING
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    return config


class _Connection(TCPServer):
    """One connection that hypercorn serves, until its client leaves.

    hypercorn's own lives on until its idle timer ends: clients that connect anew for every push would fill
    server.max_connections. And it goes on answering what was pipelined before a client broke off: a thousand requests
    of a few bytes, each of whose answers is kept by the one exception that every further write raises.
    """

    async def run(self) -> None:
        self._task = asyncio.current_task()
        await super().run()

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData) and self.writer.transport.is_closing():
            if self._task is not None:
                self._task.cancel()
            return
        await super().protocol_send(event)


class Listener:
    """Accepts connections until told to stop. A connection's Host."""

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, bound: socket.socket, tls: Handshakes | None = None
    ) -> None:
        self.app = app
        self.keep_alive = settings.server.keep_alive / _NS_PER_SECOND
        self.stopping = False
        self._config = hypercorn_config(settings)
        self._wrapped = wrap_app(cast("Any", app), self._config.wsgi_max_body_size, "asgi")
        self._limit = settings.server.max_connections
        self._metrics = metrics
        self._socket = bound
        self._tls = tls
        self._context = WorkerContext(None)
        self._open: set[Connection | asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._refusals: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._accepting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to accept."""
        loop = asyncio.get_running_loop()
        if self._tls is not None:
            self._socket.listen(BACKLOG)
            make = partial(Connection, self, loop)
            self._accepting = loop.create_task(self._tls.accept(self._socket, make, self._has_room))
            return
        self._server = await loop.create_server(lambda: Connection(self, loop), sock=self._socket, backlog=BACKLOG)

    # -- what connections call

    def joined(self, connection: Connection, transport: asyncio.Transport) -> bool:
        """Takes a client in, or turns it away (False) when there are server.max_connections."""
        if len(self._open) < self._limit:
            self._add(connection)
            return True
        self._metrics.connection_refused()
        if len(self._refusals) < MAX_REFUSALS:
            task = connection.loop.create_task(_refuse(*_streams(transport, connection.loop)))
            self._refusals.add(task)
            task.add_done_callback(self._refusals.discard)
        else:
            transport.close()
        return False

    def hand_over(self, connection: Connection, transport: asyncio.Transport, came: bytes, ended: bool) -> None:
        """Lets hypercorn serve the rest of a connection, from the bytes on that came and were not answered."""
        reader, writer = _streams(transport, connection.loop)
        reader.feed_data(without_extensions(came))
        if ended:
            reader.feed_eof()
        task = connection.loop.create_task(self._by_hypercorn(reader, writer))
        self._add(task)
        self._remove(connection)
        task.add_done_callback(self._remove)

    def left(self, connection: Connection) -> None:
        """Forgets a client."""
        self._remove(connection)

    def _has_room(self, handshakes: int) -> bool:
        """Whether a connection may begin its handshake while others are at theirs."""
        if len(self._open) + handshakes < self._limit + MAX_REFUSALS:
            return True
        self._metrics.connection_refused()
        return False

    def _add(self, one: Connection | asyncio.Task[None]) -> None:
        self._open.add(one)
        self._metrics.connections = len(self._open)

    def _remove(self, one: Connection | asyncio.Task[None]) -> None:
        self._open.discard(one)
        self._metrics.connections = len(self._open)
        if not self._open:
            self._empty.set()

    async def _by_hypercorn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        # Whoever cancels it, this is its task's end.
        with suppress(asyncio.CancelledError):
            state = {CUT: writer.transport.abort}
            await _Connection(self._wrapped, loop, self._config, self._context, state, reader, writer)

    # -- the end

    async def stop(self, seconds: float) -> bool:
        """Stops accepting, closes idle connections, lets the others end; leaves what is left after `seconds`.

        Returns:
            Whether all ended by themselves.
        """
        if self._server is not None:
            self._server.close()
        if self._accepting is not None:
            self._accepting.cancel()
            with suppress(asyncio.CancelledError):
                await self._accepting
            self._socket.close()
        self.stopping = True
        await self._context.terminated.set()
        for one in tuple(self._open):
            if isinstance(one, Connection):
                one.close_if_idle()
        return await self._emptied(seconds)

    async def cut(self) -> None:
        """Ends the connections that are left."""
        for one in tuple(self._open):
            if isinstance(one, Connection):
                one.cut()
            else:
                one.cancel()
        # A second is plenty for cancellation; a connection that resists it dies with the process.
        await self._emptied(1.0)

    async def _emptied(self, seconds: float) -> bool:
        self._empty.clear()
        if self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
        return not self._open


_EXTENSIONS = re.compile(rb"^sec-websocket-extensions:[^\r\n]*\r?\n", re.IGNORECASE | re.MULTILINE)


def without_extensions(came: bytes) -> bytes:
    """The beginning of a connection without the extensions that its first request offers.

    A server that knows none of them takes none. hypercorn would take permessage-deflate, and compress each message of a
    tail for each of its readers anew (Loki does not compress them).
    """
    head, end, rest = came.partition(b"\r\n\r\n")
    return _EXTENSIONS.sub(b"", head + b"\r\n") + b"\r\n" + rest if end else came


def _streams(
    transport: asyncio.Transport, loop: asyncio.AbstractEventLoop
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A transport's two directions as streams, as asyncio.start_server would have made them."""
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(REFUSAL_WAIT):
            writer.write(_REFUSAL)
            await writer.drain()
            if writer.can_write_eof():  # not over TLS
                writer.write_eof()
            while await reader.read(65536):
                pass
    writer.close()
