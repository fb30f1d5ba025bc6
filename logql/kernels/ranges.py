"""Range functions over all windows of all series: what the samples of each window become, as in Loki.

A window's value is worked out from its own samples, in their order, whatever the windows before it gave: sums of floats
depend on the order in which they are added. What is shared between windows is what cannot show: the place of the
smallest value, and running sums that the caller knows to be exact.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from storage.kernels.cache import OFFSETS, inner, kernel

COUNT, SUM, MEAN, RATE, SMALLEST, LARGEST, VARIANCE, DEVIATION, QUANTILE, FIRST, LAST, COUNTER_RATE = range(12)
"""The functions."""

FLOATS = "Array(float64, 1, 'C', True)"

_SECOND = 1_000_000_000
_ONE = np.uint64(1)
_INSERTED = np.uint64(24)
"""So many values are sorted one by one."""

_STEEP = 4
"""What a sample costs of a quantile or variance, where 1 is what it costs of a sum."""


@inner
def _seconds(ns: Any) -> Any:
    return np.float64(ns // _SECOND) + np.float64(ns % _SECOND) / 1e9


@inner
def _first_after(ts: Any, low: Any, high: Any, time: Any) -> Any:
    """The first place in [low, high) with a ts above `time`, `high` if there is none."""
    while low < high:
        middle = (low + high) >> _ONE
        if ts[middle] > time:
            high = middle
        else:
            low = middle + _ONE
    return low


@inner
def _added(values: Any, low: Any, high: Any) -> Any:
    total = 0.0
    for at in range(low, high):
        total += values[at]
    return total


@inner
def _best(values: Any, best: Any, low: Any, high: Any, sign: Any) -> Any:
    """The place of the best value among that of `best` and those of [low, high).

    That is the smallest (sign 1.0) or largest (-1.0), NaN only if there is nothing else, the first of equals.
    """
    for at in range(low, high):
        if sign * values[at] < sign * values[best] or math.isnan(values[best]):
            best = at
    return best


@inner
def _variance(values: Any, low: Any, high: Any) -> Any:
    """The population variance by Welford's method from a mean of 0, so that an infinite value gives NaN."""
    mean, total, count = 0.0, 0.0, 0.0
    for at in range(low, high):
        count += 1.0
        delta = values[at] - mean
        mean += delta / count
        total += delta * (values[at] - mean)
    return total / count


@inner
def _select(values: Any, size: Any, wanted: Any, random: Any) -> Any:
    """Moves the value of rank `wanted` to its place in values[:size], none smaller after it; returns the next `random`.

    Quickselect. Pivots are taken at random, so that no order of values that somebody may have in mind is slow.
    """
    low, high = np.uint64(0), np.uint64(size)
    while high - low > _INSERTED:
        random ^= random << np.uint64(13)
        random ^= random >> np.uint64(7)
        random ^= random << np.uint64(17)
        pivot = values[low + random % (high - low)]
        less, at, more = low, low, high
        while at < more:
            value = values[at]
            if value < pivot:
                values[at] = values[less]
                values[less] = value
                less += _ONE
                at += _ONE
            elif value > pivot:
                more -= _ONE
                values[at] = values[more]
                values[more] = value
            else:
                at += _ONE
        if wanted < less:
            high = less
        elif wanted >= more:
            low = more
        else:
            return random
    for place in range(low + _ONE, high):
        value, to = values[place], np.uint64(place)
        while to > low and values[to - _ONE] > value:
            values[to] = values[to - _ONE]
            to -= _ONE
        values[to] = value
    return random


@inner
def _signed(found: Any, rank: Any, values: Any, low: Any, high: Any) -> Any:
    """The value `found` of a rank, not counting NaN. Zeros of both signs are equal: the one that stands there."""
    if found != 0.0:
        return found
    before = np.int64(0)
    for at in range(low, high):
        if values[at] < 0.0:
            before += 1
    for at in range(low, high):
        if values[at] == 0.0:
            found = values[at]
            if before == np.int64(rank):
                return found
            before += 1
    return found


@inner
def _quantile(rank: Any, values: Any, low: Any, high: Any, room: Any, random: Any) -> Any:
    """(the quantile by linear interpolation between the two nearest values, the next `random`).

    NaN counts as the smallest value. `room` is for as many values, and written to.
    """
    numbers = np.uint64(0)
    for at in range(low, high):
        if not math.isnan(values[at]):
            room[numbers] = values[at]
            numbers += _ONE
    count = high - low
    place = rank * np.float64(np.int64(count) - 1)
    lower = math.floor(place)
    weight = place - lower
    missing = np.int64(count - numbers)
    if lower < missing:
        return math.nan, random
    wanted = np.uint64(np.int64(lower) - missing)
    random = _select(room, numbers, wanted, random)
    left = right = room[wanted]
    if wanted + _ONE < numbers:
        right = room[wanted + _ONE]
        for other in range(wanted + _ONE, numbers):
            right = min(right, room[other])
        right = _signed(right, wanted + _ONE, values, low, high)
    left = _signed(left, wanted, values, low, high)
    if wanted + _ONE == numbers:
        right = left
    return left * (1 - weight) + right * weight, random


@inner
def _counter_rate(ts: Any, values: Any, low: Any, high: Any, begin: Any, end: Any) -> Any:
    """The rate of a counter that may be reset, extrapolated to the window's ends as Prometheus does.

    A window of one sample gives 0, where Prometheus gives nothing (Loki).
    """
    if high - low < np.uint64(2):
        return 0.0
    last = high - _ONE
    increase, previous = values[last] - values[low], 0.0
    for at in range(low, high):
        if values[at] < previous:
            increase += previous  # it began again at 0
        previous = values[at]
    sampled = _seconds(ts[last] - ts[low])
    if sampled == 0.0:
        return math.nan
    gap = sampled / np.float64(np.int64(last - low))
    before, after = _seconds(ts[low] - begin), _seconds(end - ts[last])
    if increase > 0 and values[low] >= 0:
        before = min(before, sampled * (values[low] / increase))
    reach = sampled
    reach += before if before < gap * 1.1 else gap / 2
    reach += after if after < gap * 1.1 else gap / 2
    return increase * (reach / sampled) / _seconds(end - begin)


@kernel(
    f"int64(int64, float64, {OFFSETS}, {FLOATS}, {FLOATS}, {OFFSETS}, int64, int64, int64, int64, int64[::1], "
    "float64[:, ::1], boolean[:, ::1])"
)
def fill_windows(
    function: Any,
    rank: Any,
    ts: Any,
    values: Any,
    sums: Any,
    bounds: Any,
    first_end: Any,
    step: Any,
    width: Any,
    work: Any,
    state: Any,
    found: Any,
    there: Any,
) -> Any:
    """Works out the values of the windows of some steps, series after series, until it has done enough for one call.

    Args:
        function: COUNT or another.
        rank: of a QUANTILE, 0 to 1.
        ts: int64[n], ns, ascending within a series.
        values: float64[n].
        sums: float64[n + 1], sums of the values before each, if all of them are exact; else empty.
        bounds: int64[series + 1], where the samples of each series begin.
        first_end: ns, where the first window ends.
        step: ns between the ends of two windows, > 0.
        width: ns, > 0; a window holds the samples with end - width < ts <= end.
        work: samples to look at before it returns; those of one window are looked at together.
        state: int64[2], the series and the step to go on with; set.
        found: float64[steps, series], set where a window has samples.
        there: bool[steps, series], filled: whether it has.

    Returns:
        1 if there is more to do, 0 when all is done.
    """
    steps = np.int64(len(found))
    seconds = _seconds(width)
    room = np.empty(0, np.float64)
    random = np.uint64(0x9E3779B97F4A7C15)
    exact = len(sums) > 0
    done = np.int64(0)
    while state[0] < len(bounds) - 1:
        series, number = np.uint64(state[0]), np.uint64(state[1])
        stop = np.uint64(bounds[series + _ONE])
        end = first_end + np.int64(number) * step
        low = _first_after(ts, np.uint64(bounds[series]), stop, end - width)
        high = _first_after(ts, low, stop, end)
        best, seen = low, low  # the best of [low, seen), if there are any
        while number < np.uint64(steps):
            while low < stop and ts[low] <= end - width:
                low += _ONE
            while high < stop and ts[high] <= end:
                high += _ONE
            count = np.int64(high - low)
            there[number, series] = count > 0
            done += 1
            if count > 0:
                value = np.float64(count)
                if function == COUNT:
                    pass
                elif function in (SUM, MEAN, RATE):
                    if exact:
                        value = sums[high] - sums[low]
                    else:
                        value = _added(values, low, high)
                        done += count
                    if function == MEAN:
                        value /= np.float64(count)
                    elif function == RATE:
                        value /= seconds
                elif function in (SMALLEST, LARGEST):
                    if best < low or seen <= low:
                        best = seen = low
                    done += np.int64(high - seen) + 1
                    best = _best(values, best, seen, high, 1.0 if function == SMALLEST else -1.0)
                    seen = high
                    value = values[best]
                elif function in (VARIANCE, DEVIATION):
                    value = _variance(values, low, high)
                    done += count * _STEEP
                    if function == DEVIATION:
                        value = np.sqrt(value)
                elif function == QUANTILE:
                    if count > len(room):
                        room = np.empty(count + count // 4, np.float64)
                    value, random = _quantile(rank, values, low, high, room, random)
                    done += count * _STEEP
                elif function == FIRST:
                    value = values[low]
                elif function == LAST:
                    value = values[high - _ONE]
                else:
                    value = _counter_rate(ts, values, low, high, end - width, end)
                    done += count
                found[number, series] = value
            number += _ONE
            end += step
            if done >= work:
                break
        if number < np.uint64(steps):
            state[1] = np.int64(number)
            return 1
        state[0] += 1
        state[1] = 0
        if done >= work:
            return 1
    return 0
