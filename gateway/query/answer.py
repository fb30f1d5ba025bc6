"""An answer that is made in pieces: whole up to WHOLE bytes, as most are, and sent piece by piece past that.

Pieces are made, and compressed, on threads; the next one only when the client has taken the one before. So a long
answer costs its columns and a few pieces of memory, whatever the client's speed, and no query's place.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator
from itertools import chain

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.query.pool import QueryPool
from gateway.query.request import GZIP_LEVEL, JSON, json_response, takes_gzip
from gateway.query.work import client_gone

WHOLE = 1 << 20
"""Bytes up to which an answer is sent in one go, with its length, before compression."""

_GZIP = 16 + zlib.MAX_WBITS
"""zlib's word for gzip framing."""


def answer_of(pieces: Iterator[bytes], accept_encoding: str, check: Callable[[], None], pool: QueryPool) -> Response:
    """The response for a body in pieces. For a worker thread.

    Args:
        pieces: of the body; those past WHOLE bytes are made while it is sent.
        accept_encoding: of the request.
        check: called before each piece that is made here; raises to stop.
        pool: what makes the others.
    """
    first, size = [], 0
    for piece in pieces:
        first.append(piece)
        size += len(piece)
        if size > WHOLE:
            return _Pieces(chain(first, pieces), pool, gzip=takes_gzip(accept_encoding))
        check()
    return json_response(b"".join(first), accept_encoding)


class _Pieces(Response):
    """Sends pieces as the client takes them."""

    def __init__(self, pieces: Iterator[bytes], pool: QueryPool, *, gzip: bool) -> None:
        super().__init__(None, 200, {"Vary": "Accept-Encoding"}, JSON)
        del self.headers["content-length"]
        if gzip:
            self.headers["Content-Encoding"] = "gzip"
        self._pieces = _compressed(pieces) if gzip else pieces
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer, or as much as the client wants of it."""
        del scope
        sending = asyncio.ensure_future(self._send(send))
        watching = asyncio.ensure_future(client_gone(receive))
        try:
            # A client that has gone does not end a `send` that waits for it to read.
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, watching):
                task.cancel()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while (piece := await self._pool.piece(self._pieces)) is not None:
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    gzip = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    yield from map(gzip.compress, pieces)
    yield gzip.flush()
