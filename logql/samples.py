"""Samples: what a range aggregation makes of log lines before windows are laid over them (LOKI.md 3.6, 4.4)."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from logql.ast import Grouping, RangeAggregation
from logql.budget import SAMPLE, Budget
from logql.source import Direction, Source
from logql.stages.hints import RowTest, Wanted
from logql.stages.label_filter import names_of
from logql.stages.pipeline import Pipeline, simple_filters, without_unused_line_formats
from logql.stages.row import Row
from logql.stages.unwrap import UnwrapStage
from logql.stats import Reading, Stats, metadata_bytes
from storage.batch import Batch, Labels
from storage.labels import labels_id
from storage.rows import batch_bytes, metadata_pairs, take_rows

_PUSHED_DOWN = frozenset({"count_over_time", "rate", "bytes_over_time", "bytes_rate", "sum_over_time"})
"""Aggregations that take the grouping of a `sum` around them: sums of sums are sums."""

_BYTES = frozenset({"bytes_over_time", "bytes_rate"})

ROWS_AT_ONCE = 1000
"""Rows made Python objects of together."""

ROWS_PER_CHECK = 20
"""Rows that go through stages between two looks at whether the query is still wanted: a template may take ms a row."""


@dataclass(frozen=True, slots=True)
class SampleSeries:
    """The samples of one label set.

    Attributes:
        ts: ns, in (ts, stream id, arrival) order.
        values: as many.
    """

    ts: Sequence[int]
    values: Sequence[float]


def grouping_of(node: RangeAggregation, outer: Grouping | None) -> Grouping | None:
    """The grouping that samples are made under: the aggregation's own, or that of a `sum` around it.

    Args:
        node: the range aggregation.
        outer: grouping of the `sum` of which `node` is the operand; None if there is no `sum`.
    """
    if node.op == "absent_over_time":
        return Grouping((), without=False)
    if node.grouping is None and outer is not None and node.op in _PUSHED_DOWN:
        return outer
    return node.grouping


class SampleReader:
    """Reads the samples of one query's range aggregations and counts what that takes."""

    def __init__(self, source: Source, tenant: str, check: Callable[[], None], budget: Budget | None = None) -> None:
        """`check` is called before a unit is read and now and then within it; `budget` counts samples and batches."""
        self._source = source
        self._tenant = tenant
        self._check = check
        self._budget = budget or Budget()
        self._memory = Reading()
        self._blocks = Reading()
        self._post_filter_lines = 0

    def read(self, node: RangeAggregation, outer: Grouping | None, start: int, end: int) -> dict[Labels, SampleSeries]:
        """The samples of entries with start <= ts < end (ns), by labels.

        A sample whose pipeline failed keeps all labels that it has, `__error__` among them.

        Raises:
            RegexError, StageError: a stage cannot be built.
            LimitError: they do not fit in the query's memory.
        """
        extractor = _Extractor(node, grouping_of(node, outer))
        found: dict[Labels, _Samples] = {}
        for unit in self._source.scan(self._tenant, node.range.log.matchers, start, end, Direction.FORWARD):
            self._check()
            batch = unit.read()
            self._count(batch, unit.compressed_bytes, in_memory=unit.in_memory)
            with self._budget.holding(batch_bytes(batch)):
                for first in range(0, len(batch), ROWS_AT_ONCE):
                    rows = np.arange(first, min(first + ROWS_AT_ONCE, len(batch)))
                    self._add(found, extractor, take_rows(batch, rows), unit.arrival)
        return {labels: samples.in_order() for labels, samples in found.items()}

    def _add(self, found: dict[Labels, _Samples], extractor: _Extractor, batch: Batch, arrival: int) -> None:
        before = self._post_filter_lines
        for row, stream in watched(rows_of(batch), self._check):
            sample = extractor.sample(row)
            if sample is None:
                continue
            self._post_filter_lines += 1
            labels = extractor.labels(row)
            samples = found.get(labels)
            if samples is None:
                self._budget.take(_SERIES + sum(len(name) + len(value) for name, value in labels))
                samples = found[labels] = _Samples()
            samples.add(row.ts, stream, arrival, sample)
        self._budget.take((self._post_filter_lines - before) * SAMPLE)

    def stats(self, returned: int, exec_time: float) -> Stats:
        """What it took so far; `returned` points, `exec_time` in seconds."""
        return Stats(self._memory, self._blocks, self._post_filter_lines, returned, exec_time)

    def _count(self, batch: Batch, compressed_bytes: int, *, in_memory: bool) -> None:
        reading = Reading(1, len(batch), batch.lines.nbytes, metadata_bytes(batch), compressed_bytes)
        if in_memory:
            self._memory += reading
        else:
            self._blocks += reading


class _Extractor:
    """Makes samples of rows: the value by the aggregation, the labels by its grouping."""

    def __init__(self, node: RangeAggregation, grouping: Grouping | None) -> None:
        stages = node.range.log.stages
        unwrap = node.range.unwrap
        self._unwrap = UnwrapStage.of(unwrap) if unwrap else None
        self._counts_bytes = node.op in _BYTES
        self._pipeline = Pipeline.of(
            stages if self._counts_bytes else without_unused_line_formats(stages), self._wanted(node, grouping)
        )
        self._names = frozenset(grouping.names) if grouping else frozenset()
        self._is_by = grouping is not None and not grouping.without
        if unwrap and not self._is_by:
            self._names |= {unwrap.label}

    def _wanted(self, node: RangeAggregation, grouping: Grouping | None) -> Wanted:
        names: list[str] = []
        filters: dict[str, RowTest] = {}
        if node.range.unwrap and self._unwrap:
            names = [node.range.unwrap.label, *(name for each in node.range.unwrap.filters for name in names_of(each))]
            if len(self._unwrap.filters) == 1:
                filters = simple_filters(self._unwrap.filters)
        if grouping is None:
            return Wanted(names=tuple(names), filters=filters)
        no_labels = not grouping.names and not grouping.without
        return Wanted(grouping.names, grouping.without, no_labels, tuple(names), filters)

    def sample(self, row: Row) -> float | None:
        """The value of an entry, whose pipeline runs here; None if it gives no sample."""
        if not self._pipeline.run(row):
            return None
        if self._unwrap:
            return self._unwrap.sample(row)
        return float(len(row.line)) if self._counts_bytes else 1.0

    def labels(self, row: Row) -> Labels:
        """The labels of its sample: all of them if the pipeline failed, so that the error can name the series."""
        labels = row.labels()
        if row.error:
            return tuple(sorted(labels.items()))
        return tuple(sorted(pair for pair in labels.items() if (pair[0] in self._names) == self._is_by))


_SERIES = 1000
"""Bytes of a label set with its columns, besides the texts."""


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
