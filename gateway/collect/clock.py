"""Times of entries. No two of a stream may have the same: two equal lines at one time would be one entry."""

from __future__ import annotations

import time

import numpy as np

from gateway.collect.rows import I64

_AHEAD = 10_000_000_000
"""ns that times may run ahead of the clock, when there are more lines than nanoseconds or the clock was set back."""


class ReadingClock:
    """Times of reading: each later than the one before."""

    def __init__(self) -> None:
        self._last = 0

    def take(self, count: int) -> I64:
        """int64[count], ns, a nanosecond apart."""
        now = time.time_ns()
        first = self._last + 1 if now <= self._last < now + _AHEAD else now
        self._last = first + count - 1
        return np.arange(first, first + count, dtype=np.int64)


def distinct(said: I64, carry: tuple[int, int]) -> tuple[I64, tuple[int, int]]:
    """Times that records say, with those of a row of equal ones set a nanosecond apart.

    Args:
        said: int64[n], ns, n > 0.
        carry: the last time said before them, and how many before that in a row were the same.

    Returns:
        The times, and the carry for what follows.
    """
    row = np.arange(len(said))
    is_new = np.ones(len(said), np.bool_)
    is_new[1:] = said[1:] != said[:-1]
    begin = np.maximum.accumulate(np.where(is_new, row, 0))
    bump = row - begin
    if said[0] == carry[0]:
        bump = np.where(begin == 0, bump + carry[1] + 1, bump)
    return said + bump, (int(said[-1]), int(bump[-1]))
