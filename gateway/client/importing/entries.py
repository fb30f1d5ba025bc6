"""What is read of files: entries on their way to a push body, and lines that cannot be entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from gateway.client.lines import Labels

Row: TypeAlias = tuple[Labels, list[Any]]
"""The stream of an entry, and `[ts, line]` or `[ts, line, metadata]` as Loki's JSON has it; ts is ns as text."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that is not stored.

    Attributes:
        text: as it came, or as it would have been stored.
        reason: why, in the server's words if it was the server.
        row: what was made of it; None: nothing could be.
    """

    text: str
    reason: str
    row: Row | None = None


@dataclass(frozen=True, slots=True)
class Carry:
    """What the times of lines that follow depend on.

    Attributes:
        raw: the time of the last line, ns, before it was made distinct; None before the first.
        bump: how many lines before had that time in a row.
    """

    raw: int | None = None
    bump: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent and acknowledged as one.

    Attributes:
        start: where it begins in the unpacked source: a byte, or the number of an entry of a JSON document.
        end: where the next one begins.
        rows: the entries, in the order of the source.
        rejected: what stands there and is no entry.
        carry: for the batch after it.
        size: bytes of the source.
    """

    start: int
    end: int
    rows: list[Row]
    rejected: tuple[Rejected, ...]
    carry: Carry
    size: int


def push_body(rows: list[Row]) -> bytes:
    """The entries as a body of Loki's push API in JSON, streams in the order in which they first come."""
    streams: dict[Labels, list[list[Any]]] = {}
    last: Labels | None = None
    values: list[list[Any]] = []
    for labels, value in rows:
        if labels is not last:
            values = streams.setdefault(labels, [])
            last = labels
        values.append(value)
    body = {"streams": [{"stream": dict(labels), "values": of_it} for labels, of_it in streams.items()]}
    return msgspec.json.encode(body)
