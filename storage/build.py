"""Building a Batch entry by entry: for doors that decode in Python, and for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from storage.batch import MAX_COLUMNS, Batch, Column, Labels, Pairs, Texts, texts, texts_from_arrow


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


def column_of(n: int, rows: np.ndarray, values: Texts) -> Column:
    """The column that has `values` at `rows` (ascending; of equal rows the last counts) of n.

    The values become a dictionary while fewer than half of them are distinct, and stay one a row otherwise.
    """
    codes = np.full(n, -1, np.int32)
    if len(values) == 0:
        return Column(codes, values)
    encoded = values.to_arrow().dictionary_encode()
    if 2 * len(encoded.dictionary) <= len(values) or len(values) == 1:
        codes[rows] = encoded.indices.to_numpy()
        return Column(codes, texts_from_arrow(encoded.dictionary))
    codes[rows] = np.arange(len(values), dtype=np.int32)
    return Column(codes, values.compact())


def columns_of_pairs(
    n: int, names: Sequence[str], pair_row: np.ndarray, pair_key: np.ndarray, values: Texts
) -> tuple[dict[str, Column], Pairs | None]:
    """Splits the key/value pairs of n rows into columns for the MAX_COLUMNS most frequent keys and the rest.

    Args:
        n: rows.
        names: distinct keys.
        pair_row: int64[m], ascending: the row of each pair.
        pair_key: int32[m], index into `names`.
        values: m values.
    """
    if not len(pair_row):
        return {}, None
    counts = np.bincount(pair_key, minlength=len(names))
    chosen = np.sort(np.argsort(-counts, kind="stable")[:MAX_COLUMNS])
    columns = {}
    for key in chosen.tolist():
        at = np.flatnonzero(pair_key == key)
        columns[names[key]] = column_of(n, pair_row[at], values.take(at))
    if len(names) <= MAX_COLUMNS:
        return columns, None
    left = _last_of_each(np.flatnonzero(~np.isin(pair_key, chosen)), pair_row * len(names) + pair_key)
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(pair_row[left], minlength=n), out=offsets[1:])
    used, codes = np.unique(pair_key[left], return_inverse=True)
    rest = Pairs(offsets, codes.astype(np.int32), tuple(names[key] for key in used.tolist()), values.take(left))
    return columns, rest


def _last_of_each(places: np.ndarray, ident: np.ndarray) -> np.ndarray:
    """The places (ascending) without those whose `ident` comes again later: of a key given twice the last counts."""
    _, from_end = np.unique(ident[places][::-1], return_index=True)
    return places if len(from_end) == len(places) else places[np.sort(len(places) - 1 - from_end)]
