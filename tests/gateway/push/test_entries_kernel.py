"""The glance at times and lengths says what a look at each says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.push.kernels.entries import measure_entries
from storage.batch import texts

TIMES = st.integers(-(1 << 63), (1 << 63) - 1)


@given(st.lists(st.tuples(TIMES, st.binary(max_size=9)), min_size=1, max_size=20))
def test_first_last_and_longest(entries: list[tuple[int, bytes]]) -> None:
    times = [ts for ts, _ in entries]
    sizes = [len(line) for _, line in entries]
    lengths = np.empty(len(entries), np.int64)
    found = measure_entries(np.array(times, np.int64), texts(line for _, line in entries).offsets, lengths)
    assert found == (min(times), max(times), max(sizes))
    assert lengths.tolist() == sizes


def test_of_no_entries_the_times_are_beyond_all() -> None:
    nothing = np.empty(0, np.int64)
    assert measure_entries(nothing, np.zeros(1, np.int64), nothing) == ((1 << 63) - 1, -(1 << 63), 0)
