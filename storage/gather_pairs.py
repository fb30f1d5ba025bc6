"""Structured metadata of many parts, a row group at a time, where its keys are too many for columns of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from storage.batch import I32, I64, Batch, Column, Pairs
from storage.build import TextSpans, columns_and_rest
from storage.kernels.pairs import count_coded, count_further, put_coded, put_further


class PairGatherer:
    """Takes the metadata of rows out of parts: some keys as columns, all others as pairs."""

    def __init__(self, parts: Sequence[Batch], columns: Sequence[str]) -> None:
        """Takes the parts (none empty), and the keys that get columns."""
        self._parts = parts
        self._starts = np.concatenate(([0], np.cumsum([len(part) for part in parts]))).astype(np.int64)
        numbers = {key: number for number, key in enumerate(columns)}
        self._chosen = np.arange(len(numbers), dtype=np.int64)
        self._coded: list[list[tuple[int, Column, I64]]] = []
        self._further: list[I32] = []
        for part in parts:
            held = [(key, column) for key, column in part.metadata.items() if len(column.values)]
            self._coded.append(
                [
                    (numbers.setdefault(key, len(numbers)), column, np.ascontiguousarray(column.values.offsets))
                    for key, column in held
                ]
            )
            names = () if part.rest is None else part.rest.names
            self._further.append(np.array([numbers.setdefault(key, len(numbers)) for key in names], np.int32))
        self._names = tuple(numbers)

    def take(self, positions: I64) -> tuple[dict[str, Column], Pairs]:
        """The metadata of the rows at `positions` (int64[n]) in the concatenation of all parts, in that order.

        A key that none of them has is not among the columns.
        """
        n = len(positions)
        found = list(self._rows(positions))
        counts = np.zeros(n, np.int64)
        size = 0
        for number, rows, places in found:
            for _, column, offsets in self._coded[number]:
                size += count_coded(column.codes, offsets, rows, places, counts)
            rest = self._parts[number].rest
            if rest is not None:
                size += count_further(rest.offsets, rest.values.offsets, rows, places, counts)
        ends = np.cumsum(counts) - counts
        held = int(counts.sum())
        keys: I32 = np.empty(held, np.int32)
        starts, stops = np.empty((2, held), np.int64)
        data = np.empty(size, np.uint8)
        filled = 0
        for number, rows, places in found:
            for key, column, offsets in self._coded[number]:
                values = column.values
                filled = put_coded(
                    column.codes, values.data, offsets, rows, places, key, ends, keys, starts, stops, data, filled
                )
            rest = self._parts[number].rest
            if rest is not None:
                own, numbers, values = rest.keys, self._further[number], rest.values
                filled = put_further(
                    rest.offsets,
                    own,
                    numbers,
                    values.data,
                    values.offsets,
                    rows,
                    places,
                    ends,
                    keys,
                    starts,
                    stops,
                    data,
                    filled,
                )
        row = np.repeat(np.arange(n, dtype=np.int64), counts)
        columns, further = columns_and_rest(n, self._names, self._chosen, row, keys, TextSpans(data, starts, stops))
        return {key: column for key, column in columns.items() if len(column.values)}, further

    def _rows(self, positions: I64) -> Iterator[tuple[int, I64, I64]]:
        """Number of a part, its rows among those wanted, and where they go."""
        of_part = np.searchsorted(self._starts, positions, side="right") - 1
        order = np.argsort(of_part, kind="stable")
        cuts = np.searchsorted(of_part[order], np.arange(len(self._parts) + 1))
        for number, (first, last) in enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)):
            if last > first:
                places = order[first:last]
                yield number, positions[places] - self._starts[number], places
