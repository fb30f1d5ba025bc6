"""What a commit must know of the rows of a group, in one pass over each column."""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import OFFSETS, kernel

_STREAMS = "Array(int32, 1, 'C', True)"
_MARKS = "Array(boolean, 1, 'C', True)"
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1
_MS = 1_000_000

LOW, HIGH, BEFORE = range(3)
"""Rows of the array of a stretch's times."""


@kernel(f"Tuple((int64, int64, int64, boolean))({_STREAMS}, {OFFSETS}, int64[::1], int32[::1], int64[:, ::1])")
def survey(stream: Any, ts: Any, newest: Any, streams: Any, times: Any) -> Any:
    """Looks at the times of rows, and raises newest[stream] to them if each row is past all that came before it.

    Args:
        stream: int32[n], below the length of `newest`.
        ts: int64[n], ns.
        newest: int64[streams], the newest ts of each stream so far; changed only if all rows are new.
        streams: int32[n], gets the stream of each stretch of rows of one stream.
        times: int64[3, n], gets the LOW and HIGH ts of each stretch; the row BEFORE is written over.

    Returns:
        How many stretches there are, the first and the last of all times (the other way round where there are no
        rows), and whether every row is past the newest of its stream and past those of its stream before it.
    """
    count = 0
    first, last = _LAST, _FIRST
    is_new = True
    for i in range(len(ts)):
        when = ts[i]
        number = stream[i]
        if i == 0 or number != stream[i - 1]:
            streams[count] = number
            times[LOW, count] = when
            times[HIGH, count] = when
            times[BEFORE, count] = newest[number]
            count += 1
        else:
            times[LOW, count - 1] = min(times[LOW, count - 1], when)
            times[HIGH, count - 1] = max(times[HIGH, count - 1], when)
        first = min(first, when)
        last = max(last, when)
        is_new &= when > newest[number]
        newest[number] = max(newest[number], when)
    if not is_new:
        for i in range(count - 1, -1, -1):
            newest[streams[i]] = times[BEFORE, i]
    return count, first, last, is_new


@kernel(f"boolean({_STREAMS}, int32[::1], int32[::1], {_STREAMS}, {OFFSETS}, {OFFSETS}, int64)")
def widen_day(known: Any, first: Any, last: Any, stream: Any, low: Any, high: Any, begin: Any) -> bool:
    """Lowers first and raises last of streams, if all of them are known; changes nothing if one is not.

    Args:
        known: int32[k], ascending.
        first: int32[k], ms from `begin`, rounded down.
        last: int32[k], ms from `begin`, rounded up.
        stream: int32[n].
        low: int64[n], ns, what `first` of the stream is to be at most.
        high: int64[n], ns, what `last` of it is to be at least.
        begin: ns; no time is before it.
    """
    for change in (False, True):
        place = 0
        for i in range(len(stream)):
            wanted = stream[i]
            # Streams of a push come in the order in which it names them: often the next one, else looked for.
            if place >= len(known) or known[place] != wanted:
                place = np.searchsorted(known, wanted)
                if place == len(known) or known[place] != wanted:
                    return False
            if change:
                first[place] = min(first[place], (low[i] - begin) // _MS)
                last[place] = max(last[place], (high[i] - begin + _MS - 1) // _MS)
            place += 1
    return True


@kernel(f"boolean({_STREAMS}, {_MARKS})")
def all_marked(stream: Any, marks: Any) -> bool:
    """Whether every number is marked.

    Args:
        stream: int32[n], below the length of `marks`.
        marks: bool[streams].
    """
    for i in range(len(stream)):  # noqa: SIM110 - a loop is what numba compiles
        if not marks[stream[i]]:
            return False
    return True


@kernel(f"int64({OFFSETS}, uint32[::1])")
def lengths_of(offsets: Any, out: Any) -> Any:
    """Writes the length of each string, cut to 32 bits, and gives the greatest of them, uncut.

    Args:
        offsets: int64[n + 1], where each begins.
        out: uint32[n].
    """
    longest = 0
    for i in range(len(out)):
        size = offsets[i + 1] - offsets[i]
        longest = max(longest, size)
        out[i] = size
    return longest
