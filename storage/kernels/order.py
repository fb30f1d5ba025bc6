"""Kernels over (stream, ts): which neighbouring rows belong together, block order by merging them, times per stream.

What comes in is nearly sorted: a push has its entries by stream, ascending in ts. So rows are not sorted one by one;
the stretches in which they already ascend are, and then merged where they overlap.
"""

from __future__ import annotations

from typing import Any

from storage.kernels.cache import OFFSETS, inner, kernel

CODES = "Array(int32, 1, 'C', True)"
"""int32[n], not written to."""


@kernel(f"int64({CODES}, {OFFSETS}, int64, int64[::1])")
def stretches(stream: Any, ts: Any, width: int, heads: Any) -> int:
    """Cuts rows into the longest stretches of one stream and one `width` of time in which ts does not descend.

    Args:
        stream: int32[n].
        ts: int64[n], ns.
        width: ns; times are of one width if they are equal when divided by it, rounded down.
        heads: int64[n], gets the first row of each stretch.

    Returns:
        How many there are.
    """
    count = 0
    last = 0
    for i in range(len(ts)):
        if i == 0 or stream[i] != stream[i - 1] or ts[i] < ts[i - 1] or ts[i] > last:
            heads[count] = i
            count += 1
            last = ts[i] - ts[i] % width + (width - 1)
    return count


@inner
def _merge(ts: Any, order: Any, start: int, middle: int, end: int, spare: Any) -> None:
    """Merges two neighbouring stretches of `order` by ts; of equal times the left one's comes first."""
    first = ts[order[middle]]
    while start < middle and ts[order[start]] <= first:
        start += 1
    if start == middle:
        return
    size = middle - start
    for i in range(size):
        spare[i] = order[start + i]
    left = 0
    right = middle
    at = start
    while left < size:
        if right < end and ts[order[right]] < ts[spare[left]]:
            order[at] = order[right]
            right += 1
        else:
            order[at] = spare[left]
            left += 1
        at += 1


@kernel(f"void({OFFSETS}, {OFFSETS}, {OFFSETS}, {OFFSETS}, int64[::1], int64[::1], int64[::1])")
def merge_stretches(ts: Any, starts: Any, counts: Any, buckets: Any, order: Any, spare: Any, ends: Any) -> None:
    """Row numbers bucket by bucket, each sorted by ts, rows of equal ts in the order of their stretches.

    Args:
        ts: int64[n].
        starts: int64[k], first row of each stretch, whose ts do not descend.
        counts: int64[k], rows of each stretch.
        buckets: int64[m + 1], which stretches are of which bucket.
        order: int64[n], gets the row numbers.
        spare: int64[n], is written over.
        ends: int64[k + 1], is written over.
    """
    at = 0
    for bucket in range(len(buckets) - 1):
        first = buckets[bucket]
        held = buckets[bucket + 1] - first
        ends[0] = at
        for i in range(held):
            start = starts[first + i]
            for row in range(counts[first + i]):
                order[at] = start + row
                at += 1
            ends[i + 1] = at
        while held > 1:
            pairs = held // 2
            for i in range(pairs):
                _merge(ts, order, ends[2 * i], ends[2 * i + 1], ends[2 * i + 2], spare)
            for i in range(pairs):
                ends[i + 1] = ends[2 * i + 2]
            if held % 2:
                ends[pairs + 1] = ends[held]
            held = pairs + held % 2


@kernel(f"void({CODES}, {OFFSETS}, int64[::1], int64[::1])")
def widen(stream: Any, ts: Any, oldest: Any, newest: Any) -> None:
    """Lowers oldest[stream] and raises newest[stream] to each ts.

    Args:
        stream: int32[n], below the length of the two arrays.
        ts: int64[n].
        oldest: int64[streams].
        newest: int64[streams].
    """
    for i in range(len(ts)):
        number = stream[i]
        when = ts[i]
        oldest[number] = min(oldest[number], when)
        newest[number] = max(newest[number], when)


@kernel(f"int64({CODES}, {OFFSETS}, int32[::1], int64[::1], int64[::1])")
def times_of_stretches(stream: Any, ts: Any, streams: Any, low: Any, high: Any) -> int:
    """The times of each stretch of rows of one stream, whatever their order.

    Args:
        stream: int32[n].
        ts: int64[n].
        streams: int32[n], gets the stream of each stretch.
        low: int64[n], gets its least ts.
        high: int64[n], gets its greatest ts.

    Returns:
        How many stretches there are.
    """
    count = 0
    for i in range(len(ts)):
        when = ts[i]
        if i == 0 or stream[i] != stream[i - 1]:
            streams[count] = stream[i]
            low[count] = when
            high[count] = when
            count += 1
        elif when < low[count - 1]:
            low[count - 1] = when
        elif when > high[count - 1]:
            high[count - 1] = when
    return count
