"""Columns of a batch at some rows, and telling rows apart by small numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from logql.columns.labels import distinct_keys
from logql.columns.rows import of_rows, used_codes


@settings(deadline=None)
@given(codes=st.lists(st.integers(0, 40) | st.integers(0, 3000)))
def test_the_codes_that_there_are(codes: list[int]) -> None:
    assert used_codes(np.array(codes, np.int32)) == sorted(set(codes))


@settings(deadline=None)
@given(
    keys=st.lists(st.integers(-3, 9) | st.integers(-(1 << 62), 1 << 62))
    | st.lists(st.integers(-3, 9))
    | st.lists(st.integers(1 << 61, (1 << 61) + 70)),
)
def test_distinct_keys_are_numbered(keys: list[int]) -> None:
    first, codes = distinct_keys(np.array(keys, np.int64))
    assert [keys[place] for place in first.tolist()] == list(dict.fromkeys(keys[place] for place in first.tolist()))
    assert {keys[place] for place in first.tolist()} == set(keys)
    assert [keys[first[code]] for code in codes.tolist()] == keys
    assert all(keys.index(keys[place]) == place for place in first.tolist())


def test_all_rows_of_a_column_are_the_column() -> None:
    column = np.array([5, 6, 7], np.int32)
    assert of_rows(column, np.arange(3)) is column
    assert of_rows(column, np.array([0, 2])).tolist() == [5, 7]
