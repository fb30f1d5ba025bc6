"""Rows that have just come, at one glance: when each stream wrote, and whether any row can be in memory already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.batch import I32, I64, Batch
from storage.kernels.arrival import HIGH, LOW, survey


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """Times of the rows of a batch.

    Attributes:
        streams: int32[k], the stream of each stretch of rows of one stream.
        low: int64[k], ns, the least time of each stretch.
        high: int64[k], ns, the greatest.
        first: ns, the least of all; of no rows the last time there is.
        last: ns, the greatest; of no rows the first time there is.
        is_new: every row is past the newest of its stream, and past the rows of its stream before it.
    """

    streams: I32
    low: I64
    high: I64
    first: int
    last: int
    is_new: bool


def arrival_of(batch: Batch, newest: I64) -> Arrival:
    """What is to be known of a batch.

    Args:
        batch: on the tenant's table.
        newest: int64[streams], the newest ts of each stream so far. Raised to the batch's if all its rows are new.
    """
    rows = len(batch.ts)
    streams: I32 = np.empty(rows, np.int32)
    times: I64 = np.empty((3, rows), np.int64)
    count, first, last, is_new = survey(batch.stream, batch.ts, newest, streams, times)
    return Arrival(streams[:count], times[LOW, :count], times[HIGH, :count], first, last, is_new)
