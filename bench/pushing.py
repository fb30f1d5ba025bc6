"""A cheap client for pushes: requests made ahead, raw sockets, one thread. It shares the machine with the server."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator, Sequence

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

PUSH = "/loki/api/v1/push"

_ANSWER = 64 << 10
_LENGTH = b"content-length:"


def http_push(body: bytes, content_type: str, path: str = PUSH) -> bytes:
    """The bytes of a push request."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Connection:
    """One kept-alive connection that sends a request once the one before it is answered."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._unsent = memoryview(b"")
        self._answer = b""
        self._began = 0.0

    def begin(self, request: bytes) -> None:
        self._unsent, self._answer, self._began = memoryview(request), b"", time.monotonic()
        self.send()

    def send(self) -> None:
        """Sends what the socket takes."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            return

    @property
    def events(self) -> int:
        return selectors.EVENT_READ | selectors.EVENT_WRITE if self._unsent else selectors.EVENT_READ

    def receive(self) -> float | None:
        """Seconds the request took, or None while its answer is not whole. Raises RuntimeError unless it is 2xx."""
        try:
            got = self.socket.recv(_ANSWER)
        except BlockingIOError:
            return None
        self._answer += got
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            if got:
                return None
            raise RuntimeError(f"an answer was cut short: {self._answer[:400]!r}")
        if not head.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(f"a push was refused: {self._answer[:400]!r}")
        length = head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
        return None if got and len(body) < int(length or 0) else time.monotonic() - self._began


def push_all(port: int, requests: Sequence[bytes], connections: int) -> list[float]:
    """Sends all requests, each connection one at a time.

    Args:
        port: of the server on this machine.
        requests: as of http_push.
        connections: kept busy until nothing is left.

    Returns:
        Seconds that each took, in the order of their answers.

    Raises:
        RuntimeError: a push was not answered 2xx.
    """
    left: Iterator[bytes] = iter(requests)
    took: list[float] = []
    with selectors.DefaultSelector() as selector:
        open_ones = [_Connection(port) for _ in range(min(connections, len(requests)))]
        try:
            for connection in open_ones:
                connection.begin(next(left))
                selector.register(connection.socket, connection.events, connection)
            while len(took) < len(requests):
                for key, event in selector.select():
                    connection = key.data
                    if event & selectors.EVENT_WRITE:
                        connection.send()
                    if event & selectors.EVENT_READ and (seconds := connection.receive()) is not None:
                        took.append(seconds)
                        if (request := next(left, None)) is not None:
                            connection.begin(request)
                    if connection.events != key.events:
                        selector.modify(connection.socket, connection.events, connection)
        finally:
            for connection in open_ones:
                connection.socket.close()
    return took
