"""What happens around every request: it is tracked, counted, its path cleaned, its failure answered and logged.

One layer, not four: a push of one line costs little more than the frames it passes through. Pure ASGI.
"""

from __future__ import annotations

import asyncio
import logging
import math
import posixpath
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import auth
from gateway.errors import CLIENT_GONE, Failure, failure
from gateway.http1 import AT_HAND
from gateway.logs import describe, description, event
from gateway.rejected.noting import note_request
from gateway.state import BodyTooSlow, Gateway, InFlight
from gateway.websockets import serve_socket

_log = logging.getLogger("weir.http")

BODY_WAIT = 30.0
"""Seconds that a client may send nothing of a body it has begun (Loki: server.http_read_timeout, for all of it). A
connection that stalls would be held, and its share of server.ingest_in_flight with it, until the client goes."""

_SERVED = frozenset({"http", "websocket"})

LINGER = 0.5
"""Seconds that a body nobody wanted is read on after its answer, so that the client sees the answer before the
connection closes. As Go's server."""

LINGER_BYTES = 256 << 10
"""Bytes of such a body that are read before the connection is closed all the same. As Go's server."""


class Requests:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway
        self._prefix = gateway.settings.server.path_prefix.rstrip("/")
        self._draining: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; other ASGI traffic (lifespan) passes."""
        if scope["type"] not in _SERVED:
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        request = InFlight(
            method=scope.get("method", "GET"),
            path=scope["path"],
            client=f"{client[0]}:{client[1]}" if client else "-",
            started=time.monotonic(),
            scope=scope,
        )
        if scope["type"] == "websocket":
            # One that would be redirected is not found: clients of websockets follow no redirects.
            clean_path(scope, self._prefix)
            await serve_socket(self._gateway, self._app, request, receive, send)
            return
        self._gateway.requests.add(request)
        exchange = _Exchange(receive, send, scope.get("extensions", {}).get(AT_HAND))
        try:
            await self._serve(request, exchange)
        except asyncio.CancelledError:
            exchange.status = exchange.status or CLIENT_GONE
            raise
        finally:
            self._gateway.requests.discard(request)
            seconds = time.monotonic() - request.started
            self._gateway.metrics.request_done(
                request.method,
                request.route_label,
                exchange.status,
                seconds,
                received=exchange.received,
                sent=exchange.sent,
                query=request.permission is auth.Scope.QUERY,
            )
        if not exchange.body_read:
            await self._linger(exchange)

    async def _serve(self, request: InFlight, exchange: _Exchange) -> None:
        scope = request.scope
        try:
            moved = clean_path(scope, self._prefix)
            if moved is not None:
                await self._redirect(scope, exchange, moved)
                return
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - the last stop: what nobody foresaw is logged and answered 500
            try:
                await self._fail(request, exchange, error)
            finally:
                # The error's frames hold the body, and some of them the error: a refused push of 100 MB would stay in
                # memory until the garbage collector looks at old objects, and so would the files of a cut export.
                error.__traceback__ = None
        else:
            if exchange.status >= 400:
                self._log_failure(request, Failure(exchange.status, exchange.said()), None)

    async def _redirect(self, scope: Scope, exchange: _Exchange, location: bytes) -> None:
        if self._gateway.settings.auth.enabled:
            self._gateway.gate.admit(scope, None)
        headers = [(b"location", location), (b"content-length", b"0")]
        await exchange.send({"type": "http.response.start", "status": 301, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": b""})

    async def _fail(self, request: InFlight, exchange: _Exchange, error: Exception) -> None:
        answer = failure(error, request.permission)
        if not answer.expected:
            self._gateway.metrics.panic()
        if exchange.status:
            # Half an answer is out; hypercorn closes the connection, the client sees it cut short.
            self._log_failure(request, answer, error)
            raise error
        exchange.status = answer.status
        self._log_failure(request, answer, error)
        if answer.status != CLIENT_GONE:
            await answer.response()(request.scope, exchange.receive, exchange.send)

    def _log_failure(self, request: InFlight, answer: Failure, error: Exception | None) -> None:
        if answer.status != CLIENT_GONE:
            gateway = self._gateway
            tenancy = gateway.settings.tenancy
            note_request(
                request.scope, request.permission, answer.status, answer.text, tenancy, gateway.rejected, error
            )
        level = logging.ERROR if answer.status >= 500 and answer.status != 503 else logging.WARNING
        if answer.status in {CLIENT_GONE, 404, 405}:
            level = logging.INFO
        if isinstance(error, auth.AuthError):
            skipped = self._gateway.not_let_in.skipped(request.client.rpartition(":")[0], error.reason)
            if skipped is None:
                return
            describe(request.scope, reason=error.reason, more_like_it=skipped)
        event(
            _log,
            level,
            "request failed",
            exc_info=error if error is not None and not answer.expected else None,
            method=request.method,
            path=request.path,
            status=answer.status,
            client=request.client,
            seconds=round(time.monotonic() - request.started, 4),
            error=answer.text.rstrip("\n")[:1000],
            **description(request.scope),
        )

    async def _linger(self, exchange: _Exchange) -> None:
        """Reads on for a moment, then leaves the rest to a task.

        hypercorn hands the body over through a queue of ten pieces and waits for room in it even to say that the
        connection is closed: a body nobody takes would hold the connection, and its memory, for ever.
        """
        try:
            async with asyncio.timeout(LINGER):
                await exchange.drain()
        except TimeoutError:
            task = asyncio.get_running_loop().create_task(exchange.drain())
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)


@dataclass(slots=True, eq=False)
class _Exchange:
    """One request's two directions, with what must be known of them afterwards."""

    _receive: Receive
    _send: Send
    _at_hand: Callable[[], Message | None] | None
    status: int = 0
    received: int = 0
    sent: int = 0
    body_read: bool = False
    _body: list[bytes] = field(default_factory=list)

    async def receive(self) -> Message:
        if self.body_read:
            return await self._receive()
        message = None if self._at_hand is None else self._at_hand()
        if message is None:
            try:
                async with asyncio.timeout(BODY_WAIT):
                    message = await self._receive()
            except TimeoutError:
                raise BodyTooSlow(f"nothing of the request body came for {BODY_WAIT:g} seconds") from None
        self._seen(message)
        return message

    def _seen(self, message: Message) -> int:
        size = len(message.get("body", b""))
        self.received += size
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.body_read = True
        return size

    def _read_at_hand(self) -> None:
        """Reads what has come of the body already, if that is a little."""
        taken = 0
        while self._at_hand is not None and not self.body_read and taken < LINGER_BYTES:
            message = self._at_hand()
            if message is None:
                return
            taken += self._seen(message)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            body = message.get("body", b"")
            self.sent += len(body)
            if self.status >= 400:
                self._body.append(body[:1000])
            ends = not message.get("more_body", False)
            if ends and not self.body_read:
                self._read_at_hand()
            if ends and not self.body_read:
                await self._send({**message, "more_body": True})
                # The answer is out whole. hypercorn closes the connection of an answer that ends before its request:
                # clients that send head and body apart would lose it, and with it their next request.
                with suppress(TimeoutError):
                    async with asyncio.timeout(LINGER):
                        await self.drain(LINGER_BYTES)
                message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    def said(self) -> str:
        """The beginning of an error's body."""
        return b"".join(self._body).decode("utf-8", "replace")

    async def drain(self, most: float = math.inf) -> None:
        """Reads the rest of the request's body, `most` bytes at most, and forgets it."""
        taken = 0
        with suppress(BodyTooSlow):
            while not self.body_read and taken < most:
                message = await self.receive()
                taken += len(message.get("body", b""))


def clean_path(scope: MutableMapping[str, Any], prefix: str) -> bytes | None:
    """Takes the prefix and doubled slashes off a request's path, in place; or says where the client should go instead.

    A base URL that ends in a slash makes clients ask for `//loki/api/v1/push`. Loki redirects them, which turns a POST
    into a GET; here it just works. What is doubled only after decoding (`label/a%2F/values`) is redirected as there.

    Args:
        scope: an ASGI http scope.
        prefix: server.path_prefix without a slash at its end.

    Returns:
        The Location of a 301, or None when the path can be routed.
    """
    _to_origin_form(scope)
    path: str = scope["path"]
    if "//" in path or "/." in path:
        raw = scope.get("raw_path") or quote(path).encode()
        cleaned = _clean(unquote(_clean(raw.decode("latin-1"))))
        if cleaned != unquote(_clean(raw.decode("latin-1"))) or "/." in path:
            query = scope["query_string"]
            return quote(_clean(path)).encode() + (b"?" + query if query else b"")
        path = cleaned
    if prefix and (path == prefix or path.startswith(prefix + "/")):
        path = path[len(prefix) :] or "/"
    scope["path"] = path
    return None


def _to_origin_form(scope: MutableMapping[str, Any]) -> None:
    """Takes `http://host` off a path: clients behind a proxy send it, a server must take it (RFC 9112, 3.2.2)."""
    if scope["path"].startswith("/"):
        return
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    _, scheme, rest = raw.partition(b"://")
    if scheme:
        scope["raw_path"] = b"/" + rest.partition(b"/")[2]
        scope["path"] = unquote(scope["raw_path"].decode("latin-1"))


def _clean(path: str) -> str:
    """As Go's mux: no empty, `.` or `..` element; a slash at the end stays."""
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned
