"""Connections of the HTTP door that begin with a TLS handshake.

Each one is accepted and shakes hands here, in a task of its own, so that the next uses the certificate that is in force
then, and so that one that fails is counted; asyncio's servers do neither.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from gateway.logs import event
from gateway.state import Gateway
from gateway.tls import Tls

_log = logging.getLogger("weir.tls")

HANDSHAKE = 10.0
"""Seconds for a handshake."""

SHUTDOWN = 5.0
"""Seconds in which a client is to take the end of what it was sent and to say goodbye."""

_ACCEPT_PAUSE = 0.2
"""Seconds until the next try when the system has no more files for connections."""


class Handshakes:
    """Accepts connections and makes them TLS."""

    def __init__(self, tls: Tls, gateway: Gateway) -> None:
        self._tls = tls
        self._gateway = gateway
        self._under_way: set[asyncio.Task[None]] = set()

    async def accept(
        self, bound: socket.socket, make: Callable[[], asyncio.Protocol], has_room: Callable[[int], bool]
    ) -> None:
        """Accepts until it is cancelled; then ends handshakes under way.

        Args:
            bound: listening.
            make: a protocol for a connection that has shaken hands.
            has_room: given how many handshakes are under way, whether one more may begin.
        """
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, address = await loop.sock_accept(bound)
                except OSError as error:
                    event(_log, logging.ERROR, f"cannot accept a connection: {error}")
                    await asyncio.sleep(_ACCEPT_PAUSE)
                    continue
                if not has_room(len(self._under_way)):
                    connection.close()
                    continue
                task = loop.create_task(self._shake_hands(connection, str(address[0]), make))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
        finally:
            for task in tuple(self._under_way):
                task.cancel()

    async def _shake_hands(self, connection: socket.socket, client: str, make: Callable[[], asyncio.Protocol]) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                make,
                connection,
                ssl=self._tls.context,
                ssl_handshake_timeout=HANDSHAKE,
                ssl_shutdown_timeout=SHUTDOWN,
            )
        except ssl.SSLError as error:
            self._refused(error, client)
        except OSError:
            return  # it left, or took too long: a probe of the port

    def _refused(self, error: ssl.SSLError, client: str) -> None:
        gateway = self._gateway
        gateway.gate.failures["http", "tls"] += 1
        skipped = gateway.not_let_in.skipped(client, "http tls")
        if skipped is not None:
            why = error.reason or error
            event(_log, logging.WARNING, f"no TLS: {why}", client=client, more_like_it=skipped)
