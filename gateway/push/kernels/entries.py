"""The times, lengths and streams of a push's entries, at one glance."""

from __future__ import annotations

from typing import Any

from storage.kernels.cache import OFFSETS, kernel
from storage.kernels.pairs import NUMBERS

_FIRST, _LAST = -(1 << 63), (1 << 63) - 1


@kernel(f"Tuple((int64, int64, int64, boolean))({OFFSETS}, {OFFSETS}, {NUMBERS}, int64, int64[::1])")
def measure_entries(ts: Any, offsets: Any, stream: Any, streams: Any, lengths: Any) -> Any:
    """The first time, the last time (the other way round where there are no entries), the longest line, the order.

    Args:
        ts: int64[n], ns.
        offsets: int64[n + 1], where each line begins.
        stream: int32[n].
        streams: how many there are.
        lengths: int64[n], gets the bytes of each line.

    Returns:
        The three, and whether streams 0, 1, 2 to the last have entries, each in one stretch, one after the other.
    """
    oldest, newest, longest = _LAST, _FIRST, 0
    last = -1
    in_order = True
    for row in range(len(ts)):
        oldest = min(oldest, ts[row])
        newest = max(newest, ts[row])
        lengths[row] = offsets[row + 1] - offsets[row]
        longest = max(longest, lengths[row])
        if stream[row] != last:
            last += 1
            in_order &= stream[row] == last
    return oldest, newest, longest, in_order and last == streams - 1
