"""A websocket client for tests, on wsproto: what a server said, with time-outs and nothing hidden."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import LocalProtocolError

NO_CLOSE_FRAME = 1006


class Socket:
    """One websocket.

    Attributes:
        status: of the handshake's answer.
        body: of a refusal.
        frames: text messages, decoded from JSON.
        texts: the same as they came.
        pings: that came, each answered.
        code: of the close frame, NO_CLOSE_FRAME without one; None while it is open.
        reason: of the close frame.
        extensions: that were agreed on.
        raw: the socket.
    """

    def __init__(
        self,
        url: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        where = urlsplit(url)
        self.raw = socket.create_connection((where.hostname or "", where.port or 80), timeout=30)
        if context is not None:
            self.raw = context.wrap_socket(self.raw, server_hostname=where.hostname)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.frames: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self.pings = 0
        self.code: int | None = None
        self.reason = ""
        self.extensions: list[Any] = []
        self._part = ""
        request = Request(
            host=where.netloc,
            target=f"{path}?{urlencode(params)}",
            extra_headers=[(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            extensions=[PerMessageDeflate()],
        )
        self.raw.sendall(self._protocol.send(request))
        self.wait(lambda: bool(self.status))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.raw.close()

    def wait(self, true: Callable[[], bool], seconds: float = 30) -> Self:
        """Reads until it is true. Raises AssertionError when time is over or nothing more can come."""
        if not self.read_until(true, seconds):
            raise AssertionError(f"did not come: {self.status} {self.code} {self.reason} {self.texts[-3:]}")
        return self

    def read_until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Whether it became true in time."""
        deadline = time.monotonic() + seconds
        while not true():
            left = deadline - time.monotonic()
            if left <= 0 or self.code is not None:
                return False
            self.raw.settimeout(left)
            try:
                data = self.raw.recv(1 << 16)
            except TimeoutError:
                return False
            except ConnectionResetError:
                data = b""
            self._take(data)
        return True

    def lines(self) -> list[str]:
        """The lines of all messages so far, in the order in which they came."""
        return [value[1] for frame in self.frames for stream in frame["streams"] for value in stream["values"]]

    def wait_for_lines(self, count: int, seconds: float = 30) -> list[str]:
        """Exactly so many lines, once they are there."""
        self.wait(lambda: len(self.lines()) >= count, seconds)
        assert len(self.lines()) == count
        return self.lines()

    def close(self) -> None:
        """Says goodbye and waits for the answer."""
        self.raw.sendall(self._protocol.send(CloseConnection(code=1000)))
        self.wait(lambda: self.code is not None)

    def _take(self, data: bytes) -> None:
        if not data:
            self.code = self.code or (NO_CLOSE_FRAME if self.status == 101 else 0)
            return
        self._protocol.receive_data(data)
        for event in self._protocol.events():
            match event:
                case AcceptConnection():
                    self.status = 101
                    self.headers = {name.decode().lower(): value.decode() for name, value in event.extra_headers}
                    self.extensions = list(event.extensions)
                case RejectConnection():
                    self.status = event.status_code
                    self.headers = {name.decode().lower(): value.decode() for name, value in event.headers}
                case RejectData():
                    self.body += bytes(event.data)
                case Ping():
                    self.pings += 1
                    with suppress(OSError):  # it has gone, and what it said before is still to be read
                        self.raw.sendall(self._protocol.send(event.response()))
                case TextMessage():
                    self._part += event.data
                    if event.message_finished:
                        self.texts.append(self._part)
                        self.frames.append(json.loads(self._part))
                        self._part = ""
                case CloseConnection():
                    self.code, self.reason = event.code, event.reason or ""
                    self._answer(event)

    def _answer(self, event: CloseConnection) -> None:
        with suppress(OSError, LocalProtocolError):  # it has gone, or it was us who began
            self.raw.sendall(self._protocol.send(event.response()))

    def read_refusal(self) -> str:
        """The body of a refused handshake."""
        size = int(self.headers.get("content-length", "0"))
        self.wait(lambda: len(self.body) >= size)
        return self.body.decode()
