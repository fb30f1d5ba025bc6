"""Taking and joining rows of batches, column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

from storage.batch import (
    I32,
    I64,
    MAX_COLUMNS,
    Batch,
    Column,
    Labels,
    Pairs,
    Texts,
    concat_texts,
    texts,
    texts_from_arrow,
)
from storage.build import columns_of_pairs

_SMALL = 64
"""Values of joined dictionaries up to which Python puts them together."""


def spans(starts: I64, lengths: I64) -> I64:
    """The numbers of all ranges starts[i] .. starts[i] + lengths[i], one after the other."""
    total = int(lengths.sum())
    if not total:
        return np.zeros(0, np.int64)
    kept = lengths > 0
    starts, lengths = starts[kept], lengths[kept]
    steps = np.ones(total, np.int64)
    steps[0] = starts[0]
    ends = np.cumsum(lengths)[:-1]
    steps[ends] = starts[1:] - (starts[:-1] + lengths[:-1] - 1)
    return np.cumsum(steps)


def take_rows(batch: Batch, rows: I64) -> Batch:
    """The rows of a batch at `rows`, in that order; a selection is dropped."""
    return Batch(
        streams=batch.streams,
        stream=batch.stream[rows],
        ts=batch.ts[rows],
        lines=batch.lines.take(rows),
        metadata={key: column.take(rows) for key, column in batch.metadata.items()},
        rest=take_pairs(batch.rest, rows) if batch.rest is not None else None,
    )


def take_pairs(pairs: Pairs, rows: I64) -> Pairs:
    """The pairs of the given rows."""
    counts = np.diff(pairs.offsets)[rows]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    at = spans(pairs.offsets[rows], counts)
    return Pairs(offsets, pairs.keys[at], pairs.names, pairs.values.take(at))


def renumber(batch: Batch, streams: Sequence[Labels], numbers: I32) -> Batch:
    """The batch with stream number s replaced by numbers[s], which indexes `streams`."""
    return Batch(streams, numbers[batch.stream], batch.ts, batch.lines, batch.metadata, batch.rest, batch.selection)


def concat_batches(parts: Sequence[Batch]) -> Batch:
    """All rows of all parts, which must share one stream table."""
    if len(parts) == 1:
        return parts[0]
    return _concat(parts, parts[0].streams, np.concatenate([part.stream for part in parts]))


def join_on(streams: Sequence[Labels], intern: Callable[[Labels], int], parts: Sequence[Batch]) -> Batch:
    """All rows of all parts, each of which has a stream table of its own, on the table `streams`.

    Everything is done once for all parts: pushes of one line each come in groups of many.

    Args:
        streams: the table.
        intern: label set -> its number there, a new one if need be.
        parts: at least one.
    """
    counts = [len(part.streams) for part in parts]
    labels = chain.from_iterable(part.streams for part in parts)
    numbers = np.fromiter(map(intern, labels), np.int32, sum(counts))
    if len(parts) == 1:
        return renumber(parts[0], streams, numbers)
    firsts = np.cumsum(counts) - counts
    stream = np.concatenate([part.stream for part in parts])
    return _concat(parts, streams, numbers[stream + np.repeat(firsts, [len(part.ts) for part in parts])])


def _concat(parts: Sequence[Batch], streams: Sequence[Labels], stream: I32) -> Batch:
    columns, rest = _concat_metadata(parts, [len(part.ts) for part in parts])
    return Batch(
        streams=streams,
        stream=stream,
        ts=np.concatenate([part.ts for part in parts]),
        lines=concat_texts([part.lines for part in parts]),
        metadata=columns,
        rest=rest,
    )


def _concat_metadata(parts: Sequence[Batch], sizes: list[int]) -> tuple[dict[str, Column], Pairs | None]:
    keys = list(dict.fromkeys(key for part in parts for key in part.metadata))
    if len(keys) > MAX_COLUMNS or any(part.rest is not None for part in parts):
        return _concat_pairs(parts, sizes)
    return {key: _concat_columns([part.metadata.get(key) for part in parts], sizes) for key in keys}, None


def _concat_columns(parts: Sequence[Column | None], sizes: list[int]) -> Column:
    if sum(len(part.values) for part in parts if part is not None) <= _SMALL:
        return _concat_small(parts, sizes)
    absent = np.full(max(sizes), -1, np.int32)
    codes = np.concatenate(
        [absent[:size] if part is None else part.codes for part, size in zip(parts, sizes, strict=True)]
    )
    held = [0 if part is None else len(part.values) for part in parts]
    bases = np.cumsum(held) - held
    shifts = np.repeat(bases, sizes)
    shifts[codes < 0] = 0
    codes = (codes + shifts).astype(np.int32)
    return shrink(Column(codes, concat_texts([part.values for part in parts if part is not None])))


def _concat_small(parts: Sequence[Column | None], sizes: list[int]) -> Column:
    """Columns of few values, which are told apart one by one: as fast as Arrow is for many."""
    numbers: dict[bytes, int] = {}
    places: dict[int, I32] = {}  # by dictionary: one object for many pushes
    codes = []
    for part, size in zip(parts, sizes, strict=True):
        if part is None:
            codes.append(np.full(size, -1, np.int32))
            continue
        own = places.get(id(part.values))
        if own is None:
            found = [numbers.setdefault(value, len(numbers)) for value in part.values.tolist()]
            own = places[id(part.values)] = np.array([*found, -1], np.int32)
        codes.append(own[part.codes])  # the code of no value, -1, is the last place
    return Column(np.concatenate(codes), texts(numbers))


def shrink(column: Column) -> Column:
    """The column with a dictionary of distinct values, if that at least halves it."""
    if len(column.values) < 2:
        return column
    encoded = column.values.to_arrow().dictionary_encode()
    if 2 * len(encoded.dictionary) > len(column.values):
        return column
    back = encoded.indices.to_numpy()
    codes = np.where(column.codes < 0, -1, back[column.codes]).astype(np.int32)
    return Column(codes, texts_from_arrow(encoded.dictionary))


def metadata_pairs(batch: Batch) -> tuple[I64, I32, list[str], Texts]:
    """All metadata of a batch as pairs sorted by row: (row int64[m], key int32[m], names, m values)."""
    names: dict[str, int] = {}
    rows: list[I64] = []
    keys: list[I32] = []
    values: list[Texts] = []
    for name, column in batch.metadata.items():
        at = np.flatnonzero(column.codes >= 0)
        rows.append(at)
        keys.append(np.full(len(at), names.setdefault(name, len(names)), np.int32))
        values.append(column.values.take(column.codes[at]))
    if batch.rest is not None:
        numbers = np.array([names.setdefault(name, len(names)) for name in batch.rest.names], np.int32)
        rows.append(np.repeat(np.arange(len(batch), dtype=np.int64), np.diff(batch.rest.offsets)))
        keys.append(numbers[batch.rest.keys])
        values.append(batch.rest.values)
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0, np.int32), [], texts([])
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    return row[order], np.concatenate(keys)[order], list(names), concat_texts(values).take(order)


def _concat_pairs(parts: Sequence[Batch], sizes: list[int]) -> tuple[dict[str, Column], Pairs | None]:
    names: dict[str, int] = {}
    rows: list[I64] = []
    keys: list[I32] = []
    values: list[Texts] = []
    base = 0
    for part, size in zip(parts, sizes, strict=True):
        row, key, own, value = metadata_pairs(part)
        numbers = np.array([names.setdefault(name, len(names)) for name in own], np.int32)
        rows.append(row + base)
        keys.append(numbers[key] if len(own) else key)
        values.append(value)
        base += size
    return columns_of_pairs(base, tuple(names), np.concatenate(rows), np.concatenate(keys), concat_texts(values))


def batch_bytes(batch: Batch) -> int:
    """Bytes of memory that the columns of a batch take, for budgets."""
    total = batch.stream.nbytes + batch.ts.nbytes + batch.lines.nbytes + batch.lines.offsets.nbytes
    for column in batch.metadata.values():
        total += column.codes.nbytes + column.values.nbytes + column.values.offsets.nbytes
    if batch.rest is not None:
        total += batch.rest.offsets.nbytes + batch.rest.keys.nbytes + batch.rest.values.nbytes
        total += batch.rest.values.offsets.nbytes
    return total
