"""Building a Batch: entry by entry, for doors that decode in Python and for tests, and its metadata out of pairs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from storage.batch import I32, I64, MAX_COLUMNS, U8, Batch, Column, Labels, Pairs, Texts, texts
from storage.kernels.pairs import encode_columns, pairs_without_column
from storage.kernels.spans import gather

SEED = np.uint64(int.from_bytes(os.urandom(8)))
"""What kernels hash strings of clients with: nobody can choose keys or values that all collide."""


class BatchBuilder:
    """Collects entries of one push. Streams are numbered as they are added; one without entries stays in the table."""

    def __init__(self) -> None:
        self.streams: list[Labels] = []
        self._stream: list[int] = []
        self._ts: list[int] = []
        self._lines: list[bytes] = []
        self._pair_row: list[int] = []
        self._pair_key: list[int] = []
        self._pair_value: list[bytes] = []
        self._keys: dict[str, int] = {}

    def add_stream(self, labels: Labels) -> int:
        """Adds a label set and returns its number."""
        self.streams.append(labels)
        return len(self.streams) - 1

    def add(self, stream: int, ts: int, line: bytes, metadata: Iterable[tuple[str, bytes]] = ()) -> None:
        """Adds an entry; `ts` in ns. Of a key given twice the last value is kept."""
        row = len(self._ts)
        self._stream.append(stream)
        self._ts.append(ts)
        self._lines.append(line)
        for key, value in metadata:
            self._pair_row.append(row)
            self._pair_key.append(self._keys.setdefault(key, len(self._keys)))
            self._pair_value.append(value)

    def __len__(self) -> int:
        return len(self._ts)

    def build(self) -> Batch:
        """The Batch of everything added so far."""
        columns, rest = columns_of_pairs(
            len(self._ts),
            tuple(self._keys),
            np.array(self._pair_row, np.int64),
            np.array(self._pair_key, np.int32),
            texts(self._pair_value),
        )
        return Batch(
            streams=self.streams,
            stream=np.array(self._stream, np.int32),
            ts=np.array(self._ts, np.int64),
            lines=texts(self._lines),
            metadata=columns,
            rest=rest,
        )


def column_of(n: int, rows: I64, values: Texts) -> Column:
    """The column that has `values` at `rows` (ascending; of equal rows the last counts) of n.

    The values become a dictionary while at most half of them are distinct, and stay one a row otherwise.
    """
    keys = np.zeros(len(rows), np.int32)
    return _encode(n, ("",), rows, keys, np.zeros(1, np.int32), 1, text_spans(values))[""]


def columns_of_pairs(
    n: int, names: Sequence[str], pair_row: I64, pair_key: I32, values: Texts
) -> tuple[dict[str, Column], Pairs | None]:
    """Splits the key/value pairs of n rows into columns for the MAX_COLUMNS most frequent keys and the rest.

    Args:
        n: rows.
        names: distinct keys.
        pair_row: int64[m], ascending: the row of each pair.
        pair_key: int32[m], index into `names`.
        values: m values.
    """
    return columns_of_spans(n, names, pair_row, pair_key, text_spans(values))


@dataclass(frozen=True, slots=True, eq=False)
class TextSpans:
    """m byte strings that lie anywhere in a buffer.

    Attributes:
        data: uint8[].
        starts: int64[m].
        ends: int64[m].
    """

    data: U8
    starts: I64
    ends: I64

    def take(self, places: I64) -> Texts:
        """The strings at `places`, in that order, in a buffer of their own."""
        offsets = np.zeros(len(places) + 1, np.int64)
        np.cumsum((self.ends - self.starts)[places], out=offsets[1:])
        return self.gathered(places, offsets)

    def gathered(self, places: I64, offsets: I64) -> Texts:
        """`take` where the offsets of what is taken are known."""
        data = np.empty(int(offsets[-1]), np.uint8)
        gather(self.data, self.starts, self.ends, places, data)
        return Texts(data, offsets)


def text_spans(values: Texts) -> TextSpans:
    """The same strings, where they lie."""
    offsets = np.ascontiguousarray(values.offsets)
    return TextSpans(values.data, offsets[:-1], offsets[1:])


def columns_of_spans(
    n: int, names: Sequence[str], pair_row: I64, pair_key: I32, values: TextSpans
) -> tuple[dict[str, Column], Pairs | None]:
    """`columns_of_pairs` for values that are not in a buffer of their own."""
    if not len(pair_row):
        return {}, None
    keys = len(names)
    if keys <= MAX_COLUMNS:
        return _encode(n, names, pair_row, pair_key, np.arange(keys, dtype=np.int32), keys, values), None
    counts = np.bincount(pair_key, minlength=keys)
    chosen = np.sort(np.argsort(-counts, kind="stable")[:MAX_COLUMNS])
    return columns_and_rest(n, names, chosen, pair_row, pair_key, values)


def columns_and_rest(
    n: int, names: Sequence[str], chosen: I64, pair_row: I64, pair_key: I32, values: TextSpans
) -> tuple[dict[str, Column], Pairs]:
    """`columns_of_spans` with columns for the keys `chosen` (ascending) and for no others."""
    keys = len(names)
    column = np.full(keys, -1, np.int32)
    column[chosen] = np.arange(len(chosen))
    titles = [names[key] for key in chosen.tolist()]
    columns = _encode(n, titles, pair_row, pair_key, column, len(chosen), values)
    places = np.empty(len(pair_key), np.int64)
    left = places[len(places) - pairs_without_column(pair_row, pair_key, column, places) :]
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(pair_row[left], minlength=n), out=offsets[1:])
    used = np.flatnonzero(np.bincount(pair_key[left], minlength=keys))
    numbers = np.empty(keys, np.int32)
    numbers[used] = np.arange(len(used))
    own = tuple([names[key] for key in used.tolist()])
    return columns, Pairs(offsets, numbers[pair_key[left]], own, values.take(left))


def _encode(
    n: int, names: Sequence[str], pair_row: I64, pair_key: I32, column: I32, count: int, values: TextSpans
) -> dict[str, Column]:
    """The columns of the keys for which `column` (int32[keys]) has a number 0 <= c < count; column c is `names[c]`."""
    pairs = len(pair_row)
    codes = np.empty((count, n), np.int32)
    kept = np.empty(pairs, np.int64)
    bounds = np.empty(count + 1, np.int64)
    offsets = np.empty(pairs + count, np.int64)
    encode_columns(
        values.data, values.starts, values.ends, pair_row, pair_key, column, SEED, codes, kept, bounds, offsets
    )
    columns = {}
    ends = bounds.tolist()
    for c, (first, last) in enumerate(pairwise(ends)):
        own = offsets[first + c : last + c + 1]
        columns[names[c]] = Column(codes[c], values.gathered(kept[first:last], own))
    return columns
