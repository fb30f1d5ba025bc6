"""Key/value pairs of rows: from the columns of many parts, and into columns again."""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, OFFSETS, kernel
from storage.kernels.spans import copy_bytes, number_spans, table_size

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


@kernel(f"int64({NUMBERS}, {OFFSETS}, {OFFSETS}, {OFFSETS}, int64[::1])")
def count_coded(codes: Any, offsets: Any, rows: Any, places: Any, counts: Any) -> Any:
    """Counts the pairs that rows of a part have in one column; bytes of their values.

    Args:
        codes: int32[part], -1 where a row has no pair.
        offsets: int64[k + 1], of the column's values.
        rows: int64[m], rows of the part.
        places: int64[m], the row of the result that each becomes.
        counts: int64[n], pairs of each row of the result so far.
    """
    size = 0
    for i in range(len(rows)):
        code = codes[rows[i]]
        if code >= 0:
            counts[places[i]] += 1
            size += offsets[code + 1] - offsets[code]
    return size


@kernel(
    f"int64({NUMBERS}, {BYTES}, {OFFSETS}, {OFFSETS}, {OFFSETS}, int32, int64[::1], int32[::1], int64[::1], "
    "int64[::1], uint8[::1], int64)"
)
def put_coded(
    codes: Any,
    data: Any,
    offsets: Any,
    rows: Any,
    places: Any,
    key: Any,
    ends: Any,
    keys: Any,
    value_starts: Any,
    value_ends: Any,
    out: Any,
    filled: Any,
) -> Any:
    """Writes the pairs that `count_coded` counted; where their values end.

    Args:
        codes: as there.
        data: uint8[], the column's values.
        offsets: as there.
        rows: as there.
        places: as there.
        key: of the column.
        ends: int64[n], where the pairs of each row of the result end so far.
        keys: int32[pairs], gets the key of each.
        value_starts: int64[pairs], gets where its value begins in `out`.
        value_ends: int64[pairs], gets where it ends.
        out: uint8[], gets the values.
        filled: where they go.
    """
    for i in range(len(rows)):
        code = codes[rows[i]]
        if code >= 0:
            pair = ends[places[i]]
            ends[places[i]] = pair + 1
            keys[pair] = key
            value_starts[pair] = filled
            copy_bytes(out, filled, data, offsets[code], offsets[code + 1])
            filled += offsets[code + 1] - offsets[code]
            value_ends[pair] = filled
    return filled


@kernel(f"int64({OFFSETS}, {OFFSETS}, {OFFSETS}, {OFFSETS}, int64[::1])")
def count_further(pairs: Any, offsets: Any, rows: Any, places: Any, counts: Any) -> Any:
    """As `count_coded`, for the pairs that rows have beside columns.

    Args:
        pairs: int64[part + 1], where the pairs of each row begin.
        offsets: int64[k + 1], where the value of each pair begins.
        rows: as there.
        places: as there.
        counts: as there.
    """
    size = 0
    for i in range(len(rows)):
        first, last = pairs[rows[i]], pairs[rows[i] + 1]
        counts[places[i]] += last - first
        size += offsets[last] - offsets[first]
    return size


@kernel(
    f"int64({OFFSETS}, {NUMBERS}, {NUMBERS}, {BYTES}, {OFFSETS}, {OFFSETS}, {OFFSETS}, int64[::1], int32[::1], "
    "int64[::1], int64[::1], uint8[::1], int64)"
)
def put_further(
    pairs: Any,
    own: Any,
    numbers: Any,
    data: Any,
    offsets: Any,
    rows: Any,
    places: Any,
    ends: Any,
    keys: Any,
    value_starts: Any,
    value_ends: Any,
    out: Any,
    filled: Any,
) -> Any:
    """As `put_coded`, for what `count_further` counted.

    Args:
        pairs: as there.
        own: int32[k], key of each pair.
        numbers: int32[keys of the part], what each is called in the result.
        data: uint8[], the values.
        offsets: as there.
        rows: as there.
        places: as there.
        ends: as in put_coded, like those that follow.
        keys: gets the keys.
        value_starts: gets where values begin.
        value_ends: gets where they end.
        out: gets the values.
        filled: where they go.
    """
    for i in range(len(rows)):
        for at in range(pairs[rows[i]], pairs[rows[i] + 1]):
            pair = ends[places[i]]
            ends[places[i]] = pair + 1
            keys[pair] = numbers[own[at]]
            value_starts[pair] = filled
            copy_bytes(out, filled, data, offsets[at], offsets[at + 1])
            filled += offsets[at + 1] - offsets[at]
            value_ends[pair] = filled
    return filled


@kernel(f"void({NUMBERS}, {OFFSETS}, int64, int64[::1], int64[::1])")
def add_sizes(codes: Any, offsets: Any, name_bytes: Any, sizes: Any, counts: Any) -> None:
    """Adds a column's pairs to what is known of rows.

    Args:
        codes: int32[n], -1 where a row has no pair.
        offsets: int64[k + 1], where each value begins.
        name_bytes: bytes of the column's name.
        sizes: int64[n], bytes of each row's names and values so far.
        counts: int64[n], its pairs so far.
    """
    for row in range(len(codes)):
        code = codes[row]
        if code >= 0:
            sizes[row] += name_bytes + offsets[code + 1] - offsets[code]
            counts[row] += 1
