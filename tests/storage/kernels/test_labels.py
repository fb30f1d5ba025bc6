"""Marking label pairs and streams says what looking at each label set says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.kernels.labels import mark_pairs, mark_streams

PAIRS = 7
NAME_OF = np.array([0, 0, 1, 1, 1, 2, 3], np.int32)
tables = st.lists(st.lists(st.integers(0, PAIRS - 1), max_size=4), max_size=8)


def laid_out(sets: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return starts, np.array([code for codes in sets for code in codes], np.int32)


@given(tables, st.data())
def test_pairs_and_names_of_streams(sets: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(sets) - 1))) if sets else []
    starts, codes = laid_out(sets)
    pairs, names = np.zeros(PAIRS, np.bool_), np.zeros(4, np.bool_)
    mark_pairs(starts, codes, NAME_OF, np.array(chosen, np.int32), pairs, names)
    expected = {code for stream in chosen for code in sets[stream]}
    assert set(np.flatnonzero(pairs).tolist()) == expected
    assert set(np.flatnonzero(names).tolist()) == {int(NAME_OF[code]) for code in expected}


@given(tables, st.lists(st.booleans(), max_size=PAIRS), st.integers(0, 8))
def test_streams_with_one_of_some_pairs(sets: list[list[int]], wanted: list[bool], count: int) -> None:
    starts, codes = laid_out(sets)
    out = np.zeros(min(count, len(sets)), np.bool_)
    mark_streams(starts, codes, np.array(wanted, np.bool_), out)
    assert out.tolist() == [any(code < len(wanted) and wanted[code] for code in some) for some in sets[: len(out)]]
