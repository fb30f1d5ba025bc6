"""Rows of a file in columns: what was read of it, before it is decided which rows are one record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]

NEWLINE = 10
_RETURN = 13
NO_TIME = -1
"""In `ts` of a row that says no time."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one stream of a file, in the order of the file.

    Attributes:
        text: what they say, each with a newline behind it.
        ends: int64[n], where each ends in `text`, behind its newline.
        first: int64[n], where each begins in what was read.
        last: int64[n], where each ends there.
        ts: int64[n], ns or NO_TIME; None: none of them says one.
    """

    text: bytes
    ends: I64
    first: I64
    last: I64
    ts: I64 | None = None

    def __len__(self) -> int:
        return len(self.ends)


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """What is to be sent of one stream of a file.

    Attributes:
        stream: "stdout", "stderr"; "" where the file does not say.
        text: the lines, with nothing between them.
        lengths: int64[n], bytes of each line, none of them 0.
        ts: int64[n], ns or NO_TIME; None: none of them says one.
    """

    stream: str
    text: bytes
    lengths: I64
    ts: I64 | None = None

    def __len__(self) -> int:
        return len(self.lengths)


def split_lines(chunk: bytes) -> Rows:
    """The lines of a chunk as rows; a last one without a newline gets one, and a return before one goes."""
    missing = bool(chunk) and not chunk.endswith(b"\n")
    text = chunk + b"\n" if missing else chunk
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == NEWLINE) + 1
    last = ends
    if missing:
        last = ends.copy()
        last[-1] -= 1
    first = np.empty_like(ends)
    first[:1] = 0
    first[1:] = ends[:-1]
    if b"\r\n" in text:
        had_return = (ends - first > 1) & (data[np.maximum(ends - 2, 0)] == _RETURN)
        text = text.replace(b"\r\n", b"\n")
        ends = ends - np.cumsum(had_return)
    return Rows(text, ends, first, last)


def joined(rows: Rows, starts: Mask, *, newlines: bool) -> Rows:
    """Rows of which some are put together.

    Args:
        rows: at least one.
        starts: bool[n], whether a row is the first of a record; the first row is.
        newlines: whether the newlines between them stay.
    """
    begin = np.flatnonzero(starts)
    end = np.append(begin[1:], len(rows)) - 1
    ends, text = rows.ends, rows.text
    if not newlines:
        is_inner = np.ones(len(rows), np.bool_)
        is_inner[end] = False
        if is_inner.any():
            text = _without(text, ends[is_inner] - 1)
            ends = ends - np.cumsum(is_inner)
    ts = None if rows.ts is None else rows.ts[begin]
    return Rows(text, ends[end], rows.first[begin], rows.last[end], ts)


def entries_of(rows: Rows, count: int, stream: str, *, are_lines: bool = False) -> Entries:
    """The first `count` rows as entries: without the newlines at their ends, and without those that say nothing.

    Args:
        rows: of a stream.
        count: of them.
        stream: which.
        are_lines: none of them has a newline but the one behind it.
    """
    ends = rows.ends[:count]
    size = int(ends[-1]) if count else 0
    text = rows.text if size == len(rows.text) else rows.text[:size]
    lengths = np.diff(ends, prepend=0) - 1
    # Without records of several lines every newline goes, for which there is a fast way.
    are_lines = are_lines or text.count(b"\n") == count
    text = text.replace(b"\n", b"") if are_lines else _without(text, ends - 1)
    ts = None if rows.ts is None else rows.ts[:count]
    if count and not lengths.all():
        kept = lengths > 0
        lengths = lengths[kept]
        ts = None if ts is None else ts[kept]
    return Entries(stream, text, lengths, ts)


def _without(text: bytes, places: I64) -> bytes:
    """The text without the bytes at `places`."""
    kept = np.ones(len(text), np.bool_)
    kept[places] = False
    return np.frombuffer(text, np.uint8)[kept].tobytes()
