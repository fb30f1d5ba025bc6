"""The tail endpoints: a websocket that first gets what there is, then what is committed.

What is wrong with a request is answered 400 before the upgrade, as Loki does; what Loki finds out later ends the socket
with code 1011 and the text. When the server stops, connections end without a close frame (code 1006 to the client):
that is what Grafana and logcli take as a reason to come back, and what they see of a Loki that goes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from config import Limits
from gateway.auth import Scope, ScopedRoute, SocketRoute, tenant_of
from gateway.listener import CUT
from gateway.query.encode import encoding_flags
from gateway.query.errors import BadParameter
from gateway.query.limits import check_bytes, check_query
from gateway.query.params import parse_form
from gateway.query.pool import Ticket
from gateway.query.work import NS_PER_SECOND, past_damage
from gateway.state import Gateway
from gateway.tail.asked import Asked, read_tail
from gateway.tail.frames import Form, Frame
from gateway.tail.outbox import Outbox
from gateway.tail.past import past_entries, past_frames
from logql import EntryColumns, LogExpr

GOING_AWAY = 1001
"""Close code of a server that stops, where the connection cannot be cut."""


class TailFailed(Exception):  # noqa: N818 - named for what happened
    """The query of a tail could not go on (500); the log says why."""

    def __init__(self) -> None:
        super().__init__("internal server error")


def tail_routes() -> list[ScopedRoute]:
    """Routes of this folder."""
    return [
        SocketRoute("/loki/api/v1/tail", tail, no_upgrade, Scope.QUERY),
        SocketRoute("/api/prom/tail", legacy_tail, no_upgrade, Scope.QUERY),
    ]


async def tail(socket: WebSocket) -> None:
    """Entries as they come, in today's form."""
    await _serve(socket, legacy=False)


async def legacy_tail(socket: WebSocket) -> None:
    """Entries as they come, in the form of /api/prom."""
    await _serve(socket, legacy=True)


async def no_upgrade(request: Request) -> Response:
    """400: what is wrong with the query or its parameters, or that this is no websocket."""
    _, limits = _tenant(request)
    await _read(request, limits)
    headers = {"Sec-Websocket-Version": "13", "X-Content-Type-Options": "nosniff"}
    return Response("Bad Request\n", 400, headers, "text/plain; charset=utf-8")


async def _serve(socket: WebSocket, *, legacy: bool) -> None:
    gateway = _gateway(socket)
    tenant, limits = _tenant(socket)
    store = gateway.store
    asked = await _read(socket, limits)
    await socket.accept()
    if not isinstance(asked.expr, LogExpr):
        raise BadParameter("only log selector is supported")
    flags = encoding_flags(socket.headers.get("x-loki-response-encoding-flags", ""))
    form = Form.of(flags, bare=not asked.expr.stages, legacy=legacy)
    with _place(gateway, tenant, limits):
        failed = asyncio.Event()
        outbox = gateway.tails.open(store, tenant, asked.expr, form, asked.delay, failed.set)
        try:
            await _run(socket, failed, _Sending(socket, tenant, limits, asked, outbox))
        finally:
            gateway.tails.close(store, tenant, outbox)


def _gateway(connection: HTTPConnection) -> Gateway:
    gateway: Gateway = connection.app.state.gateway
    return gateway


def _tenant(connection: HTTPConnection) -> tuple[str, Limits]:
    """Whose entries are asked for (one tenant's, as in Loki), and what it may ask."""
    settings = _gateway(connection).settings
    tenant = tenant_of(connection)
    return tenant, settings.limits_for(tenant)


async def _read(connection: HTTPConnection, limits: Limits) -> Asked:
    """What is asked for. On a query thread: a query may be 100 KB long."""
    gateway = _gateway(connection)
    form = parse_form(connection.scope["query_string"])

    def read() -> Asked:
        asked = read_tail(form, time.time_ns())
        check_query(asked.expr, asked.limit, limits)
        return asked

    return await gateway.queries.run(_ticket(gateway, limits), read)


def _ticket(gateway: Gateway, limits: Limits) -> Ticket:
    return Ticket((limits.query_timeout or gateway.settings.query.timeout) / NS_PER_SECOND)


@contextmanager
def _place(gateway: Gateway, tenant: str, limits: Limits) -> Iterator[None]:
    """One of the tails that a tenant may have.

    Raises:
        BadParameter: there are as many, in Loki's words.
    """
    active, most = gateway.tails.figures.active, limits.max_concurrent_tail_requests
    if most and active[tenant] >= most:
        count = active[tenant] + 1
        raise BadParameter(f"max concurrent tail requests limit exceeded, count > limit ({count} > {most})")
    active[tenant] += 1
    try:
        yield
    finally:
        active[tenant] -= 1
        if not active[tenant]:
            del active[tenant]


async def _run(socket: WebSocket, failed: asyncio.Event, sending: _Sending) -> None:
    """Sends until the client goes, the query fails or the server stops."""
    stopping = _gateway(socket).tails.stopping
    ends = [sending.run(), _gone(socket), failed.wait(), stopping.wait()]
    tasks = [asyncio.ensure_future(end) for end in ends]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
        if failed.is_set():
            raise TailFailed
        if stopping.is_set() and not tasks[1].done():
            await _end(socket)
    finally:
        for task in tasks:
            task.cancel()


async def _gone(socket: WebSocket) -> None:
    """Returns when the client has gone; what it says before is nobody's."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _end(socket: WebSocket) -> None:
    cut = socket.scope.get("state", {}).get(CUT)
    if cut is None:
        await socket.close(GOING_AWAY, "server is shutting down")
    else:
        cut()


class _Sending:
    """What one tail sends."""

    def __init__(self, socket: WebSocket, tenant: str, limits: Limits, asked: Asked, outbox: Outbox) -> None:
        self._socket = socket
        self._tenant = tenant
        self._limits = limits
        self._asked = asked
        self._outbox = outbox
        self._figures = _gateway(socket).tails.figures

    async def run(self) -> None:
        """Sends for ever.

        Raises:
            BadParameter, LogQLError, StorageError, QueryTimeout: what there is could not be read.
        """
        frames = await self._past()
        while (frame := await asyncio.to_thread(next, frames, None)) is not None:
            self._figures.lines += len(frame.entries)
            await self._send(frame.text)
        del frames
        while True:
            await self._send(await self._outbox.next())

    async def _send(self, text: str) -> None:
        self._figures.bytes += len(text)
        await self._socket.send_text(text)

    async def _past(self) -> Iterator[Frame]:
        """The frames of what there is, made as they are asked for; the outbox is told where that ends.

        That is settled at once and not when a thread is free, so that the outbox need not keep what is in it.
        """
        gateway, asked = _gateway(self._socket), self._asked
        store, ticket = gateway.store, _ticket(gateway, self._limits)
        now = time.time_ns()
        loop, begin_after = asyncio.get_running_loop(), self._outbox.begin_after
        first = [store.snapshot(self._tenant)]
        begin_after(first[0].number)

        def read() -> EntryColumns:
            if first:
                snapshot = first.pop()
            else:  # again, without a block that is damaged
                snapshot = store.snapshot(self._tenant)
                loop.call_soon_threadsafe(begin_after, snapshot.number)
            check_bytes(store, self._tenant, asked.expr, asked.start, now, self._limits)
            most = gateway.settings.query.max_memory
            return past_entries(snapshot, self._tenant, asked, self._limits, now, most, ticket.check)

        entries = await gateway.queries.run(ticket, lambda: past_damage(store, read))
        return past_frames(entries, self._outbox.form)
