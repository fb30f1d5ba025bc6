"""The head of an answer, as hypercorn and h11 write it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from wsgiref.handlers import format_date_time


def answer_head(status: int, headers: Sequence[tuple[bytes, bytes]], *, chunked: bool) -> bytes:
    """Status line and headers, with the Date, up to the empty line and with it.

    Raises:
        RuntimeError: a header holds a line break, and would be two.
    """
    fields = b"".join([b"%b: %b\r\n" % header for header in headers])
    if fields.count(b"\n") != len(headers) or fields.count(b"\r") != len(headers):
        raise RuntimeError("a header of the answer has a line break in it")
    framing = b"transfer-encoding: chunked\r\n" if chunked else b""
    return b"HTTP/1.1 %d \r\n%b%b%b\r\n" % (status, fields, framing, _date())


_dated: tuple[int, bytes] = (0, b"")


def _date() -> bytes:
    """The Date header of this second."""
    global _dated  # noqa: PLW0603 - a cache of one line for the whole process
    now = int(time.time())
    if _dated[0] != now:
        _dated = now, b"date: %b\r\n" % format_date_time(now).encode("ascii")
    return _dated[1]
