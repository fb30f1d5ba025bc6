"""Rows of many parts as one batch, a row group at a time, copied once and straight to where they belong.

For a flush: the lines go to a buffer that the next row group uses again, so that what a flush needs beside the memtable
is one row group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from storage.batch import I32, I64, U8, Batch, Column, Texts, concat_texts, texts_from_arrow
from storage.kernels.gather import coded_lengths, copy_coded, copy_codes, copy_texts, pieces
from storage.rows import concat_batches, take_rows


@dataclass(frozen=True, slots=True, eq=False)
class _Coded:
    """A key's values over all parts.

    Attributes:
        values: distinct.
        numbers: per part int32[its dictionary], its codes -> places in `values`; None where the part lacks the key.
    """

    values: Texts
    numbers: list[I32 | None]


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """A part's pieces of a row group; see kernels/gather.py."""

    part: int
    row: I64
    place: I64
    count: I64


class Gatherer:
    """Takes rows out of parts that have no metadata but in columns."""

    def __init__(self, parts: Sequence[Batch], columns: Mapping[str, bool]) -> None:
        """Takes the parts (none empty), and which metadata keys are wanted: whether as a dictionary or plain."""
        self._parts = parts
        self._starts = np.concatenate(([0], np.cumsum([len(part) for part in parts]))).astype(np.int64)
        self._columns = columns
        self._coded = {key: _unified(parts, key) for key, dictionary in columns.items() if dictionary}
        self._lines: U8 = np.zeros(0, np.uint8)

    def take(self, positions: I64, stream: I32, ts: I64, lengths: I64) -> Batch:
        """The rows at `positions` in the concatenation of all parts, in that order. Valid until the next call.

        Args:
            positions: int64[n].
            stream: int32[n], what the batch's `stream` is to be.
            ts: int64[n], the rows' times.
            lengths: int64[n], the rows' line bytes.

        Returns:
            A batch without a stream table. A dictionary column has the values that its rows use, each once; a plain one
            has a value for every row, empty where the key is absent.
        """
        found = list(self._pieces(positions))
        offsets = np.zeros(len(positions) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        size = int(offsets[-1])
        if len(self._lines) < size:
            self._lines = np.empty(size, np.uint8)
        for item in found:
            lines = self._parts[item.part].lines
            copy_texts(lines.data, lines.offsets, item.row, item.place, item.count, offsets, self._lines)
        metadata = {}
        for key, dictionary in self._columns.items():
            column = self._dictionary(key, found, len(ts)) if dictionary else self._plain(key, found, len(ts))
            if column is not None:
                metadata[key] = column
        return Batch((), stream, ts, Texts(self._lines[:size], offsets), metadata)

    def _pieces(self, positions: I64) -> Iterator[_Pieces]:
        part, row, place, count = np.empty((4, len(positions)), np.int64)
        found = pieces(positions, self._starts, part, row, place, count)
        order = np.argsort(part[:found], kind="stable")
        part, row, place, count = part[order], row[order], place[order], count[order]
        cuts = [0, *(np.flatnonzero(part[1:] != part[:-1]) + 1).tolist(), found]
        for first, last in pairwise(cuts):
            yield _Pieces(int(part[first]), row[first:last], place[first:last], count[first:last])

    def _dictionary(self, key: str, found: Sequence[_Pieces], rows: int) -> Column | None:
        coded = self._coded[key]
        codes = np.full(rows, -1, np.int32)
        for item in found:
            numbers = coded.numbers[item.part]
            if numbers is not None:
                copy_codes(self._parts[item.part].metadata[key].codes, numbers, item.row, item.place, item.count, codes)
        # A place more than there are values: what -1 stands at.
        used = np.zeros(len(coded.values) + 1, np.bool_)
        used[codes] = True
        used[-1] = False
        wanted = np.flatnonzero(used)
        if not len(wanted):
            return None
        if len(wanted) == len(coded.values):
            return Column(codes, coded.values)
        places = np.full(len(used), -1, np.int32)
        places[wanted] = np.arange(len(wanted), dtype=np.int32)
        return Column(places[codes], coded.values.take(wanted))

    def _plain(self, key: str, found: Sequence[_Pieces], rows: int) -> Column | None:
        sizes = np.full(rows, -1, np.int64)
        held = [
            (item, self._parts[item.part].metadata[key]) for item in found if key in self._parts[item.part].metadata
        ]
        for item, column in held:
            coded_lengths(column.codes, column.values.offsets, item.row, item.place, item.count, sizes)
        absent = sizes < 0
        if absent.all():
            return None
        sizes[absent] = 0
        offsets = np.zeros(rows + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        out = np.empty(int(offsets[-1]), np.uint8)
        for item, column in held:
            values = column.values
            copy_coded(column.codes, values.data, values.offsets, item.row, item.place, item.count, offsets, out)
        codes = np.arange(rows, dtype=np.int32)
        codes[absent] = -1
        return Column(codes, Texts(out, offsets))


def _unified(parts: Sequence[Batch], key: str) -> _Coded:
    """One dictionary for a key of all parts."""
    columns = [part.metadata.get(key) for part in parts]
    encoded = concat_texts([column.values for column in columns if column is not None]).to_arrow().dictionary_encode()
    back = encoded.indices.to_numpy().astype(np.int32, copy=False)
    numbers: list[I32 | None] = []
    at = 0
    for column in columns:
        if column is None:
            numbers.append(None)
            continue
        numbers.append(back[at : at + len(column.values)])
        at += len(column.values)
    return _Coded(texts_from_arrow(encoded.dictionary), numbers)


def gather_rows(parts: Sequence[Batch], positions: I64) -> Batch:
    """The rows at positions in the concatenation of all parts, in that order, with all their metadata.

    Copies twice: for parts whose metadata is not in columns alone, and the oracle of Gatherer.
    """
    bases = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    of_part = np.searchsorted(bases, positions, side="right") - 1
    taken, places = [], []
    for number in np.unique(of_part).tolist():
        at = np.flatnonzero(of_part == number)
        taken.append(take_rows(parts[number], positions[at] - bases[number]))
        places.append(at)
    joined = concat_batches(taken)
    place = np.concatenate(places)
    if bool(np.all(place[1:] > place[:-1])):
        return joined
    back = np.empty(len(place), np.int64)
    back[place] = np.arange(len(place))
    return take_rows(joined, back)
