"""Where lines are that somebody misses, as the command line asks for it. Weir's own. Times are ns."""

from __future__ import annotations

import msgspec

from gateway.client.answers import decode
from gateway.client.connection import Connection


class Finding(msgspec.Struct, frozen=True):
    """Something that the server found; `level`: cause, hint or fine."""

    about: str
    level: str
    text: str
    advice: str = ""


class StreamSeen(msgspec.Struct, frozen=True, rename="camel"):
    """A matching stream; times in ns as text, None where it is not known."""

    stream: dict[str, str]
    last_entry: str
    last_arrival: str | None
    lines: int
    bytes: int


class Answer(msgspec.Struct, frozen=True):
    """What the server says; docs/api.md has the rest of it."""

    findings: list[Finding]
    matching: int
    streams: list[StreamSeen]


def ask_why(connection: Connection, selector: str, start: int, end: int) -> tuple[Answer, bytes]:
    """The answer, and as it came; raises what `Connection.get` raises."""
    params = [("query", selector), ("start", str(start)), ("end", str(end))]
    body = connection.get("weir/v1/why", params)
    return decode(body, Answer), body
