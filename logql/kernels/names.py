"""Which of the wanted labels a key names."""

from __future__ import annotations

from typing import Any

import numpy as np

from logql.kernels.words import ONE
from storage.kernels.cache import inlined

LENGTHS = 64
"""Names are looked up by their lengths; those of LENGTHS - 1 bytes and more stand together."""

CLEAN = np.full(256, ord("_"), np.uint8)
"""Byte of an ASCII key -> byte of the label's name."""
for _byte in b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ":
    CLEAN[_byte] = _byte

_UNDERSCORE = np.uint8(ord("_"))


@inlined
def name_of(data: Any, start: Any, stop: Any, names: Any, bounds: Any, heads: Any, following: Any) -> Any:
    """Number of the name that a key gives, -1 if it is not wanted.

    Args:
        data: uint8[].
        start: where the key begins (uint64). It is ASCII, not empty, and has no blanks around it.
        stop: where it ends.
        names: uint8[], the names one after the other.
        bounds: int64[k + 1], where each begins.
        heads: int64[LENGTHS], first name of each length, -1 if there is none.
        following: int64[k], the next name that stands with it, -1 behind the last.
    """
    size = stop - start
    digit = np.uint8(ord("0")) <= data[start] <= np.uint8(ord("9"))
    length = np.int64(size) + np.int64(digit)
    place: Any = min(length, LENGTHS - 1)
    name = heads[np.uint64(place)]
    while name >= 0:
        at = np.uint64(bounds[name])
        if bounds[name + 1] - bounds[name] == length:
            same = True
            if digit:
                same = names[at] == _UNDERSCORE
                at += ONE
            if same:
                for offset in range(size):
                    if CLEAN[data[start + offset]] != names[at + offset]:
                        same = False
                        break
            if same:
                break
        name = following[name]
    return name
