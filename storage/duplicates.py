"""Which rows repeat an earlier one: same stream, ts, line and metadata. Exact, column by column, no hash is trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storage.batch import I32, I64, Batch, Mask, Texts
from storage.memtable import Run
from storage.reading import Times
from storage.rows import concat_batches, metadata_pairs, take_rows


def _codes(values: Texts) -> I32:
    """int32[n]: equal numbers for equal strings."""
    return np.asarray(values.to_arrow().dictionary_encode().indices.to_numpy(), np.int32)


def _metadata_codes(batch: Batch) -> list[I32]:
    """Columns of numbers that are equal in two rows exactly when the rows' metadata is."""
    columns = []
    for column in batch.metadata.values():
        distinct = _codes(column.values)
        codes = np.full(len(batch), -1, np.int32)
        present = column.codes >= 0
        codes[present] = distinct[column.codes[present]]
        columns.append(codes)
    if batch.rest is not None:
        row, key, _, values = metadata_pairs(Batch((), batch.stream, batch.ts, batch.lines, {}, batch.rest))
        words: list[list[tuple[int, int]]] = [[] for _ in range(len(batch))]
        for at, name, value in zip(row.tolist(), key.tolist(), _codes(values).tolist(), strict=True):
            words[at].append((name, value))
        numbers: dict[tuple[tuple[int, int], ...], int] = {}
        columns.append(np.array([numbers.setdefault(tuple(sorted(w)), len(numbers)) for w in words], np.int32))
    return columns


def repeats(batch: Batch) -> Mask:
    """bool[n]: rows that repeat an earlier row of the batch."""
    columns: list[NDArray[np.integer]] = [batch.stream, batch.ts, _codes(batch.lines), *_metadata_codes(batch)]
    order = np.lexsort(columns[::-1])
    same: Mask = np.ones(max(len(batch) - 1, 0), np.bool_)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    found: Mask = np.zeros(len(batch), np.bool_)
    found[order[1:][same]] = True
    return found


def shared_times(stream: I32, ts: I64) -> Mask | None:
    """bool[n]: rows whose (stream, ts) occurs more than once; None if there is none.

    Batches whose streams stand in one stretch each, ascending in ts, are the rule and are told without a sort.
    """
    if len(ts) < 2:
        return None
    change = stream[1:] != stream[:-1]
    heads = stream[np.concatenate(([0], np.flatnonzero(change) + 1))]
    if len(np.unique(heads)) == len(heads) and bool(np.all(change | (ts[1:] > ts[:-1]))):
        return None
    order = np.lexsort((ts, stream))
    same = (stream[order][1:] == stream[order][:-1]) & (ts[order][1:] == ts[order][:-1])
    if not same.any():
        return None
    shared: Mask = np.zeros(len(ts), np.bool_)
    shared[order[1:][same]] = True
    shared[order[:-1][same]] = True
    return shared


def rows_at(batch: Batch | Times, stream: I32, ts: I64) -> I64:
    """Row numbers of `batch` whose (stream, ts) is among the given pairs."""
    times = np.unique(ts)
    at = np.minimum(np.searchsorted(times, batch.ts), len(times) - 1)
    rows = np.flatnonzero(times[at] == batch.ts)
    if not len(rows):
        return rows
    # A pair as one number: place of its time, then its stream.
    width = int(max(batch.stream.max(), stream.max())) + 1
    wanted = np.searchsorted(times, ts) * width + stream
    return rows[np.isin(at[rows] * width + batch.stream[rows], wanted)]


def new_rows(batch: Batch, newest: I64, runs: Sequence[Run]) -> I64 | None:
    """Rows of `batch` that repeat neither an earlier one of it nor one of `runs`; None if that is all of them.

    Args:
        batch: what is about to be stored.
        newest: int64[streams], the newest ts of each stream in `runs`. Rows past it cannot be in there.
        runs: what is in memory, on the same stream table.
    """
    late = batch.ts <= newest[batch.stream]
    shared = shared_times(batch.stream, batch.ts)
    doubtful = late if shared is None else late | shared
    if not doubtful.any():
        return None
    suspects = np.flatnonzero(doubtful)
    stream, ts = batch.stream[late], batch.ts[late]
    known = []
    if len(ts):
        low, high = int(ts.min()), int(ts.max())
        near = [run.batch for run in runs if run.max_ts >= low and run.min_ts <= high]
        known = [take_rows(part, rows) for part in near if len(rows := rows_at(part, stream, ts))]
    if not known and shared is None:
        return None
    joined = concat_batches([*known, take_rows(batch, suspects)])
    repeated = repeats(joined)[len(joined) - len(suspects) :]
    if not repeated.any():
        return None
    keep: Mask = np.ones(len(batch), np.bool_)
    keep[suspects[repeated]] = False
    return np.flatnonzero(keep)
