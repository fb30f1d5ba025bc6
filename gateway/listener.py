"""The listening socket and its connections: hypercorn's protocol, our own bounds and our own end.

hypercorn's worker takes any number of connections, and from Python 3.12 on its shutdown waits without limit for
connections in use. So connections are accepted, counted and ended here; what is said on them is hypercorn's.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import suppress
from typing import Any, cast

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Event, RawData
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

from config import Settings
from gateway.metrics import Metrics

BACKLOG = 1024
"""Connections the kernel keeps for us while the loop is busy; hypercorn's 100 drops clients in a burst."""

MAX_HEAD = 512 * 1024
"""Bytes of request line and headers: a LogQL query of 128 KiB, escaped, is a long URL."""

WEBSOCKET_PING = 1.0
"""Seconds; as Loki's tail."""

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


def url_of(bound: socket.socket) -> str:
    """`http://host:port` of a bound socket, with the port the kernel gave."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
    """One connection, until its client leaves.

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
    """Accepts connections until told to stop."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, bound: socket.socket) -> None:
        self._config = hypercorn_config(settings)
        self._app = wrap_app(cast("Any", app), self._config.wsgi_max_body_size, "asgi")
        self._limit = settings.server.max_connections
        self._metrics = metrics
        self._socket = bound
        self._context = WorkerContext(None)
        self._connections: set[asyncio.Task[None]] = set()
        self._refusals = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begins to accept."""
        self._server = await asyncio.start_server(self._accept, sock=self._socket, backlog=BACKLOG)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self._limit:
            await self._refuse(reader, writer)
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._metrics.connections = len(self._connections)
        loop = asyncio.get_running_loop()
        try:
            # Whoever cancels it, this is its task's end; asyncio before 3.12 logs a traceback for a cancelled one.
            with suppress(asyncio.CancelledError):
                await _Connection(self._app, loop, self._config, self._context, {}, reader, writer)
        finally:
            self._connections.discard(task)
            self._metrics.connections = len(self._connections)

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._metrics.connection_refused()
        if self._refusals < MAX_REFUSALS:
            self._refusals += 1
            try:
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(REFUSAL_WAIT):
                        writer.write(_REFUSAL)
                        await writer.drain()
                        writer.write_eof()
                        while await reader.read(65536):
                            pass
            finally:
                self._refusals -= 1
        writer.close()

    async def stop(self, seconds: float) -> bool:
        """Stops accepting, closes idle connections, lets the others end; closes what is left after `seconds`.

        Returns:
            Whether all ended by themselves.
        """
        if self._server is not None:
            self._server.close()
        await self._context.terminated.set()
        left = set(self._connections)
        if left:
            _, left = await asyncio.wait(left, timeout=seconds)
        return not left

    async def cut(self) -> None:
        """Ends the connections that are left."""
        left = set(self._connections)
        for task in left:
            task.cancel()
        if left:
            # A second is plenty for cancellation; a connection that resists it dies with the process.
            await asyncio.wait(left, timeout=1.0)
