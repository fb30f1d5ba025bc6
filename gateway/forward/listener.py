"""The sockets of Fluent Forward: TCP, plain or TLS, and the UDP heartbeat on the same port.

The TCP socket listens from the server's first moment and is served once the store is open: senders that start together
with the server are not refused, and what they send waits in the kernel.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter as Tally
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Self, cast

from config.forward import OFF, PORT
from config.settings import Settings
from gateway.forward.buffers import Buffers
from gateway.forward.figures import ForwardFigures
from gateway.forward.handshake import Doorkeeper, own_hostname
from gateway.forward.incoming import READ_BYTES, Incoming
from gateway.forward.intake import Intake, Mapper
from gateway.forward.session import Session, first_inbox
from gateway.listener import CannotListen
from gateway.logs import event
from gateway.state import Gateway
from gateway.tls import BadTls, Tls, forward_tls

_log = logging.getLogger("weir.forward")

BACKLOG = 1024
"""Connections the kernel keeps for us: Fluentd makes one for every chunk."""

HEARTBEAT_BYTES = 128
"""Longest heartbeat; anything larger is none."""

PORT_TRIES = 20
"""Free TCP ports tried until one is free for UDP too."""

_ACCEPT_PAUSE = 0.2
"""Seconds until the next try when the system has no more files for connections."""

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""A peer that is gone is noticed after two minutes."""

_NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Sockets:
    """What the door listens on.

    Attributes:
        tcp: listening.
        udp: bound to the same address.
        tls: how connections are wrapped; None: not at all. Its context may change.
        address: `host:port`, with the port the kernel gave.
    """

    tcp: socket.socket
    udp: socket.socket
    tls: Tls | None
    address: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes both."""
        self.tcp.close()
        self.udp.close()


def open_sockets(settings: Settings) -> Sockets | None:
    """Binds what `forward.listen` says and listens; None where the door is off, or its usual port is taken.

    Nor is there a door where auth.enabled is on and senders would have nothing to prove: the log says so.

    Raises:
        CannotListen: an address that was asked for cannot be had, or the TLS files cannot be used.
    """
    forward = settings.forward
    if forward.listen == OFF:
        return None
    tls = _tls(settings)
    wants_certificates = tls is not None and tls.wants_certificates
    if settings.auth.enabled and not forward.shared_key.get_secret_value() and not wants_certificates:
        event(
            _log,
            logging.WARNING,
            "Fluent Forward is off: auth.enabled is on, and senders would have nothing to prove; set "
            "forward.shared_key, or tls.cert and tls.client_ca (or forward.tls_cert and forward.tls_client_ca)",
        )
        return None
    host, port = forward.address or (settings.server.address[0], PORT)
    try:
        return _bind(host, port, tls)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            reason = "the port is in use by another program"
        text = f"cannot listen on {_shown(host, port)} for Fluent Forward: {reason}"
        if forward.address is not None:
            raise CannotListen(text) from error
        event(_log, logging.WARNING, f"{text}; going on without it (--forward HOST:PORT chooses another, off none)")
        return None


def _bind(host: str, port: int, tls: Tls | None) -> Sockets:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    for tries_left in reversed(range(PORT_TRIES)):
        tcp, udp = socket.socket(family, socket.SOCK_STREAM), socket.socket(family, socket.SOCK_DGRAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(address)
            given = tcp.getsockname()
            udp.bind(given)
            tcp.listen(BACKLOG)
        except OSError:
            tcp.close()
            udp.close()
            if port or not tries_left:
                raise
            continue
        tcp.setblocking(False)
        udp.setblocking(False)
        return Sockets(tcp, udp, tls, _shown(*given[:2]))
    raise AssertionError  # the last try returns or raises


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tls(settings: Settings) -> Tls | None:
    try:
        return forward_tls(settings)
    except BadTls as error:
        raise CannotListen(f"{error} (for Fluent Forward)") from error


class ForwardListener:
    """Accepts connections and answers heartbeats until told to stop."""

    def __init__(self, gateway: Gateway, sockets: Sockets, mapper: Mapper, bound: Mapper | None = None) -> None:
        """`bound`: maps entries of senders whose keys are for one tenant; it finds no other in them."""
        self._gateway = gateway
        self._settings = gateway.settings.forward
        self._sockets = sockets
        self._figures = gateway.forward
        self._intake = Intake(gateway, mapper)
        self._bound_mapper = bound or mapper
        self._bound: dict[str, Intake] = {}
        self._buffers = Buffers(self._settings.max_buffered, gateway.forward)
        self._doorkeeper = _doorkeeper(gateway)
        self._tasks: dict[asyncio.Task[None], Session | None] = {}
        self._by_address: Tally[str] = Tally()
        self._accepting: asyncio.Task[None] | None = None
        self._heartbeats: asyncio.DatagramTransport | None = None
        self._stopping = False
        self._scratch = memoryview(bytearray(READ_BYTES))

    @property
    def address(self) -> str:
        """`host:port`."""
        return self._sockets.address

    @property
    def wants_certificates(self) -> bool:
        """Whether senders must show a certificate."""
        return self._sockets.tls is not None and self._sockets.tls.wants_certificates

    async def start(self) -> None:
        """Begins to accept."""
        loop = asyncio.get_running_loop()
        self._heartbeats, _ = await loop.create_datagram_endpoint(
            lambda: _Heartbeats(self._figures), sock=self._sockets.udp
        )
        self._accepting = loop.create_task(self._accept())
        self._figures.listening = True

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._sockets.tcp)
            except OSError as error:
                event(_log, logging.ERROR, f"cannot accept a connection: {error}")
                await asyncio.sleep(_ACCEPT_PAUSE)
                continue
            self._figures.accepted += 1
            host = str(address[0])
            if (refusal := self._refusal(host)) is not None:
                connection.close()
                self._tell(refusal, f"more connections than forward.{refusal}", _shown(host, address[1]))
                continue
            task = loop.create_task(self._serve(connection, _shown(host, address[1])))
            self._tasks[task] = None
            self._by_address[host] += 1
            self._figures.connections = len(self._tasks)
            task.add_done_callback(partial(self._left, host))

    def _refusal(self, host: str) -> str | None:
        if len(self._tasks) >= self._settings.max_connections:
            return "max_connections"
        if self._by_address[host] >= self._settings.max_connections_per_address:
            return "max_connections_per_address"
        return None

    def _left(self, host: str, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._figures.connections = len(self._tasks)
        self._by_address[host] -= 1
        if not self._by_address[host]:
            del self._by_address[host]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._figures.closed["internal"] += 1
            event(_log, logging.ERROR, "a forward connection ended in an unexpected exception", exc_info=error)

    async def _serve(self, connection: socket.socket, client: str) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        incoming = Incoming(first_inbox(self._settings, self._doorkeeper), self._scratch)
        tls = self._sockets.tls
        try:
            await loop.connect_accepted_socket(
                lambda: incoming,
                connection,
                ssl=tls.context if tls is not None else None,
                ssl_handshake_timeout=self._settings.handshake_timeout / _NS_PER_SECOND if tls is not None else None,
            )
        except ssl.SSLError as error:
            self._gateway.gate.failures["forward", "tls"] += 1
            self._tell("tls", f"no TLS: {error.reason or error}", client)
            return
        except ConnectionAbortedError:  # how asyncio says that the handshake took too long
            self._tell("handshake_timeout", "no TLS within forward.handshake_timeout", client)
            return
        except OSError:
            return  # a probe of the port
        session = Session(
            incoming,
            client,
            self._settings,
            self._intake,
            self._buffers,
            self._doorkeeper,
            self._figures,
            self._intake_of,
        )
        task = asyncio.current_task()
        assert task is not None  # this is one
        self._tasks[task] = session
        if self._stopping:
            session.stop()
        await session.run()

    def _intake_of(self, tenant: str) -> Intake:
        """The way to the store of senders whose keys are for one tenant."""
        if tenant not in self._bound:
            self._bound[tenant] = Intake(self._gateway, self._bound_mapper, tenant)
        return self._bound[tenant]

    def _close_intakes(self) -> None:
        for intake in (self._intake, *self._bound.values()):
            intake.close()

    def _tell(self, reason: str, text: str, client: str) -> None:
        self._figures.closed[reason] += 1
        self._intake.lost(reason, text, client.rpartition(":")[0] or client)
        event(_log, logging.WARNING, f"forward connection closed: {text}", reason=reason, client=client)

    # -- the end

    async def stop(self, seconds: float) -> bool:
        """Stops accepting; lets every connection end its message and get its acknowledgements.

        Returns:
            Whether all ended within `seconds`.
        """
        self._stopping = True
        self._figures.listening = False
        if self._accepting is not None:
            self._accepting.cancel()
            with suppress(asyncio.CancelledError):
                await self._accepting
        if self._heartbeats is not None:
            self._heartbeats.close()
        self._sockets.close()
        for session in self._tasks.values():
            if session is not None:
                session.stop()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)
        self._close_intakes()
        return not self._tasks

    async def cut(self) -> int:
        """Ends the connections that are left; how many there were."""
        left = tuple(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1.0)
        self._close_intakes()
        return len(left)


class _Heartbeats(asyncio.DatagramProtocol):
    """Answers each heartbeat with one byte from the port it came to, which is how Fluentd knows it."""

    def __init__(self, figures: ForwardFigures) -> None:
        self._figures = figures
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # not one by its class, but it sends

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and 0 < len(data) <= HEARTBEAT_BYTES:
            self._figures.heartbeats += 1
            self._transport.sendto(b"\0", addr)

    def error_received(self, exc: Exception) -> None:
        """A sender that is gone by now; nothing is owed to it."""


def _doorkeeper(gateway: Gateway) -> Doorkeeper | None:
    forward = gateway.settings.forward
    if not forward.secured:
        return None
    users = {name.encode(): password.encode() for name, password in forward.passwords.items()}
    shared_key = forward.shared_key.get_secret_value().encode()
    keys = gateway.gate if gateway.settings.auth.enabled and shared_key else None
    return Doorkeeper(shared_key, users, own_hostname(), keys)
