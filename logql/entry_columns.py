"""Entries of an answer in columns: what is written to a client without an object for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from logql.stages.row import ERROR, ERROR_DETAILS, PRESERVE_ERROR, Row
from storage.batch import I64, Batch, Labels, Pairs, Texts, concat_texts, texts
from storage.rows import concat_batches, metadata_pairs, take_rows

_MOST_KEYS = 1 << 62
"""Combinations that are told apart by one int64."""


class EntryLabels(NamedTuple):
    """The labels of an entry by where they come from; see `Entry`."""

    stream: Labels
    metadata: Labels
    parsed: Labels = ()

    @property
    def together(self) -> Labels:
        """All labels, sorted by name."""
        if not self.metadata and not self.parsed:
            return self.stream
        return tuple(sorted(self.stream + self.metadata + self.parsed))


@dataclass(frozen=True, slots=True, eq=False)
class EntryColumns:
    """n entries in the order of the query's direction.

    Attributes:
        ts: int64[n], ns.
        line: int64[n], each one's place in `lines`.
        lines: the lines, in any order.
        labels: int64[n], each one's place in `label_sets`.
        label_sets: few as a rule, though some may be equal; each is some entry's.
    """

    ts: I64
    line: I64
    lines: Texts
    labels: I64
    label_sets: Sequence[EntryLabels]

    def __len__(self) -> int:
        return len(self.ts)


def labels_of(row: Row) -> EntryLabels:
    """The labels that a pipeline left a row with."""
    parsed = dict(row.parsed)
    if row.error:
        parsed[ERROR] = row.error
    if row.details:
        parsed[ERROR_DETAILS] = row.details
    if row.preserve_error:
        parsed[PRESERVE_ERROR] = "true"
    return EntryLabels(_sorted(row.stream), _sorted(row.metadata), _sorted(parsed))


def _sorted(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def columns_of_rows(batches: Mapping[int, Batch] | Sequence[Batch], part: I64, row: I64) -> EntryColumns:
    """Entries that no stage but line filters has seen.

    Args:
        batches: where they are; selections are not looked at.
        part: int64[n], each one's batch: its place, or its key.
        row: int64[n], its row there.
    """
    n = len(part)
    ts, line, labels = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    lines: list[Texts] = []
    label_sets: list[EntryLabels] = []
    base = 0
    for at, batch in _joined(batches, part, row):
        codes, sets = _label_sets(batch)
        ts[at] = batch.ts
        line[at] = np.arange(base, base + len(at))
        labels[at] = codes + len(label_sets)
        label_sets += sets
        lines.append(batch.lines)
        base += len(at)
    return EntryColumns(ts, line, concat_texts(lines) if lines else texts([]), labels, label_sets)


def _joined(batches: Mapping[int, Batch] | Sequence[Batch], part: I64, row: I64) -> Iterator[tuple[I64, Batch]]:
    """The wanted rows, with the places of their entries; those that share a stream table together.

    There may be a hundred small parts, and what follows costs most of a millisecond for each that it is given.
    """
    tables: dict[int, list[tuple[I64, Batch]]] = {}
    for number in np.unique(part).tolist():
        batch = batches[number]
        at = np.flatnonzero(part == number)
        # In the batch's order, which copies faster.
        at = at[np.argsort(row[at], kind="stable")]
        rows = row[at]
        is_whole = len(rows) == len(batch) and bool((rows == np.arange(len(rows))).all())
        tables.setdefault(id(batch.streams), []).append((at, batch if is_whole else take_rows(batch, rows)))
    for taken in tables.values():
        yield np.concatenate([at for at, _ in taken]), concat_batches([batch for _, batch in taken])


def columns_of_entries(ts: Iterable[int], lines: Iterable[bytes], labels: Iterable[EntryLabels]) -> EntryColumns:
    """Entries that were made one by one, in the order of the query's direction."""
    numbers: dict[EntryLabels, int] = {}
    places = np.array([numbers.setdefault(each, len(numbers)) for each in labels], np.int64)
    return EntryColumns(
        np.fromiter(ts, np.int64, len(places)),
        np.arange(len(places), dtype=np.int64),
        texts(lines),
        places,
        tuple(numbers),
    )


def _label_sets(batch: Batch) -> tuple[I64, list[EntryLabels]]:
    """Row -> place in the list; sets of the list may be equal. One Python object a set, not one a row."""
    _, first, codes = np.unique(row_keys(batch), return_index=True, return_inverse=True)
    some = batch if len(first) == len(batch) else take_rows(batch, first)
    if len(first) == len(batch):
        codes = np.arange(len(batch))
    return codes.astype(np.int64, copy=False), _sets(some)


def row_keys(batch: Batch) -> I64:
    """int64[n]: rows with equal keys have equal labels."""
    keys, width = batch.stream.astype(np.int64), int(batch.stream.max(initial=0)) + 1
    parts: list[tuple[NDArray[np.integer], int]] = [
        (column.codes, len(column.values)) for column in batch.metadata.values()
    ]
    if batch.rest is not None:
        parts.append(_rest_codes(batch.rest))
    for codes, count in parts:
        if width * (count + 1) > _MOST_KEYS:
            used, keys = np.unique(keys, return_inverse=True)
            width = len(used)
        keys = keys * (count + 1) + codes + 1
        width *= count + 1
    return keys


def _rest_codes(rest: Pairs) -> tuple[NDArray[np.integer], int]:
    """Row -> number of its set of pairs, and how many there are."""
    encoded = rest.values.to_arrow().dictionary_encode()
    pairs = rest.keys.astype(np.int64) * max(1, len(encoded.dictionary)) + encoded.indices.to_numpy()
    numbers: dict[bytes, int] = {}
    raw = memoryview(pairs.tobytes())
    found = [
        numbers.setdefault(bytes(raw[8 * start : 8 * stop]), len(numbers))
        for start, stop in pairwise(rest.offsets.tolist())
    ]
    return np.array(found, np.int64), len(numbers)


def _sets(batch: Batch) -> list[EntryLabels]:
    """The labels of every row."""
    row, key, names, values = metadata_pairs(batch)
    streams = {number: batch.streams[number] for number in np.unique(batch.stream).tolist()}
    unlike = _special(streams, names)
    if names:
        by_name = np.argsort(np.argsort(np.array(names, object)))[key]
        # Where two names may become one, which comes last decides: they stay as they stand.
        as_is = np.isin(batch.stream, list(unlike))[row]
        order = np.lexsort((np.where(as_is, key, by_name), row))
    else:
        order = row
    row, key = row[order], key[order]
    # Of a name that a row has twice the last counts.
    last = np.ones(len(row), bool)
    last[:-1] = (row[1:] != row[:-1]) | (key[1:] != key[:-1])
    row, key, values = row[last], key[last], values.take(order[last])
    pairs = list(
        zip(
            map(names.__getitem__, key.tolist()),
            [value.decode("utf-8", "replace") for value in values.tolist()],
            strict=True,
        )
    )
    bounds = np.searchsorted(row, np.arange(len(batch) + 1)).tolist()
    return [
        _set_of(streams[number], tuple(pairs[start:stop]), plain=number not in unlike)
        for number, (start, stop) in zip(batch.stream.tolist(), pairwise(bounds), strict=True)
    ]


def _special(streams: Mapping[int, Labels], names: Sequence[str]) -> set[int]:
    """The streams whose entries may have labels that are called otherwise than their metadata."""
    own = set(names)
    if ERROR in own or ERROR_DETAILS in own:
        return set(streams)
    return {number for number, labels in streams.items() if any(name in own for name, _ in labels)}


def _set_of(stream: Labels, metadata: Labels, *, plain: bool) -> EntryLabels:
    return EntryLabels(stream, metadata) if plain else labels_of(Row(0, b"", stream, metadata))
