"""Entries as rows, for stages that work on one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from logql.stages.row import Row
from storage.batch import Batch
from storage.labels import labels_id
from storage.rows import metadata_pairs

ROWS_AT_ONCE = 1000
"""Rows made Python objects of together."""

ROWS_PER_CHECK = 20
"""Rows that go through stages between two looks at whether the query is still wanted: a template may take ms a row."""


def watched(rows: Iterator[tuple[Row, int]], check: Callable[[], None]) -> Iterator[tuple[Row, int]]:
    """The rows, with a look in between at whether the query is still wanted."""
    for place, row in enumerate(rows):
        if place % ROWS_PER_CHECK == ROWS_PER_CHECK - 1:
            check()
        yield row


def rows_of(batch: Batch) -> Iterator[tuple[Row, int]]:
    """Each entry of a batch and the id of its stream."""
    metadata: list[list[tuple[str, str]]] = [[] for _ in range(len(batch))]
    rows, keys, names, values = metadata_pairs(batch)
    for at, key, value in zip(rows.tolist(), keys.tolist(), values.tolist(), strict=True):
        metadata[at].append((names[key], value.decode("utf-8", "replace")))
    ids = {number: labels_id(batch.streams[number]) for number in np.unique(batch.stream).tolist()}
    columns = zip(batch.ts.tolist(), batch.lines.tolist(), batch.stream.tolist(), metadata, strict=True)
    for ts, line, number, own in columns:
        yield Row(ts, line, batch.streams[number], tuple(own)), ids[number]
