"""Codes of a dictionary column."""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import OFFSETS, kernel
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


@kernel(f"void({NUMBERS}, {OFFSETS}, int64, int64[::1], int64[::1])")
def add_sizes(codes: Any, offsets: Any, name_bytes: Any, sizes: Any, counts: Any) -> None:
    """Adds a column's pairs to what is known of rows.

    Args:
        codes: int32[n], -1 where a row has no pair.
        offsets: int64[k + 1], where each value begins.
        name_bytes: bytes of the column's name.
        sizes: int64[n], bytes of each row's names and values so far.
        counts: int64[n], its pairs so far.
    """
    for row in range(len(codes)):
        code = codes[row]
        if code >= 0:
            sizes[row] += name_bytes + offsets[code + 1] - offsets[code]
            counts[row] += 1
