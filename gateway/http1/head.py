"""The head of an ordinary HTTP/1.1 request, read in one step.

Ordinary is what log shippers and Grafana send by the thousand: GET or POST of a path, whole lines, one Host, a body of
announced length or none, a connection that stays open. Invariant: what is taken here h11 reads alike (tests compare the
two on arbitrary bytes); all else is None, and h11's to read, refuse or upgrade. So no rule of HTTP is bent here, and
nothing is decided about a request that two readers could see differently (RFC 9112, 6.3 and 11.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_HEAD = re.compile(rb"(GET|POST) (/[!-~]*) HTTP/1\.1\r\n((?:" + _TOKEN + rb":[\t -~]*\r\n)+)\r\n")
_FIELD = re.compile(rb"([^:]+):([^\r]*)\r\n")
_BEGINNINGS = (b"GET /", b"POST /")
_DIGITS = 15
"""Of a Content-Length at most: far over any body that is taken."""
_NOT_ORDINARY = frozenset({b"transfer-encoding", b"upgrade", b"expect", b"http2-settings", b"te", b"trailer"})


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head.

    Attributes:
        method: GET or POST.
        target: path and query, as sent.
        headers: names in lower case, values without the space around them, in the order sent.
        length: bytes of the body.
    """

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    length: int


def read_head(head: bytes) -> Head | None:
    """The head of an ordinary request; None for any other bytes.

    Args:
        head: up to the empty line and with it.
    """
    found = _HEAD.fullmatch(head)
    if found is None:
        return None
    method, target, fields = found.groups()
    headers: list[tuple[bytes, bytes]] = []
    hosts, length = 0, -1
    for raw_name, raw_value in _FIELD.findall(fields):
        name, value = raw_name.lower(), raw_value.strip(b" \t")
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            if length >= 0 or not value.isdigit() or len(value) > _DIGITS:
                return None
            length = int(value)
        elif name in _NOT_ORDINARY or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        headers.append((name, value))
    return Head(method.decode(), target, headers, max(length, 0)) if hosts == 1 else None


def may_become_ordinary(begun: bytes) -> bool:
    """Whether a head that is not whole yet may still be one that `read_head` takes."""
    if b"\n\n" in begun:  # ends a head for h11, and never one of ours
        return False
    return any(begun.startswith(beginning) or beginning.startswith(begun) for beginning in _BEGINNINGS)
