"""Blocks as the catalog knows them, without files: what plans are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storage.blockread import Block
from storage.ulid import new_ulid
from tests.storage.entries import DAY

DAY_NUMBER = 20_000
MIDNIGHT = DAY_NUMBER * DAY


def made_ulid(at: int) -> str:
    """A ULID made at a time (ns)."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    milliseconds = at // 1_000_000
    return "".join(alphabet[milliseconds >> shift & 31] for shift in range(45, -5, -5)) + new_ulid()[10:]


def block(
    generation: int,
    size: int,
    *,
    day: int = DAY_NUMBER,
    made: int = MIDNIGHT,
    rows: int = 1_000,
    streams: int = 1,
    compacted: bool = True,
) -> Block:
    numbers = np.arange(streams, dtype=np.int32)
    low = np.full(streams, day * DAY, np.int64)
    return Block(
        path=Path(f"{made_ulid(made)}.parquet"),
        day=day,
        generation=generation,
        min_ts=day * DAY,
        max_ts=day * DAY + DAY - 1,
        rows=rows,
        size=size,
        origins=(),
        deletes=frozenset(),
        streams=numbers,
        stream_min=low,
        stream_max=low + DAY - 1,
        compacted=compacted,
    )


def blocks(*sizes: int) -> list[Block]:
    """Neighbours of one day, of some sizes in order of arrival."""
    return [block(number, size) for number, size in enumerate(sizes)]
