"""Key/value pairs of rows into columns: per key the code of each row, and which values make up its dictionary."""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, OFFSETS, kernel
from storage.kernels.spans import number_spans, table_size

NUMBERS = "Array(int32, 1, 'C', True)"
"""int32[n], not written to."""


@kernel(
    f"void({BYTES}, {OFFSETS}, {OFFSETS}, {OFFSETS}, {NUMBERS}, {NUMBERS}, uint64, "
    "int32[:, ::1], int64[::1], int64[::1], int64[::1])"
)
def encode_columns(
    data: Any,
    starts: Any,
    ends: Any,
    row: Any,
    key: Any,
    column: Any,
    seed: Any,
    codes: Any,
    kept: Any,
    bounds: Any,
    offsets: Any,
) -> None:
    """The rule of storage.build.column_of for every key that gets a column.

    Args:
        data: uint8[], what the values lie in.
        starts: int64[m], where the value of each pair begins.
        ends: int64[m], where it ends.
        row: int64[m], of each pair, ascending; of a row's pairs with one key the last counts.
        key: int32[m], of each pair.
        column: int32[keys], the column of each key, -1 for none.
        seed: uint64, secret, for hashing.
        codes: int32[columns, rows], gets each row's code, -1 where it has no such key.
        kept: int64[m], gets the pairs whose values are kept, column after column.
        bounds: int64[columns + 1], gets where those of each column begin in `kept`.
        offsets: int64[m + columns], gets each column's offsets into its own values: those of column c begin at
            bounds[c] + c.
    """
    columns = len(bounds) - 1
    begin = np.zeros(columns + 1, np.int64)
    for pair in range(len(key)):
        if column[key[pair]] >= 0:
            begin[column[key[pair]] + 1] += 1
    most = 0
    for c in range(columns):
        most = max(most, begin[c + 1])
        begin[c + 1] += begin[c]
    places = np.empty(begin[columns], np.int64)
    at = begin[:-1].copy()
    for pair in range(len(key)):
        c = column[key[pair]]
        if c >= 0:
            places[at[c]] = pair
            at[c] += 1
    codes[:] = -1
    numbers = np.empty(most, np.int32)
    firsts = np.empty(most, np.int64)
    hashes = np.empty(most, np.uint64)
    table = np.empty(table_size(most), np.int32)
    bounds[0] = filled = 0
    for c in range(columns):
        own = places[begin[c] : begin[c + 1]]
        pairs = len(own)
        limit = 1 if pairs == 1 else pairs // 2
        count = number_spans(data, starts, ends, own, seed, limit, numbers, firsts, hashes, table[: table_size(pairs)])
        is_dictionary = count <= limit
        for i in range(pairs):
            codes[c, row[own[i]]] = numbers[i] if is_dictionary else i
        if not is_dictionary:
            count = pairs
        size = 0
        offsets[filled + c] = 0
        for i in range(count):
            place = firsts[i] if is_dictionary else own[i]
            kept[filled + i] = place
            size += ends[place] - starts[place]
            offsets[filled + c + i + 1] = size
        filled += count
        bounds[c + 1] = filled


@kernel(f"int64({OFFSETS}, {NUMBERS}, {NUMBERS}, int64[::1])")
def pairs_without_column(row: Any, key: Any, column: Any, places: Any) -> Any:
    """The pairs, ascending, whose key has no column; of a row's pairs with one key only the last. How many there are.

    Args:
        row: int64[m], ascending.
        key: int32[m].
        column: int32[keys], -1 for the keys that have none.
        places: int64[m], gets the pairs in its last elements.
    """
    seen = np.full(len(column), -1, np.int64)
    at = len(places)
    for pair in range(len(key) - 1, -1, -1):
        if column[key[pair]] < 0 and seen[key[pair]] != row[pair]:
            seen[key[pair]] = row[pair]
            at -= 1
            places[at] = pair
    return len(places) - at
