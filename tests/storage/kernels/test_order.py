from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.kernels.order import merge_stretches, stretches, times_of_stretches, widen

HOUR = 3_600_000_000_000
few_times = st.integers(-3, 3).flatmap(lambda hour: st.integers(0, 3).map(lambda ns: hour * HOUR + ns))
any_times = st.integers(-(1 << 63), (1 << 63) - 1)
rows = st.lists(st.tuples(st.integers(0, 2), few_times | any_times), max_size=30)
Rows = list[tuple[int, int]]


def columns(given_rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[0] for row in given_rows], np.int32), np.array([row[1] for row in given_rows], np.int64)


def heads_of(given_rows: Rows) -> list[int]:
    stream, ts = columns(given_rows)
    heads = np.empty(len(ts), np.int64)
    count = stretches(stream, ts, HOUR, heads)
    return [int(row) for row in heads[:count]]


@given(rows)
def test_a_stretch_is_of_one_stream_and_hour_and_does_not_descend(given_rows: Rows) -> None:
    bounds = [*heads_of(given_rows), len(given_rows)]
    assert bounds[0] == 0
    for first, last in pairwise(bounds):
        part = given_rows[first:last]
        assert len({(stream, ts // HOUR) for stream, ts in part}) == 1
        assert part == sorted(part)


@given(st.lists(st.tuples(st.integers(0, 2), few_times), max_size=30))
def test_stretches_are_as_long_as_they_can_be(given_rows: Rows) -> None:
    expected = [
        at
        for at, (stream, ts) in enumerate(given_rows)
        if at == 0
        or stream != given_rows[at - 1][0]
        or ts < given_rows[at - 1][1]
        or ts // HOUR != given_rows[at - 1][1] // HOUR
    ]
    assert heads_of(given_rows) == expected


@given(rows)
def test_merged_stretches_are_a_stable_sort_of_each_bucket(given_rows: Rows) -> None:
    stream, ts = columns(given_rows)
    heads = np.array(heads_of(given_rows), np.int64)
    counts = np.diff(heads, append=len(ts))
    arranged = np.argsort(stream[heads], kind="stable") if len(heads) else heads
    bucket = stream[heads][arranged]
    buckets = np.flatnonzero(np.concatenate(([True], bucket[1:] != bucket[:-1], [True]))) if len(heads) else heads
    order, spare, ends = np.empty(len(ts), np.int64), np.empty(len(ts), np.int64), np.empty(len(heads) + 1, np.int64)
    merge_stretches(ts, heads[arranged], counts[arranged], buckets, order, spare, ends)
    assert order.tolist() == sorted(range(len(given_rows)), key=lambda row: given_rows[row])


@given(rows, rows)
def test_bounds_are_widened_to_every_time(first: Rows, second: Rows) -> None:
    oldest, newest = np.full(3, (1 << 63) - 1, np.int64), np.full(3, -(1 << 63), np.int64)
    for part in (first, second):
        widen(*columns(part), oldest, newest)
    for number in range(3):
        times = [ts for stream, ts in first + second if stream == number]
        assert oldest[number] == min(times, default=(1 << 63) - 1)
        assert newest[number] == max(times, default=-(1 << 63))


@given(rows)
def test_times_of_stretches_are_the_least_and_greatest(given_rows: Rows) -> None:
    stream, ts = columns(given_rows)
    streams, (low, high) = np.empty(len(ts), np.int32), np.empty((2, len(ts)), np.int64)
    count = times_of_stretches(stream, ts, streams, low, high)
    expected: list[tuple[int, list[int]]] = []
    for number, when in given_rows:
        if expected and expected[-1][0] == number:
            expected[-1][1].append(when)
        else:
            expected.append((number, [when]))
    found = list(zip(streams[:count].tolist(), low[:count].tolist(), high[:count].tolist(), strict=True))
    assert found == [(number, min(times), max(times)) for number, times in expected]
