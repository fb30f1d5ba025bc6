"""Finding a literal in all lines of a column by one pass over its buffer.

The pass looks for two bytes of the needle at their distance, 64 places at a time in vector registers, and compares
the needle only where both stand. Which two is the caller's choice: rare ones make a rare comparison.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, OFFSETS, kernel

_BLOCK = 64


@kernel(f"void({BYTES}, {OFFSETS}, {BYTES}, int64, int64, boolean[::1])")
def contains(data: Any, offsets: Any, needle: Any, first: Any, second: Any, found: Any) -> None:
    """Marks the lines that contain a needle.

    Args:
        data: uint8[].
        offsets: int64[n + 1], where lines begin.
        needle: uint8[k], not empty.
        first: place of a byte of the needle.
        second: place of another, or the same.
        found: bool[n], set True where the needle is, else left.
    """
    size = len(needle)
    one, other = needle[first], needle[second]
    at, last = offsets[0], offsets[-1] - size  # the last place at which the needle fits
    row = 0
    while at <= last:
        if at + _BLOCK <= last:
            left = data[at + first : at + first + _BLOCK]
            right = data[at + second : at + second + _BLOCK]
            hits = np.uint8(0)
            for place in range(_BLOCK):
                hits |= np.uint8(left[place] == one) & np.uint8(right[place] == other)
            if hits == 0:
                at += _BLOCK
                continue
            stop = at + _BLOCK
        else:
            stop = last + 1
        while at < stop:
            if data[at + first] == one and data[at + second] == other:
                hit = True
                for place in range(size):
                    if data[at + place] != needle[place]:
                        hit = False
                        break
                if hit:
                    while offsets[row + 1] <= at:
                        row += 1
                    if at + size <= offsets[row + 1]:
                        found[row] = True
                        at = offsets[row + 1]  # the rest of the line has nothing to add
                        continue
            at += 1
