"""The times and lengths of a push's entries, at one glance."""

from __future__ import annotations

from typing import Any

from storage.kernels.cache import OFFSETS, kernel

_FIRST, _LAST = -(1 << 63), (1 << 63) - 1


@kernel(f"UniTuple(int64, 3)({OFFSETS}, {OFFSETS}, int64[::1])")
def measure_entries(ts: Any, offsets: Any, lengths: Any) -> Any:
    """The first time, the last time (the other way round where there are no entries) and the longest line.

    Args:
        ts: int64[n], ns.
        offsets: int64[n + 1], where each line begins.
        lengths: int64[n], gets the bytes of each line.
    """
    oldest, newest, longest = _LAST, _FIRST, 0
    for row in range(len(ts)):
        oldest = min(oldest, ts[row])
        newest = max(newest, ts[row])
        lengths[row] = offsets[row + 1] - offsets[row]
        longest = max(longest, lengths[row])
    return oldest, newest, longest
