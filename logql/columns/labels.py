"""Label sets of samples: numbering them, and telling apart by columns which one each entry falls in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock

import numpy as np

from logql.budget import SERIES, Budget
from logql.columns.rows import of_rows, used_codes
from logql.columns.values import LabelValues
from logql.entry_columns import row_keys
from logql.kernels.groups import number_keys
from logql.limits import check_series
from logql.rows import rows_of
from logql.stages.row import ERROR, Row
from storage.batch import I32, I64, Batch, Column, Labels, Texts, texts
from storage.rows import take_pairs, take_rows

_ZERO: I64 = np.zeros(1, np.int64)

_MOST_KEYS = 1 << 62
"""Combinations that are told apart by one int64."""


class LabelSets:
    """The label sets of a range aggregation's samples. For several threads at once."""

    def __init__(self, labels_of: Callable[[Row], Labels], budget: Budget, most: int = 0) -> None:
        """What is met by a query.

        Args:
            labels_of: the labels of a row's sample, as it came through the pipeline.
            budget: of the query.
            most: label sets of samples that did not fail that the query may have; 0: any number.
        """
        self._labels_of = labels_of
        self._budget = budget
        self._most = most
        self._good = 0
        self._of_known: dict[tuple[Labels, tuple[tuple[str, bytes | str], ...]], int] = {}
        self._lock = Lock()
        self._numbers: dict[Labels, int] = {}
        self._labels: list[Labels] = []

    def __getitem__(self, number: int) -> Labels:
        """The label set of a number that was given."""
        return self._labels[number]

    def all(self) -> list[Labels]:
        """Those that have been met, by number."""
        return self._labels.copy()

    def number(self, labels: Labels) -> int:
        """The number of a label set, a new one if need be. Raises LimitError: there is no room for it."""
        with self._lock:
            number = self._numbers.get(labels)
            if number is None:
                if self._most and not any(name == ERROR for name, _ in labels):
                    self._good += 1
                    check_series(self._good, self._most)
                self._budget.take(SERIES + sum(len(name) + len(value) for name, value in labels))
                number = self._numbers[labels] = len(self._numbers)
                self._labels.append(labels)
            return number

    def of_row(self, row: Row) -> int:
        """The number of a row's label set."""
        return self.number(self._labels_of(row))

    def of_stream(self, labels: Labels) -> int:
        """The number of the label set of a stream's entries that have no other labels."""
        return self.of_row(Row(0, b"", labels, ()))

    def of_rows(
        self, batch: Batch, rows: I64, names: frozenset[str] | None, parsed: Mapping[str, LabelValues]
    ) -> tuple[I32, I32]:
        """The label sets of rows, by what their streams, structured metadata and parsed labels are.

        Args:
            batch: where they are.
            rows: int64[m], ascending.
            names: the labels that the samples may have; None: any.
            parsed: label -> its values on the m rows, where they do not come from stream or metadata.

        Returns:
            (int32[m], int32[k]): row -> code, code -> number of the label set.
        """
        bare = _bare(batch, rows, names)
        first, codes = distinct_keys(_keys(bare, parsed))
        if bare.rest is not None:
            some = _with_parsed(take_rows(bare, first), {name: values.take(first) for name, values in parsed.items()})
            numbers = [self.of_row(row) for row, _ in rows_of(some)]
        else:
            numbers = [self._of_pairs(stream, pairs) for stream, pairs in _pairs(bare, first, parsed)]
        return codes, np.array(numbers, np.int32)

    def _of_pairs(self, stream: Labels, pairs: tuple[tuple[str, bytes | str], ...]) -> int:
        """The number of the label set of entries of a stream with these labels besides; units have the same again."""
        number = self._of_known.get((stream, pairs))
        if number is None:
            texts_of = tuple((name, value if isinstance(value, str) else _text(value)) for name, value in pairs)
            number = self._of_known[stream, pairs] = self.of_row(Row(0, b"", stream, texts_of))
        return number


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _pairs(
    bare: Batch, rows: I64, parsed: Mapping[str, LabelValues]
) -> Iterator[tuple[Labels, tuple[tuple[str, bytes | str], ...]]]:
    """The stream of each row, and its labels besides: structured metadata first, which a parsed label does not hide."""
    of_metadata = [(name, column.codes[rows].tolist(), column.values) for name, column in bare.metadata.items()]
    of_parsed = [(name, values.codes[rows].tolist(), values.texts) for name, values in parsed.items()]
    for place, stream in enumerate(bare.stream[rows].tolist()):
        found: dict[str, bytes | str] = {
            name: texts_of[codes[place]] for name, codes, texts_of in of_parsed if codes[place] >= 0
        }
        found |= {name: values[codes[place]] for name, codes, values in of_metadata if codes[place] >= 0}
        yield bare.streams[stream], tuple(found.items())


def _keys(bare: Batch, parsed: Mapping[str, LabelValues]) -> I64:
    """int64[m]: rows with equal keys have equal labels."""
    if bare.rest is not None or not _fits_in_key(bare, parsed):
        return row_keys(_with_parsed(bare, parsed))
    columns = [(column.codes, len(column.values)) for column in bare.metadata.values()]
    columns += [(values.codes, len(values.texts)) for values in parsed.values()]
    keys: I64 | None = bare.stream.astype(np.int64) if len(bare.streams) > 1 else None
    for codes, count in columns:
        if keys is None:
            keys = codes.astype(np.int64)
        else:
            keys *= count + 1
            keys += codes
        keys += 1
    return np.zeros(len(bare), np.int64) if keys is None else keys


def _fits_in_key(bare: Batch, parsed: Mapping[str, LabelValues]) -> bool:
    """Whether one int64 tells all combinations of streams and values apart."""
    counts = [len(column.values) + 1 for column in bare.metadata.values()]
    counts += [len(values.texts) + 1 for values in parsed.values()]
    return math.prod(counts, start=max(1, len(bare.streams))) < _MOST_KEYS


def _bare(batch: Batch, rows: I64, names: frozenset[str] | None) -> Batch:
    """The rows with the labels of these names alone, and without lines."""
    streams, stream = _streams(batch.streams, of_rows(batch.stream, rows), names)
    metadata = {
        name: Column(of_rows(column.codes, rows), column.values)
        for name, column in batch.metadata.items()
        if names is None or name in names
    }
    rest = batch.rest
    if rest is not None and names is not None and names.isdisjoint(rest.names):
        rest = None
    ts: I64 = np.broadcast_to(_ZERO, len(rows))
    lines = Texts(np.zeros(0, np.uint8), np.broadcast_to(_ZERO, len(rows) + 1))
    return Batch(streams, stream, ts, lines, metadata, take_pairs(rest, rows) if rest is not None else None)


def _streams(streams: Sequence[Labels], stream: I32, names: frozenset[str] | None) -> tuple[Sequence[Labels], I32]:
    """A stream table with labels of these names alone: streams that differ in others alone are one."""
    if names is None or not len(stream):
        return streams, stream
    used = used_codes(stream)
    numbers: dict[Labels, int] = {}
    table = np.zeros(used[-1] + 1, np.int32)
    for number in used:
        kept = tuple(pair for pair in streams[number] if pair[0] in names)
        table[number] = numbers.setdefault(kept, len(numbers))
    return list(numbers), table[stream] if len(numbers) > 1 else np.zeros(len(stream), np.int32)


def _with_parsed(bare: Batch, parsed: Mapping[str, LabelValues]) -> Batch:
    """Parsed labels as if they were structured metadata, which makes the same labels where no stream has their name."""
    if not parsed:
        return bare
    metadata = dict(bare.metadata)
    for name, values in parsed.items():
        column = Column(values.codes, texts(text.encode() for text in values.texts))
        if name in metadata:
            column = _or_else(metadata[name], column)
        metadata[name] = column
    return Batch(bare.streams, bare.stream, bare.ts, bare.lines, metadata, bare.rest)


def _or_else(first: Column, other: Column) -> Column:
    """The first's values, and the other's on rows that have none."""
    values = [*first.values.tolist(), *other.values.tolist()]
    shifted = np.where(other.codes < 0, -1, other.codes + len(first.values))
    return Column(np.where(first.codes < 0, shifted, first.codes).astype(np.int32), texts(values))


def distinct_keys(keys: I64) -> tuple[I64, I32]:
    """(places of the distinct keys, int32[m] which of them each key is)."""
    if not len(keys):
        return keys, keys.astype(np.int32)
    low = int(keys.min())
    width = int(keys.max()) - low + 1
    if width > 4 * len(keys):
        _, first, places = np.unique(keys, return_index=True, return_inverse=True)
        return first.astype(np.int64), places.astype(np.int32)
    firsts: I64 = np.empty(min(width, len(keys)), np.int64)
    codes: I32 = np.empty(len(keys), np.int32)
    count = number_keys(keys, low, np.full(width, -1, np.int32), codes, firsts)
    return firsts[:count], codes
