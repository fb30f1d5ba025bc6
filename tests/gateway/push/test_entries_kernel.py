"""The glance at times and lengths says what a look at each says."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.push.kernels.entries import measure_entries
from storage.batch import texts

TIMES = st.integers(-(1 << 63), (1 << 63) - 1)


@given(st.lists(st.tuples(TIMES, st.binary(max_size=9), st.integers(0, 3)), min_size=1, max_size=20), st.integers(1, 5))
def test_first_last_longest_and_order(entries: list[tuple[int, bytes, int]], streams: int) -> None:
    times = [ts for ts, _, _ in entries]
    sizes = [len(line) for _, line, _ in entries]
    numbers = [number for _, _, number in entries]
    lengths = np.empty(len(entries), np.int64)
    offsets = texts(line for _, line, _ in entries).offsets
    found = measure_entries(np.array(times, np.int64), offsets, np.array(numbers, np.int32), streams, lengths)
    in_order = [number for number, _ in groupby(numbers)] == list(range(streams))
    assert found == (min(times), max(times), max(sizes), in_order)
    assert lengths.tolist() == sizes


def test_of_no_entries_the_times_are_beyond_all() -> None:
    nothing = np.empty(0, np.int64)
    found = measure_entries(nothing, np.zeros(1, np.int64), np.empty(0, np.int32), 0, nothing)
    assert found == ((1 << 63) - 1, -(1 << 63), 0, True)


def test_streams_without_entries_are_not_in_order() -> None:
    nothing = np.empty(0, np.int64)
    assert not measure_entries(nothing, np.zeros(1, np.int64), np.empty(0, np.int32), 1, nothing)[3]
