"""From a request to its parameters, and from an answer's bytes to a response."""

from __future__ import annotations

import gzip

from starlette.requests import Request
from starlette.responses import Response

from gateway.query.errors import BodyTooLarge
from gateway.query.params import parse_form

MAX_FORM = 10 * 1024 * 1024
"""Bytes of a POSTed form: Loki's frontend.max-body-size."""

MIN_GZIP = 1400
"""Bytes from which an answer is compressed: below it a packet is a packet (Loki's gzip library)."""

GZIP_LEVEL = 1
"""Three times as fast as 6 for a tenth more bytes; answers are read once, mostly on the same network."""

JSON = "application/json; charset=UTF-8"
"""Content type of answers, as Loki's query frontend writes it."""

_FORM_TYPE = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> dict[str, list[str]]:
    """Parameters of the body, if it is a urlencoded POST, then of the URL.

    Raises:
        BodyTooLarge: the form is over MAX_FORM.
        BadParameter: an escape is broken.
    """
    body = b""
    if request.method == "POST" and _media_type(request) == _FORM_TYPE:
        body = await _read_body(request)
    return parse_form(request.scope["query_string"], body)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_FORM:
            raise BodyTooLarge
        parts.append(part)
    return b"".join(parts)


def json_response(body: bytes, accept_encoding: str, content_type: str = JSON, status: int = 200) -> Response:
    """An answer of the query API; compressed if the client takes gzip and it is worth it.

    Meant for a worker thread: compressing 1 MB takes several ms.
    """
    headers = {"Vary": "Accept-Encoding"}
    if len(body) >= MIN_GZIP and takes_gzip(accept_encoding):
        body = gzip.compress(body, compresslevel=GZIP_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status, headers, content_type)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client with this Accept-Encoding header takes gzip (RFC 9110, 12.5.3)."""
    for item in accept_encoding.split(","):
        coding, _, parameter = item.partition(";")
        if coding.strip().lower() != "gzip":
            continue
        name, _, weight = parameter.partition("=")
        return not (name.strip().lower() == "q" and weight.strip().rstrip("0").rstrip(".") in {"0", ""})
    return False
