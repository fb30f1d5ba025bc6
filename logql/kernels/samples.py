"""Putting samples that came in any order into order: by series first, then by time and stream within each.

Sorting is a natural merge sort, stable: samples come as ascending runs, a stream's of a unit, and few of them are
merged quickly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import OFFSETS, inner, kernel

_ONE = np.uint64(1)


@kernel("void(Array(int32, 1, 'C', True), int64[::1], uint32[::1])")
def find_places(series: Any, next_place: Any, places: Any) -> None:
    """Where each sample goes so that those of a series stand together, as they came.

    Args:
        series: int32[m], the number of each one's series.
        next_place: int64[series], the next free place of each; moved on.
        places: uint32[m], filled.
    """
    for row in range(np.uint64(len(series))):
        number = np.uint64(series[row])
        places[row] = next_place[number]
        next_place[number] += 1


@inner
def _precedes(ts: Any, stream: Any, left: Any, right: Any) -> Any:
    return ts[left] < ts[right] or (ts[left] == ts[right] and stream[left] < stream[right])


@kernel(f"int64({OFFSETS}, {OFFSETS}, Array(uint64, 1, 'C', True), boolean[::1])")
def find_unordered(bounds: Any, ts: Any, stream: Any, unordered: Any) -> Any:
    """Tells which series are not in order of (ts, stream).

    Args:
        bounds: int64[series + 1], where the samples of each begin.
        ts: int64[n], ns.
        stream: uint64[n], stream ids.
        unordered: bool[series], filled.

    Returns:
        The samples of the longest of them, 0 if all are in order.
    """
    longest = np.int64(0)
    for number in range(np.uint64(len(unordered))):
        unordered[number] = False
        for at in range(np.uint64(bounds[number]) + _ONE, np.uint64(bounds[number + _ONE])):
            if _precedes(ts, stream, at, at - _ONE):
                unordered[number] = True
                longest = max(longest, bounds[number + _ONE] - bounds[number])
                break
    return longest


@inner
def _run_end(ts: Any, stream: Any, at: Any, end: Any) -> Any:
    """Where the ascending run ends that begins at `at`; `end` if there is none."""
    if at >= end:
        return end
    at += _ONE
    while at < end and not _precedes(ts, stream, at, at - _ONE):
        at += _ONE
    return at


@inner
def _merge_runs(
    ts: Any, stream: Any, values: Any, low: Any, size: Any, to_ts: Any, to_stream: Any, to_values: Any, to: Any
) -> Any:
    """Merges each two runs of [low, low + size) to [to, to + size) of the other columns; how many runs are left."""
    at, end, left = low, low + size, 0
    while at < end:
        middle = _run_end(ts, stream, at, end)
        stop = _run_end(ts, stream, middle, end)
        other = middle
        left += 1
        for place in range(to + (at - low), to + (stop - low)):
            # The earlier run goes first where both are equal.
            if other == stop or (at < middle and not _precedes(ts, stream, other, at)):
                source = at
                at += _ONE
            else:
                source = other
                other += _ONE
            to_ts[place], to_stream[place], to_values[place] = ts[source], stream[source], values[source]
        at = stop
    return left


@kernel(f"void({OFFSETS}, boolean[::1], int64[::1], uint64[::1], float64[::1], int64[::1], uint64[::1], float64[::1])")
def sort_series(
    bounds: Any,
    unordered: Any,
    ts: Any,
    stream: Any,
    values: Any,
    spare_ts: Any,
    spare_stream: Any,
    spare_values: Any,
) -> None:
    """Sorts series by (ts, stream) in place, equal ones as they were.

    Args:
        bounds: int64[series + 1].
        unordered: bool[series], which to sort.
        ts: int64[n], ns.
        stream: uint64[n], stream ids.
        values: float64[n].
        spare_ts: int64[m], room for the longest series that is sorted; likewise the others.
        spare_stream: uint64[m].
        spare_values: float64[m].
    """
    zero = np.uint64(0)
    for number in range(np.uint64(len(unordered))):
        if not unordered[number]:
            continue
        low, size = np.uint64(bounds[number]), np.uint64(bounds[number + _ONE] - bounds[number])
        while True:
            _merge_runs(ts, stream, values, low, size, spare_ts, spare_stream, spare_values, zero)
            if _merge_runs(spare_ts, spare_stream, spare_values, zero, size, ts, stream, values, low) <= 1:
                break
