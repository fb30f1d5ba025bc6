"""Vectors of consecutive steps in columns: aggregating groups, matching the samples of two sides.

In all of them a vector's samples are taken in order: sums of floats, and which of equal samples counts, depend on it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from storage.kernels.cache import OFFSETS, inner, kernel

SUM, MEAN, LARGEST, SMALLEST, COUNT, DEVIATION, VARIANCE = range(7)
"""The aggregations."""

FLOATS = "Array(float64, 1, 'C', True)"

_ONE = np.uint64(1)


@kernel(f"int64({OFFSETS}, {OFFSETS}, int64[::1], int64[::1], int64[::1])")
def find_groups(bounds: Any, codes: Any, slots: Any, places: Any, heads: Any) -> Any:
    """Numbers the groups of each vector in the order in which they are met, one vector's after the other's.

    Args:
        bounds: int64[steps + 1], where each vector begins.
        codes: int64[n], what each sample's group is told by.
        slots: int64[codes], all -1; written to.
        places: int64[n], filled: the number of each sample's group.
        heads: int64[steps + 1], filled: where the groups of each vector begin.

    Returns:
        How many groups there are.
    """
    found = np.int64(0)
    for step in range(np.uint64(len(bounds) - 1)):
        heads[step] = found
        begin = found
        for at in range(np.uint64(bounds[step]), np.uint64(bounds[step + _ONE])):
            code = np.uint64(codes[at])
            if slots[code] < begin:
                slots[code] = found
                found += 1
            places[at] = slots[code]
    heads[np.uint64(len(bounds) - 1)] = found
    return found


@inner
def _added(function: Any, value: Any, count: Any, total: Any, mean: Any) -> Any:
    """(total, mean) of a group with one more value, the first if count is 1."""
    if count == 1.0:
        if function in (DEVIATION, VARIANCE):
            return 0.0, value
        return value, value
    if function == SUM:
        return total + value, mean
    if function == MEAN:
        return total + (value - total) / count, mean
    if function == LARGEST:
        return value if value > total or math.isnan(total) else total, mean
    if function == SMALLEST:
        return value if value < total or math.isnan(total) else total, mean
    delta = value - mean
    mean += delta / count
    return total + delta * (value - mean), mean


@kernel(f"void(int64, {OFFSETS}, {FLOATS}, float64[::1], float64[::1], float64[::1])")
def reduce_groups(function: Any, places: Any, values: Any, totals: Any, counts: Any, means: Any) -> None:
    """Aggregates groups.

    Args:
        function: SUM or another.
        places: int64[n], the group of each sample.
        values: float64[n].
        totals: float64[groups], filled: what becomes of each.
        counts: float64[groups], all 0; written to.
        means: float64[groups], likewise.
    """
    for at in range(np.uint64(len(places))):
        group = np.uint64(places[at])
        counts[group] += 1.0
        totals[group], means[group] = _added(function, values[at], counts[group], totals[group], means[group])
    for number in range(np.uint64(len(totals))):
        if function == COUNT:
            totals[number] = counts[number]
        elif function == VARIANCE:
            totals[number] /= counts[number]
        elif function == DEVIATION:
            totals[number] = math.sqrt(totals[number] / counts[number])


@kernel(f"int64({OFFSETS}, {OFFSETS}, int64[::1])")
def first_repeat(bounds: Any, codes: Any, slots: Any) -> Any:
    """The step of the first vector with two samples of one code, the number of steps if there is none.

    Args:
        bounds: int64[steps + 1], where each vector begins.
        codes: int64[n].
        slots: int64[codes], all -1; written to.
    """
    for step in range(np.uint64(len(bounds) - 1)):
        for at in range(np.uint64(bounds[step]), np.uint64(bounds[step + _ONE])):
            code = np.uint64(codes[at])
            if slots[code] == np.int64(step):
                return np.int64(step)
            slots[code] = np.int64(step)
    return np.int64(len(bounds) - 1)


@kernel(f"void({OFFSETS}, {OFFSETS}, {OFFSETS}, {OFFSETS}, int64[::1], int64[::1])")
def find_partners(bounds: Any, codes: Any, other_bounds: Any, other_codes: Any, slots: Any, partners: Any) -> None:
    """Finds the sample with the same code in the other vector of the same step.

    Args:
        bounds: int64[steps + 1], where each vector begins.
        codes: int64[n].
        other_bounds: int64[steps + 1], of the other side.
        other_codes: int64[m].
        slots: int64[codes], all -1; written to.
        partners: int64[n], filled: the place of the other sample, -1 if there is none. Of several, the last.
    """
    for step in range(np.uint64(len(bounds) - 1)):
        begin = other_bounds[step]
        for at in range(np.uint64(begin), np.uint64(other_bounds[step + _ONE])):
            slots[np.uint64(other_codes[at])] = at
        for at in range(np.uint64(bounds[step]), np.uint64(bounds[step + _ONE])):
            partner = slots[np.uint64(codes[at])]
            partners[at] = partner if partner >= begin else -1


@kernel(f"void({OFFSETS}, {OFFSETS}, int64[::1], int64[::1])")
def spread(first: Any, stop: Any, next_place: Any, segments: Any) -> None:
    """Lays segments of series, which stand by series, out by step.

    Args:
        first: int64[m], the first step of each segment.
        stop: int64[m], the step after its last.
        next_place: int64[steps], where the samples of each step begin; moved on.
        segments: int64[n], filled: the segment of each sample.
    """
    for segment in range(np.uint64(len(first))):
        for step in range(np.uint64(first[segment]), np.uint64(stop[segment])):
            segments[np.uint64(next_place[step])] = np.int64(segment)
            next_place[step] += 1
