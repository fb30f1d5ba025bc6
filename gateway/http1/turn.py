"""One request and its answer: between a connection's bytes and the app's ASGI messages."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Protocol
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

from gateway.http1.answer import answer_head
from gateway.http1.head import Head
from gateway.logs import event

_log = logging.getLogger("weir.http")

AT_HAND = "weir.at_hand"
"""ASGI extension: a callable that gives what `receive` would, if that is there without waiting, else None."""

_JOINED = 64 << 10
"""Bytes of an answer's piece up to which it is copied behind its head: cheaper than one more system call."""

_BODILESS = frozenset({204, 304})


class Way(Protocol):
    """What a turn needs of its connection."""

    transport: asyncio.Transport
    scheme: str
    client: tuple[str, int] | None
    server: tuple[str, int] | None

    @property
    def app(self) -> ASGIApp:
        """Answers the request."""

    async def room(self) -> None:
        """Waits until the client has read enough of what it was sent."""

    def balance(self) -> None:
        """The app has taken some of the body."""

    def answered(self, *, goes_on: bool) -> None:
        """The answer is out; the connection may go on."""


class Turn:
    """One request and its answer.

    Attributes:
        missing: bytes of the body that have not come.
        held: bytes of the body that came and that the app has not taken.
        task: runs the app.
    """

    __slots__ = (
        "_body_given",
        "_chunked",
        "_connection",
        "_finished",
        "_left",
        "_news",
        "_owed",
        "_pieces",
        "_scope",
        "_start",
        "_started",
        "held",
        "missing",
        "task",
    )

    def __init__(self, connection: Way, head: Head) -> None:
        self._connection = connection
        self.missing = head.length
        self.held = 0
        self.task: asyncio.Task[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._body_given = False
        self._left = False
        self._news: asyncio.Event | None = None
        self._start: Message | None = None
        self._started = self._finished = self._chunked = False
        self._owed = 0
        path, _, query = head.target.partition(b"?")
        text = path.decode("ascii")
        self._scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "method": head.method,
            "scheme": connection.scheme,
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": head.headers,
            "client": connection.client,
            "server": connection.server,
            "state": {},
            "extensions": {AT_HAND: self.at_hand},
        }

    async def run(self) -> None:
        """Runs the app. An answer it does not finish is cut short, one it does not begin is a 500."""
        connection = self._connection
        try:
            await connection.app(self._scope, self.receive, self.send)
        except Exception as error:  # noqa: BLE001 - the task's end: nobody else would hear of it
            event(_log, logging.ERROR, "the app failed", exc_info=error)
        finally:
            if not self._finished:
                if not self._started and not self._left:
                    headers = [(b"content-length", b"0"), (b"connection", b"close")]
                    connection.transport.write(answer_head(500, headers, chunked=False))
                self._finished = True
                connection.answered(goes_on=False)

    # -- the request

    def feed(self, data: bytes) -> int:
        """Takes what of the data belongs to the body; returns how many bytes that is."""
        piece = data if len(data) <= self.missing else data[: self.missing]
        self._pieces.append(piece)
        self.missing -= len(piece)
        self.held += len(piece)
        self._tell()
        return len(piece)

    def leave(self) -> None:
        """The client sends no more."""
        self._left = True
        self._tell()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    def at_hand(self) -> Message | None:
        """The next message to the app, None if it has to wait."""
        if self._pieces:
            body = self._pieces.popleft()
            self.held -= len(body)
            self._body_given = not self.missing and not self._pieces
            if self.held or self.missing:
                self._connection.balance()
            return {"type": "http.request", "body": body, "more_body": not self._body_given}
        if not self.missing and not self._body_given:
            self._body_given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"} if self._left or self._finished else None

    async def receive(self) -> Message:
        """ASGI's receive."""
        while (message := self.at_hand()) is None:
            if self._news is None:
                self._news = asyncio.Event()
            self._news.clear()
            await self._news.wait()
        return message

    # -- the answer

    async def send(self, message: Message) -> None:
        """ASGI's send.

        Raises:
            RuntimeError: messages out of order, more body than announced, or a header that would end its line.
        """
        if message["type"] == "http.response.start" and self._start is None and not self._started:
            self._start = message
            return
        if message["type"] != "http.response.body" or (self._start is None and not self._started) or self._finished:
            raise RuntimeError(f"unexpected ASGI message {message['type']}")
        body, more = message.get("body", b""), message.get("more_body", False)
        connection = self._connection
        if connection.transport.is_closing():
            if more and self.task is not None:
                self.task.cancel()
        else:
            self._write(body, more)
            await connection.room()
        if not more:
            self._finished = True
            self._tell()
            connection.answered(goes_on=not self.missing and not self._owed)

    def _write(self, body: bytes, more: bool) -> None:
        begin = self._begin() if self._start is not None else b""
        end = b""
        if self._chunked:
            if body:
                begin, end = b"%b%x\r\n" % (begin, len(body)), b"\r\n"
            if not more:
                end += b"0\r\n\r\n"
        else:
            self._owed -= len(body)
            if self._owed < 0:
                raise RuntimeError("the answer is longer than its Content-Length")
        write = self._connection.transport.write
        if len(body) <= _JOINED:
            write(b"%b%b%b" % (begin, body, end))
        else:
            for part in (begin, body, end):
                write(part)

    def _begin(self) -> bytes:
        assert self._start is not None
        status, headers = self._start["status"], list(self._start.get("headers", ()))
        announced = next((int(value) for name, value in headers if name == b"content-length"), None)
        self._chunked = announced is None and status not in _BODILESS
        self._owed = announced or 0
        head = answer_head(status, headers, chunked=self._chunked)
        self._start, self._started = None, True
        return head
