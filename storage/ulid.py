"""ULIDs: sortable unique names for blocks (github.com/ulid/spec)."""

from __future__ import annotations

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_ulid() -> str:
    """26 characters: 48 bits of milliseconds since the epoch, 80 random ones."""
    number = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10), "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def made_at(ulid: str) -> int:
    """When a ULID was made, ns since the epoch; 0 for a name that is none."""
    if len(ulid) != 26 or not set(ulid) <= set(_ALPHABET):
        return 0
    milliseconds = 0
    for char in ulid[:10]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(char)
    return milliseconds * 1_000_000
