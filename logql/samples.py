"""Samples: what a range aggregation makes of log lines before windows are laid over them (LOKI.md 3.6, 4.4).

The general way, entry by entry; `counts.py` has the one for counts, which most queries are.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from logql.ast import RangeAggregation
from logql.budget import SAMPLE, SERIES
from logql.extractor import Extractor
from logql.rows import ROWS_AT_ONCE, rows_of, watched
from logql.source import Direction
from logql.unit_reader import UnitReader, filtered
from storage.batch import Batch, Labels
from storage.rows import batch_bytes, take_rows


@dataclass(frozen=True, slots=True)
class SampleSeries:
    """The samples of one label set.

    Attributes:
        ts: ns, in (ts, stream id, arrival) order.
        values: as many.
    """

    ts: Sequence[int]
    values: Sequence[float]


def read_samples(
    reader: UnitReader, node: RangeAggregation, extractor: Extractor, start: int, end: int
) -> dict[Labels, SampleSeries]:
    """The samples that `extractor` makes of entries with start <= ts < end (ns), by labels.

    A sample whose pipeline failed keeps all labels that it has, `__error__` among them.

    Raises:
        LimitError: they do not fit in the query's memory.
    """
    found: dict[Labels, _Samples] = {}
    for unit in reader.units(node.range.log.matchers, start, end, Direction.FORWARD):
        times = unit.times()
        batch = unit.read(times)
        reader.count_batch(unit, len(times), batch)
        with reader.budget.holding(batch_bytes(batch)):
            rows = filtered(batch, extractor.pipeline.line_filters)
            for first in range(0, len(rows), ROWS_AT_ONCE):
                _add(reader, found, extractor, take_rows(batch, rows[first : first + ROWS_AT_ONCE]), unit.arrival)
    return {labels: samples.in_order() for labels, samples in found.items()}


def _add(reader: UnitReader, found: dict[Labels, _Samples], extractor: Extractor, batch: Batch, arrival: int) -> None:
    passed = 0
    for row, stream in watched(rows_of(batch), reader.check):
        sample = extractor.sample(row)
        if sample is None:
            continue
        passed += 1
        labels = extractor.labels(row)
        samples = found.get(labels)
        if samples is None:
            reader.budget.take(SERIES + sum(len(name) + len(value) for name, value in labels))
            samples = found[labels] = _Samples()
        samples.add(row.ts, stream, arrival, sample)
    reader.passed(passed)
    reader.budget.take(passed * SAMPLE)


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples of one label set as they come, in columns: there may be millions."""

    ts: array[int] = field(default_factory=lambda: array("q"))
    stream: array[int] = field(default_factory=lambda: array("Q"))
    arrival: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, ts: int, stream: int, arrival: int, value: float) -> None:
        self.ts.append(ts)
        self.stream.append(stream)
        self.arrival.append(arrival)
        self.values.append(value)

    def in_order(self) -> SampleSeries:
        """By (ts, stream id, arrival); rows of one unit with equal keys stay in order."""
        ts, values = np.frombuffer(self.ts, np.int64), np.frombuffer(self.values, np.float64)
        order = np.lexsort((np.frombuffer(self.arrival, np.int64), np.frombuffer(self.stream, np.uint64), ts))
        return SampleSeries(array("q", ts[order].tobytes()), array("d", values[order].tobytes()))
