"""Counting into buckets says what looking for each value's bucket says."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.kernels.counts import count_values

BOUNDS = st.lists(st.integers(-50, 50).map(lambda half: half / 2), max_size=6, unique=True).map(sorted)


@given(st.lists(st.integers(-30, 30), max_size=30), BOUNDS)
def test_each_value_is_in_the_first_bucket_whose_bound_it_does_not_exceed(
    values: list[int], bounds: list[float]
) -> None:
    counts = np.full(len(bounds) + 1, 99, np.int64)
    total = count_values(np.array(values, np.int64), np.array(bounds, np.float64), counts)
    expected = [0] * (len(bounds) + 1)
    for value in values:
        expected[bisect_left(bounds, value)] += 1
    assert counts.tolist() == expected
    assert total == sum(values)
