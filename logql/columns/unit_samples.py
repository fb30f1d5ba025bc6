"""The samples that a range aggregation makes of a unit's entries, by columns as far as that goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logql.columns.frame import Frame
from logql.columns.labels import LabelSets
from logql.columns.plan import ColumnPlan, is_special
from logql.columns.rows import of_rows
from logql.columns.values import LabelValues
from logql.explain import Step
from logql.extractor import Extractor
from logql.rows import ROWS_AT_ONCE, rows_of, watched
from logql.source import Unit
from logql.stages.row import ERROR, ERROR_DETAILS
from logql.timings import Stage
from logql.unit_reader import UnitReader
from storage.batch import I32, I64, Batch, Labels
from storage.reading import Columns, Times
from storage.rows import batch_bytes, take_rows

F64 = NDArray[np.float64]

_FIELD = 17
"""Bytes that a parser's columns take for a label of a row: where its value begins and ends, and its kind."""


@dataclass(frozen=True, slots=True, eq=False)
class UnitSamples:
    """m samples, in the order in which their entries were read.

    Attributes:
        place: int64[m], the row of each one's entry in the batch that was read.
        stream: int32[m], its stream, as the unit numbers them.
        ts: int64[m], ns.
        codes: int32[m], index in `numbers`.
        numbers: int32[k], numbers of label sets.
        values: float64[m].
    """

    place: I64
    stream: I32
    ts: I64
    codes: I32
    numbers: I32
    values: F64

    def joined(self, other: UnitSamples) -> UnitSamples:
        """These and others of the unit, in order of their entries."""
        if not len(other.place):
            return self
        order = np.argsort(np.concatenate([self.place, other.place]), kind="stable")
        return UnitSamples(
            np.concatenate([self.place, other.place])[order],
            np.concatenate([self.stream, other.stream])[order],
            np.concatenate([self.ts, other.ts])[order],
            np.concatenate([self.codes, other.codes + np.int32(len(self.numbers))])[order],
            np.concatenate([self.numbers, other.numbers]),
            np.concatenate([self.values, other.values])[order],
        )


class SampleReader:
    """Makes samples of units for one range aggregation. For several threads at once.

    Attributes:
        sets: the label sets met so far.
    """

    def __init__(self, reader: UnitReader, extractor: Extractor, most: int = 0) -> None:
        """`most` series that the query may have, if its series are the label sets of the samples; else 0."""
        self._reader = reader
        self._extractor = extractor
        self._plan: ColumnPlan | None = extractor.plan
        self._names: frozenset[str] | None = None
        if self._plan is not None and extractor.by_columns:
            self._names = self._plan.names | {ERROR, ERROR_DETAILS}
        self.sets = LabelSets(extractor.labels, reader.budget, most)

    def samples(self, unit: Unit) -> tuple[Sequence[Labels], UnitSamples]:
        """The samples of a unit, and what their streams index.

        Raises:
            LimitError: they do not fit in the query's memory.
        """
        with self._reader.span(Stage.AGGREGATE):
            times = unit.times()
            batch = unit.read(times, Columns(metadata=self._names))
            self._reader.count_batch(unit, len(times), batch)
            with self._reader.budget.holding(batch_bytes(batch)):
                rows = self._reader.filtered(batch, self._extractor.pipeline.line_filters)
                found = self._of_rows(unit, times, batch, rows)
            self._reader.passed(len(found.place))
            return batch.streams, found

    def _of_rows(self, unit: Unit, times: Times, batch: Batch, rows: I64) -> UnitSamples:
        plan = self._plan
        if plan is None or is_special(batch, plan.names if self._names is None else self._names):
            return self._one_by_one(unit, times, batch, rows)
        with self._reader.budget.holding(len(rows) * _FIELD * len(plan.names) * plan.parsers):
            with self._reader.span(Stage.COLUMNS):
                frame = plan.run(batch, rows, self._reader.check)
            self._reader.left(Step.COLUMNS, int(np.count_nonzero(frame.alive)))
            if self._names is None:
                return self._one_by_one(unit, times, batch, frame.going_on())
            with self._reader.span(Stage.COLUMNS):
                values = self._extractor.values(frame)
            labels = self._labels(frame)
            certain = frame.alive & ~frame.unsure & ~frame.failed
            others = frame.rows[frame.alive & ~certain]
            known = self._known(frame, certain, values, labels)
        return known.joined(self._one_by_one(unit, times, batch, others)) if len(others) else known

    def _labels(self, frame: Frame) -> dict[str, LabelValues]:
        """The labels of samples that are not as entries came with them. Rows may become unsure."""
        found = {}
        for name in self._extractor.labels_read or ():
            own = frame.values(name) if frame.is_put(name) else frame.parsed_alone(name)
            if own is not None:
                found[name] = own
        return found

    def _known(
        self, frame: Frame, certain: NDArray[np.bool_], values: F64, labels: Mapping[str, LabelValues]
    ) -> UnitSamples:
        if certain.all():  # as is usual, and copies are half of what is left to do
            rows, made = frame.rows, labels
        else:
            rows, made = frame.rows[certain], {name: own.take(certain) for name, own in labels.items()}
            values = values[certain]
        names = {name for name in self._extractor.labels_read or () if frame.shows(name) and not frame.is_put(name)}
        codes, numbers = self.sets.of_rows(frame.batch, rows, frozenset(names), made)
        stream, ts = of_rows(frame.batch.stream, rows), of_rows(frame.batch.ts, rows)
        return UnitSamples(rows, stream, ts, codes, numbers, values)

    def _one_by_one(self, unit: Unit, times: Times, batch: Batch, rows: I64) -> UnitSamples:
        """The samples of rows that go through the scalar stages."""
        if self._names is not None and len(rows):
            places = rows if batch.selection is None else np.searchsorted(batch.selection, rows)
            whole = unit.read(times.take(places))
            at = np.arange(len(places)) if whole.selection is None else whole.selection
        else:
            whole, at = batch, rows
        self._reader.left(Step.ROWS, len(rows))
        place, numbers, values = [], [], []
        with self._reader.span(Stage.ROWS):
            for first in range(0, len(rows), ROWS_AT_ONCE):
                some = slice(first, first + ROWS_AT_ONCE)
                made = watched(rows_of(take_rows(whole, at[some])), self._reader.check)
                for own, (row, _) in zip(rows[some].tolist(), made, strict=True):
                    sample = self._extractor.sample(row)
                    if sample is not None:
                        place.append(own)
                        numbers.append(self.sets.of_row(row))
                        values.append(sample)
        taken = np.array(place, np.int64)
        used, codes = np.unique(np.array(numbers, np.int32), return_inverse=True)
        return UnitSamples(
            taken, batch.stream[taken], batch.ts[taken], codes.astype(np.int32), used, np.array(values, np.float64)
        )
