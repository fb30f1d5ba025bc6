from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.batch import Column, concat_texts, empty_batch, texts, texts_from_arrow

strings = st.lists(st.binary(max_size=9), max_size=12)


@given(strings)
def test_texts_are_the_strings_they_were_made_of(values: list[bytes]) -> None:
    made = texts(values)
    assert made.tolist() == values
    assert [made[row] for row in range(len(made))] == values
    assert made.nbytes == sum(map(len, values))
    assert made.lengths.tolist() == [len(value) for value in values]


@given(strings, st.data())
def test_texts_take_any_rows_in_any_order(values: list[bytes], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, max(len(values) - 1, 0)), max_size=20 if values else 0))
    assert texts(values).take(np.array(rows, np.int64)).tolist() == [values[row] for row in rows]


@given(strings, st.data())
def test_a_slice_is_a_view_that_compact_cuts_loose(values: list[bytes], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values)))
    stop = data.draw(st.integers(start, len(values)))
    view = texts(values).slice(start, stop)
    assert view.tolist() == values[start:stop]
    assert view.nbytes == sum(map(len, values[start:stop]))
    loose = view.compact()
    assert loose.tolist() == values[start:stop]
    assert loose.offsets[0] == 0
    assert len(loose.data) == loose.nbytes


@given(st.lists(strings, min_size=1, max_size=4), st.data())
def test_joined_texts_are_the_strings_of_all_parts(parts: list[list[bytes]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(parts[0])))
    views = [texts(parts[0]).slice(cut, len(parts[0])), *map(texts, parts[1:])]
    assert concat_texts(views).tolist() == [*parts[0][cut:], *(value for part in parts[1:] for value in part)]


@given(strings)
def test_texts_survive_arrow(values: list[bytes]) -> None:
    assert texts(values).to_arrow().to_pylist() == values
    for kind in (pa.binary(), pa.large_binary()):
        assert texts_from_arrow(pa.array(values, kind)).tolist() == values
        assert texts_from_arrow(pa.array([b"before", *values], kind)[1:]).tolist() == values


@given(st.lists(st.one_of(st.none(), st.integers(0, 60)), max_size=30), st.data())
def test_a_column_taken_has_the_values_of_its_rows(codes: list[int | None], data: st.DataObject) -> None:
    column = Column(
        np.array([-1 if code is None else code for code in codes], np.int32),
        texts([b"%d" % number for number in range(61)]),
    )
    rows = data.draw(st.lists(st.integers(0, max(len(codes) - 1, 0)), max_size=12 if codes else 0))
    taken = column.take(np.array(rows, np.int64))
    assert [taken[row] for row in range(len(rows))] == [
        None if (code := codes[row]) is None else b"%d" % code for row in rows
    ]


def test_a_column_taken_for_few_rows_keeps_no_large_dictionary() -> None:
    column = Column(np.arange(10_000, dtype=np.int32), texts([b"%d" % number for number in range(10_000)]))
    assert len(column.take(np.array([7, 9_000], np.int64)).values) == 2


def test_an_empty_batch_has_no_rows() -> None:
    assert len(empty_batch([])) == 0


def test_values_of_a_batch_cannot_be_replaced() -> None:
    with pytest.raises(AttributeError):
        empty_batch([]).ts = np.zeros(1, np.int64)  # type: ignore[misc]
