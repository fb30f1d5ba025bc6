"""Columns of pairs made by kernels are those that Arrow's dictionaries make."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.batch import MAX_COLUMNS, Column, Pairs, Texts, texts, texts_from_arrow
from storage.build import TextSpans, column_of, columns_of_pairs, columns_of_spans, text_spans
from storage.kernels.spans import distinct

VALUES = st.one_of(st.sampled_from([b"", b"a", b"b", b"\xff", b"a" * 8, b"a" * 9, b"a" * 16]), st.binary(max_size=20))


def arrow_column(n: int, rows: np.ndarray, values: Texts) -> Column:
    """The rule in its readable form."""
    codes = np.full(n, -1, np.int32)
    if len(values) == 0:
        return Column(codes, values)
    encoded = values.to_arrow().dictionary_encode()
    if 2 * len(encoded.dictionary) <= len(values) or len(values) == 1:
        codes[rows] = encoded.indices.to_numpy()
        return Column(codes, texts_from_arrow(encoded.dictionary))
    codes[rows] = np.arange(len(values), dtype=np.int32)
    return Column(codes, values)


def said(column: Column) -> Any:
    return column.codes.tolist(), column.values.tolist()


def pairs_said(rest: Pairs | None) -> list[list[tuple[str, bytes]]]:
    if rest is None:
        return []
    pairs = list(zip([rest.names[key] for key in rest.keys.tolist()], rest.values.tolist(), strict=True))
    return [pairs[first:last] for first, last in pairwise(rest.offsets.tolist())]


@given(st.lists(VALUES, max_size=60), st.data())
def test_distinct_spans_are_numbered_in_order_of_appearance(values: list[bytes], data: st.DataObject) -> None:
    before = data.draw(st.binary(max_size=9))
    column = texts([before, *values])
    spans = text_spans(column)
    starts, ends = spans.starts[1:], spans.ends[1:]
    numbers, firsts = np.empty(len(values), np.int32), np.empty(len(values), np.int64)
    seed = np.uint64(data.draw(st.integers(0, (1 << 64) - 1)))
    count = distinct(column.data, starts, ends, seed, numbers, firsts)
    order = list(dict.fromkeys(values))
    assert numbers.tolist() == [order.index(value) for value in values]
    assert firsts[:count].tolist() == [values.index(value) for value in order]


@given(st.lists(st.tuples(st.integers(0, 40), VALUES), max_size=60))
def test_a_column_is_arrows(pairs: list[tuple[int, bytes]]) -> None:
    pairs.sort(key=lambda pair: pair[0])
    rows = np.array([row for row, _ in pairs], np.int64)
    values = texts(value for _, value in pairs)
    assert said(column_of(41, rows, values)) == said(arrow_column(41, rows, values))


@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, MAX_COLUMNS * 2), VALUES), max_size=200),
    st.integers(0, 3),
)
def test_pairs_become_columns_and_the_rest(pairs: list[tuple[int, int, bytes]], crowd: int) -> None:
    pairs += [(row, 5, b"often") for row in range(crowd)]
    pairs.sort(key=lambda pair: pair[0])
    names = [f"k{key}" for key in range(MAX_COLUMNS * 2 + 1)]
    row = np.array([pair[0] for pair in pairs], np.int64)
    key = np.array([pair[1] for pair in pairs], np.int32)
    values = [pair[2] for pair in pairs]
    columns, rest = columns_of_pairs(16, names, row, key, texts(values))
    if not pairs:
        assert (columns, rest) == ({}, None)
        return
    counts = [sum(other == number for _, other, _ in pairs) for number in range(len(names))]
    chosen = sorted(range(len(names)), key=lambda number: -counts[number])[:MAX_COLUMNS]
    assert list(columns) == [names[number] for number in sorted(chosen)]
    for number in chosen:
        own = np.flatnonzero(key == number)
        expected = arrow_column(16, row[own], texts(values[place] for place in own.tolist()))
        assert said(columns[names[number]]) == said(expected)
    left: list[dict[str, bytes]] = [{} for _ in range(16)]
    for at, number, value in pairs:
        if number not in chosen:
            left[at].pop(names[number], None)  # the last of a row's equal keys is the one that is kept, in its place
            left[at][names[number]] = value
    assert pairs_said(rest) == [list(pairs_of_row.items()) for pairs_of_row in left]


def test_values_may_lie_anywhere() -> None:
    data = np.frombuffer(b"..abc..ab", np.uint8)
    spans = TextSpans(data, np.array([2, 7, 3], np.int64), np.array([4, 9, 5], np.int64))
    columns, rest = columns_of_spans(
        3, ["k", "other"], np.arange(3, dtype=np.int64), np.array([0, 0, 1], np.int32), spans
    )
    assert rest is None
    assert said(columns["k"]) == ([0, 0, -1], [b"ab"])
    assert said(columns["other"]) == ([-1, -1, 0], [b"bc"])
    assert spans.take(np.array([1, 2], np.int64)).tolist() == [b"ab", b"bc"]
