from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.growing import Growing


@given(st.lists(st.lists(st.integers(-9, 9), max_size=40), max_size=12))
def test_it_is_a_list_and_what_was_seen_of_it_stays(parts: list[list[int]]) -> None:
    growing: Growing[np.int64] = Growing(np.int64, [5])
    expected, seen = [5], []
    for part in parts:
        if len(part) == 1:
            growing.append(part[0])
        else:
            growing.extend(part)
        expected += part
        seen.append((growing.view, list(expected)))
    assert len(growing) == len(expected)
    assert all(view.tolist() == values for view, values in seen)
