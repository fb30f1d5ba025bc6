"""Codes and values of a dictionary column."""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, OFFSETS, kernel
from storage.kernels.pairs import NUMBERS


@kernel("int64(int32[::1], int32[::1])")
def close_gaps(codes: Any, occurring: Any) -> Any:
    """Renumbers codes so that only those that occur are left, in their order; how many there are.

    Args:
        codes: int32[n], changed in place; -1 stays.
        occurring: int32[codes there may be], gets the old code of each new one.
    """
    places = np.full(len(occurring), -1, np.int32)
    for row in range(len(codes)):
        if codes[row] >= 0:
            places[codes[row]] = 0
    count = 0
    for code in range(len(occurring)):
        if places[code] == 0:
            occurring[count] = code
            places[code] = count
            count += 1
    for row in range(len(codes)):
        if codes[row] >= 0:
            codes[row] = places[codes[row]]
    return count


@kernel(f"UniTuple(boolean, 3)({NUMBERS}, {BYTES}, {OFFSETS})")
def column_facts(codes: Any, data: Any, offsets: Any) -> Any:
    """Whether a code is none of -1, a value is empty, and every byte of the values is ASCII.

    Args:
        codes: int32[n].
        data: uint8[], the values.
        offsets: int64[k + 1], where each begins.
    """
    most = np.int32(-1)
    for row in range(len(codes)):
        most = max(most, codes[row])
    least = np.int64(1)
    for value in range(len(offsets) - 1):
        least = min(least, offsets[value + 1] - offsets[value])
    seen = np.uint8(0)
    for at in range(np.uint64(offsets[0]), np.uint64(offsets[-1])):
        seen |= data[at]
    return most >= 0, least == 0, seen < 0x80
