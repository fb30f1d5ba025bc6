"""`/weir/v1/export`: the answer is made as the client takes it, and goes on for as long as that takes."""

from __future__ import annotations

import asyncio
import math
import time
import zlib
from collections.abc import Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import failure
from gateway.export.asked import Asked, read_export
from gateway.export.places import ExportFigures, Outcome, Place
from gateway.export.records import MEDIA_TYPES, Format
from gateway.export.run import Export, Reach
from gateway.query.errors import QueryCancelled, QueryStopped
from gateway.query.pool import Ticket
from gateway.query.request import GZIP_LEVEL, read_form, takes_gzip
from gateway.query.running import About
from gateway.query.several import reader_of
from gateway.query.work import client_gone
from gateway.state import Gateway
from logql.walk import PIECE

MARK_HEADER = "X-Weir-Mark"
"""Names what marks begin with, in CSV."""

STALLED = 300
"""Seconds in which a client has to take something: an export keeps files from being removed."""

_GZIP = 16 + zlib.MAX_WBITS
"""zlib's word for gzip framing."""
_OF_MEMORY = 16
"""A piece has a sixteenth of what a query may hold: it is there several times, as pages, lines and records."""


async def export(request: Request) -> Response:
    """Entries of a log query, all of them unless there is a limit."""
    gateway: Gateway = request.app.state.gateway
    store, tenant = reader_of(request)
    form, now = await read_form(request), time.time_ns()
    # On a thread: a query may be 100 KB long.
    asked = await asyncio.to_thread(read_export, form, now)
    settings = gateway.settings
    most = settings.query.max_memory
    piece = min(PIECE, most // _OF_MEMORY) if most else PIECE
    ticket = Ticket(math.inf)
    made = Export(
        asked, Reach(store, tenant, settings.limits_for(tenant), now, piece), ticket.check, gateway.store.met_damage
    )
    ticket.so_far = made.so_far
    return _Exported(request, asked, made, ticket, About.of(request, tenant, "export", form))


class _Exported(Response):
    """Sends an export."""

    def __init__(self, request: Request, asked: Asked, made: Export, ticket: Ticket, about: About) -> None:
        super().__init__(None, 200, {"Vary": "Accept-Encoding"}, MEDIA_TYPES[asked.layout.format])
        del self.headers["content-length"]
        if asked.layout.format is Format.CSV and asked.marks:
            self.headers[MARK_HEADER] = "#" + made.word
        self._encode: Callable[[bytes], bytes] = _same
        self._finish: Callable[[], bytes] = bytes
        if takes_gzip(request.headers.get("accept-encoding", "")):
            self.headers["Content-Encoding"] = "gzip"
            gzip = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
            # What is sent can be unpacked, so that a cut export is good up to its last mark.
            self._encode = lambda data: gzip.compress(data) + gzip.flush(zlib.Z_SYNC_FLUSH)
            self._finish = gzip.flush
        self._request = request
        self._made = made
        self._ticket = ticket
        self._about = about
        self._figures: ExportFigures = request.app.state.gateway.exports.figures
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the export, or as much as the client wants of it.

        Raises:
            TooManyExports: there is no place.
            QueryStopped: somebody wanted it to end.
            Exception: what making it raises; the connection is closed if something is sent already.
        """
        gateway: Gateway = self._request.app.state.gateway
        place = gateway.exports.take(self._ticket)
        sending = asyncio.ensure_future(self._send(place, send))
        gateway.running.add(self._about, self._ticket, sending)
        watching = asyncio.ensure_future(client_gone(receive))
        outcome = Outcome.LEFT
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            if sending.cancelled():
                outcome = Outcome.STOPPED
                self._ticket.check()  # says why
            elif sending.done():
                error = sending.exception()
                outcome = _outcome(error)
                await self._told(error, scope, send)
            elif not self._started:
                raise QueryCancelled
        finally:
            self._figures.ended[outcome] += 1
            self._figures.lines += self._made.lines
            for task in (sending, watching):
                task.cancel()
            place.leave()

    async def _send(self, place: Place, send: Send) -> None:
        pieces = map(self._encode, self._made.pieces())
        while (piece := await place.following(pieces)) is not None:
            await self._give(send, piece)
        await self._give(send, self._finish())
        await send({"type": "http.response.body", "body": b""})

    async def _give(self, send: Send, data: bytes) -> None:
        async with asyncio.timeout(STALLED):
            if not self._started:
                self._started = True
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if data:
                await send({"type": "http.response.body", "body": data, "more_body": True})
                self._figures.bytes += len(data)

    async def _told(self, error: BaseException | None, scope: Scope, send: Send) -> None:
        """Raises an error, after the client was told of it if it has some of the answer."""
        if error is None:
            return
        if isinstance(error, TimeoutError):
            raise QueryCancelled from None  # it has taken nothing for so long that it counts as gone
        if self._started:
            text = failure(error, scope["route"].permission).text
            with suppress(TimeoutError):  # it is not told then
                await self._give(send, self._encode(self._made.failed(text)))
        raise error


def _outcome(error: BaseException | None) -> Outcome:
    """What an export that came to its end by itself ended with."""
    if error is None:
        return Outcome.COMPLETE
    if isinstance(error, QueryStopped):
        return Outcome.STOPPED
    return Outcome.LEFT if isinstance(error, TimeoutError) else Outcome.FAILED


def _same(data: bytes) -> bytes:
    return data
