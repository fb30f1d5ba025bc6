"""A unit of a scan over one batch: what sources made up by tests give."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np

from logql.source import Unit
from storage.batch import I64, Batch
from storage.reading import EVERYTHING, Columns, Times, Totals
from storage.rows import metadata_pairs, take_rows


@dataclass
class BatchUnit:
    """A logql.source.Unit whose entries are all wanted.

    Attributes:
        reads: how often lines or metadata were asked for.
        looks: how often times were.
    """

    batch: Batch
    arrival: int = 0
    in_memory: bool = True
    bytes_read: int = 0
    reads: int = 0
    looks: int = 0

    @property
    def min_ts(self) -> int:
        return int(self.batch.ts.min())

    @property
    def max_ts(self) -> int:
        return int(self.batch.ts.max())

    def has_metadata(self, names: frozenset[str] | None) -> bool:
        found = metadata_pairs(self.batch)[2]
        return bool(found) if names is None else not names.isdisjoint(found)

    def totals(self) -> Totals | None:
        return None

    def times(self) -> Times:
        self.looks += 1
        batch = self.batch
        return Times(batch.streams, np.arange(len(batch)), batch.stream, batch.ts)

    def read(self, times: Times, columns: Columns = EVERYTHING) -> Batch:
        del columns
        self.reads += 1
        if not self.in_memory:
            self.bytes_read += 10 * len(times)
        return self.batch if len(times) == len(self.batch) else replace(self.batch, selection=times.rows)

    def lengths(self, times: Times) -> I64:
        return self.batch.lines.lengths[times.rows]

    def identity(self) -> Hashable | None:
        return None

    def whole(self) -> Unit:
        return self


def everything(unit: Unit) -> Batch:
    """All entries of a unit, as the rows of a batch."""
    batch = unit.read(unit.times())
    return batch if batch.selection is None else take_rows(batch, batch.selection)
