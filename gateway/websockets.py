"""What happens around every websocket: it is tracked, counted, its path cleaned, its failure told and logged.

What fails before the upgrade is an HTTP answer; afterwards it ends the socket with 1011 and the error's text, as Loki.
"""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.auth import AuthError
from gateway.errors import CLIENT_GONE, Failure, failure
from gateway.logs import describe, description, event
from gateway.state import Gateway, InFlight

_log = logging.getLogger("weir.http")

INTERNAL_ERROR = 1011
SWITCHING = 101
_REASON_BYTES = 123
"""What a close frame has room for (RFC 6455, 5.5)."""


async def serve_socket(gateway: Gateway, app: ASGIApp, request: InFlight, receive: Receive, send: Send) -> None:
    """Serves a websocket from its handshake to its end; `request` has its scope."""
    status = 0

    async def sent(message: Message) -> None:
        nonlocal status
        if message["type"] == "websocket.accept":
            status = SWITCHING
        elif message["type"] == "websocket.http.response.start":
            status = message["status"]
        await send(message)

    gateway.requests.add(request)
    try:
        await app(request.scope, receive, sent)
    except asyncio.CancelledError:
        status = status or CLIENT_GONE
        raise
    except Exception as error:  # noqa: BLE001 - the last stop: what nobody foresaw is logged and told as such
        answer = failure(error, request.permission)
        if not answer.expected:
            gateway.metrics.panic()
        _log_failure(gateway, request, answer, error)
        # A tail's frames hold a snapshot, and with it files that are to be removed, until the garbage collector comes.
        error.__traceback__ = None
        if status == SWITCHING:
            await send({"type": "websocket.close", "code": INTERNAL_ERROR, "reason": _reason(answer.text)})
        else:
            await respond(answer.response(), sent)
    finally:
        gateway.requests.discard(request)
        seconds = time.monotonic() - request.started
        gateway.metrics.socket_done(request.method, request.route_label, status, seconds)


async def respond(response: Response, send: Send) -> None:
    """Answers a handshake with a response."""
    start = {"type": "websocket.http.response.start", "status": response.status_code, "headers": response.raw_headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to a handshake where no websocket is served, as Go's mux has it."""
    del scope, receive
    headers = {"X-Content-Type-Options": "nosniff"}
    await respond(Response("404 page not found\n", 404, headers, "text/plain; charset=utf-8"), send)


def _reason(text: str) -> str:
    return text.encode()[:_REASON_BYTES].decode("utf-8", "ignore")


def _log_failure(gateway: Gateway, request: InFlight, answer: Failure, error: Exception) -> None:
    if isinstance(error, AuthError):
        skipped = gateway.not_let_in.skipped(request.client.rpartition(":")[0], error.reason)
        if skipped is None:
            return
        describe(request.scope, reason=error.reason, more_like_it=skipped)
    event(
        _log,
        logging.ERROR if answer.status >= 500 and answer.status != 503 else logging.WARNING,
        "websocket failed",
        exc_info=None if answer.expected else error,
        path=request.path,
        status=answer.status,
        client=request.client,
        seconds=round(time.monotonic() - request.started, 4),
        error=answer.text.rstrip("\n")[:1000],
        **description(request.scope),
    )
