"""A place in the order of a tenant's entries, and its text: a cursor.

A position names one entry by (ts, stream id, place among those of equal ts and stream in order of arrival, contents).
Nothing of that depends on where the entry lies, so that a cursor means the same before and after a flush, compaction
or a restart. Of one stream and time no two entries have the same contents (ARCHITECTURE.md, What always holds), which
finds the entry again where others of its time were deleted; its place is what is left of it when it was deleted
itself.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass

import numpy as np
import xxhash

from storage.batch import Batch
from storage.rows import metadata_pairs, take_rows

_VERSION = 1
_FORM = struct.Struct(">BqQQ5s")
"""Version, ts, stream id, contents, place."""
_TEXT = 40
"""Characters of a cursor: 30 bytes as base64, which need no padding."""
_MOST = (1 << 40) - 1


class BadCursor(ValueError):  # noqa: N818 - named for what happened
    """A text that is no cursor."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:60]!r} is no cursor: send one as it came")


@dataclass(frozen=True, slots=True)
class Position:
    """Where an entry stands.

    Attributes:
        ts: ns.
        stream: id of its stream, uint64.
        place: among the entries of its stream and time in order of arrival, from 0.
        contents: `contents_of` it, uint64.
    """

    ts: int
    stream: int
    place: int
    contents: int

    def __str__(self) -> str:
        """The cursor: 40 characters that a URL may hold as they are. The first says the version."""
        place = min(self.place, _MOST).to_bytes(5, "big")
        return base64.urlsafe_b64encode(_FORM.pack(_VERSION, self.ts, self.stream, self.contents, place)).decode()


def position_of(cursor: str) -> Position:
    """The position that a cursor stands for.

    Raises:
        BadCursor: it is none, or one of a version that is not known.
    """
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise BadCursor(cursor) from error
    if len(cursor) != _TEXT or len(raw) != _FORM.size or raw[0] != _VERSION:
        raise BadCursor(cursor)
    _, ts, stream, contents, place = _FORM.unpack(raw)
    return Position(ts, stream, int.from_bytes(place, "big"), contents)


def contents_of(batch: Batch, row: int) -> int:
    """A uint64 that stands for the line and metadata of a row, whatever columns these are kept in.

    Each text counts with its length before it; metadata in order of names and values.
    """
    one = take_rows(batch, np.array([row], np.int64))
    _, keys, names, values = metadata_pairs(one)
    pairs = sorted(zip([names[key].encode() for key in keys.tolist()], values.tolist(), strict=True))
    digest = xxhash.xxh64()
    for text in (one.lines[0], *(text for pair in pairs for text in pair)):
        digest.update(len(text).to_bytes(8, "big"))
        digest.update(text)
    return digest.intdigest()
