"""Telling rows apart by small whole numbers: which of them there are, and numbering those that are distinct."""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import OFFSETS, kernel


@kernel("void(Array(int32, 1, 'C', True), boolean[::1])")
def mark_used(codes: Any, used: Any) -> None:
    """Marks which codes there are.

    Args:
        codes: int32[m], each < k and not negative.
        used: bool[k], set True for each of them.
    """
    for row in range(np.uint64(len(codes))):
        used[np.uint64(codes[row])] = True


@kernel(f"int64({OFFSETS}, int64, int32[::1], int32[::1], int64[::1])")
def number_keys(keys: Any, low: Any, numbers: Any, codes: Any, firsts: Any) -> Any:
    """Numbers the distinct keys in order of appearance; how many there are.

    Args:
        keys: int64[m], low <= key < low + k.
        low: the least.
        numbers: int32[k], all -1; written to.
        codes: int32[m], filled: the number of each key.
        firsts: int64[m], gets the row of each distinct key's first.
    """
    count = np.int32(0)
    for row in range(np.uint64(len(keys))):
        key = np.uint64(keys[row] - low)
        number = numbers[key]
        if number < 0:
            number = numbers[key] = count
            firsts[np.uint64(count)] = row
            count += np.int32(1)
        codes[row] = number
    return count
