"""Reading what counts need: times, and of lines and structured metadata only what the query cannot do without."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from threading import Lock

import numpy as np

from logql.ast import Grouping, RangeAggregation
from logql.columns.labels import LabelSets
from logql.columns.unit_samples import SampleReader
from logql.counts import NONE, Changes, Counter, Steps, changes_of, enters_once
from logql.errors import LimitError
from logql.extractor import BYTES, Extractor
from logql.result_cache import KeptCounts, UnitResults, steps_of
from logql.source import Direction, Unit
from logql.stages.hints import SUFFIX
from logql.stages.row import ERROR
from logql.timings import Stage
from logql.unit_reader import UnitReader
from logql.workers import in_order
from storage.batch import I32, I64, Batch, Labels
from storage.reading import Columns, Times
from storage.rows import batch_bytes

_COUNTS = frozenset({"count_over_time", "rate", "absent_over_time"})


def is_countable(node: RangeAggregation, extractor: Extractor) -> bool:
    """Whether what an entry adds can be told without making a row of it."""
    if node.op not in _COUNTS | BYTES or node.range.unwrap is not None:
        return False
    return not extractor.pipeline.stages or extractor.by_columns


class CountReader:
    """Collects the counts of one range aggregation for which `is_countable` holds.

    Attributes:
        counter: what was counted, by number of label set.
    """

    def __init__(
        self,
        reader: UnitReader,
        node: RangeAggregation,
        grouping: Grouping | None,
        extractor: Extractor,
        steps: Steps,
        most: int = 0,
    ) -> None:
        """`most` series that the query may have, if its series are the label sets of what is counted; else 0."""
        self._reader = reader
        self._node = node
        self._grouping = grouping
        self._parts = _PartReader(reader, node, grouping, extractor, most)
        # For what lies before and after the query's range: none of its label sets.
        self._wider = _PartReader(reader, node, grouping, extractor, most)
        self._results = UnitResults(None, node, grouping, 0, 0)
        self.counter = Counter(steps, reader.budget)

    @property
    def labels(self) -> list[Labels]:
        """The label sets found, by number."""
        return self._parts.sets.all()

    def read(self, start: int, end: int) -> None:
        """Counts the entries with start <= ts < end (ns), which are all that are in windows of the steps.

        Raises:
            LimitError: they do not fit in the query's memory.
        """
        self._results = UnitResults(self._reader.cache, self._node, self._grouping, start, end, self.counter.steps)
        units = self._unknown(self._reader.units(self._node.range.log.matchers, start, end, Direction.FORWARD))
        # Times alone are read faster than they are handed to another thread.
        parts = in_order(self._part, units) if self._parts.reads_much else ((one, self._part(one)) for one in units)
        for _, part in parts:
            with self._reader.span(Stage.AGGREGATE):
                self.counter.add(part)

    def _unknown(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Hashable | None]]:
        """The units that have to be read, and what their results are to be known by. Counts the others."""
        for unit in units:
            key = self._results.key(unit)
            kept = self._results.get(key)
            if isinstance(kept, KeptCounts):
                self._reader.from_cache()
                self.counter.add(kept.within(self.counter.steps, self._parts.sets.number))
            else:
                yield unit, key

    def _part(self, item: tuple[Unit, Hashable | None]) -> Changes:
        """The changes of a unit's entries. Runs in several threads at once."""
        unit, key = item
        with self._reader.span(Stage.AGGREGATE):
            kept = None if key is None else self._kept(unit, key)
            if kept is None:
                return self._parts.changes(unit, self.counter.steps)
            return kept.within(self.counter.steps, self._parts.sets.number)

    def _kept(self, unit: Unit, key: Hashable) -> KeptCounts | None:
        """What is kept of a unit from now on, made of all its entries; None if too few of them are asked for."""
        whole = unit.whole()
        if self._results.is_inside(whole):
            kept = self._parts.kept(whole, self.counter.steps)
        elif self._results.is_most(unit, whole):
            try:
                kept = self._wider.kept(whole, self.counter.steps)
            except LimitError:
                return None  # which says nothing of what is asked for
        else:
            return None
        self._results.put(key, kept)
        return kept


class _PartReader:
    """Makes changes of units. For several threads at once.

    Attributes:
        sets: the label sets met so far.
        reads_much: whether a unit is work enough for another thread.
    """

    def __init__(
        self, reader: UnitReader, node: RangeAggregation, grouping: Grouping | None, extractor: Extractor, most: int
    ) -> None:
        """Arguments as of CountReader."""
        self._reader = reader
        self._filters = extractor.pipeline.line_filters
        self._samples = SampleReader(reader, extractor, most) if extractor.pipeline.stages else None
        self._sums = node.op in BYTES
        self._names = _metadata_read(grouping)
        self.sets = self._samples.sets if self._samples else LabelSets(extractor.labels, reader.budget, most)
        self._of_streams = _StreamGroups(self.sets.of_stream)
        self.reads_much = bool(self._filters or self._samples)

    def kept(self, unit: Unit, steps: Steps) -> KeptCounts:
        """The changes to all steps that there may be, of which a query's are some."""
        own = steps_of(steps, unit)
        return KeptCounts.of(self.changes(unit, own), own, self.sets.__getitem__)

    def changes(self, unit: Unit, steps: Steps) -> Changes:
        """The changes of a unit's entries to some steps."""
        if self._samples is not None:
            return self._of_samples(self._samples, unit, steps)
        if self._filters or unit.has_metadata(self._names):
            return self._of_batch(unit, steps)
        return self._of_totals(unit, steps) or self._of_times(unit, steps)

    def _of_totals(self, unit: Unit, steps: Steps) -> Changes | None:
        """By what is known of the unit unread; None if that does not tell."""
        if not enters_once(steps, unit.min_ts, unit.max_ts):
            return None
        totals = unit.totals()
        if totals is None:
            return None
        self._count(unit, int(totals.entries.sum()))
        amounts = totals.line_bytes if self._sums else NONE
        return self._of_streams.changes(steps, totals.streams, totals.stream, totals.min_ts, totals.entries, amounts)

    def _of_times(self, unit: Unit, steps: Steps) -> Changes:
        """By the times of the unit's entries, and the lengths of their lines if it is about bytes."""
        times = unit.times()
        amounts = unit.lengths(times) if self._sums else NONE
        self._count(unit, len(times))
        return self._of_streams.changes(steps, times.streams, times.stream, times.ts, NONE, amounts)

    def _count(self, unit: Unit, entries: int) -> None:
        self._reader.count(unit, entries)
        self._reader.passed(entries)

    def _of_batch(self, unit: Unit, steps: Steps) -> Changes:
        """By lines and structured metadata."""
        times = unit.times()
        batch = self._read(unit, times, self._names)
        names = self._names
        if names is not None and _has_errors(batch):
            names = None  # what failed shows all its labels
            batch = self._read(unit, times, names)
        self._reader.count_batch(unit, len(times), batch)
        with self._reader.budget.holding(batch_bytes(batch)):
            rows = self._reader.filtered(batch, self._filters)
            self._reader.passed(len(rows))
            amounts = batch.lines.lengths[rows] if self._sums else NONE
            return self._of_rows(batch, rows, names, amounts, steps)

    def _read(self, unit: Unit, times: Times, names: frozenset[str] | None) -> Batch:
        return unit.read(times, Columns(lines=bool(self._filters) or self._sums, metadata=names))

    def _of_rows(self, batch: Batch, rows: I64, names: frozenset[str] | None, amounts: I64, steps: Steps) -> Changes:
        """Rows of a batch, told apart by their streams and their metadata of the names."""
        if not _has_labels(batch, names):
            return self._of_streams.changes(steps, batch.streams, batch.stream[rows], batch.ts[rows], NONE, amounts)
        codes, groups = self.sets.of_rows(batch, rows, names, {})
        found = changes_of(steps, codes, groups, batch.ts[rows], NONE, amounts, mixed=True)
        assert found is not None, "every code has its label set"
        return found

    def _of_samples(self, samples: SampleReader, unit: Unit, steps: Steps) -> Changes:
        """By what stages make of the unit's entries."""
        _, found = samples.samples(unit)
        amounts = found.values.astype(np.int64) if self._sums else NONE
        changes = changes_of(steps, found.codes, found.numbers, found.ts, NONE, amounts, mixed=True)
        assert changes is not None, "every code has its label set"
        return changes


def _metadata_read(grouping: Grouping | None) -> frozenset[str] | None:
    """The structured metadata that the labels of samples are made of; None: all of it."""
    if grouping is None or grouping.without:
        return None
    return frozenset([ERROR, *grouping.names, *(name.removesuffix(SUFFIX) for name in grouping.names)])


def _has_errors(batch: Batch) -> bool:
    return ERROR in batch.metadata or (batch.rest is not None and ERROR in batch.rest.names)


def _has_labels(batch: Batch, names: frozenset[str] | None) -> bool:
    """Whether there is structured metadata of the names; None: any at all."""
    if names is None:
        return bool(batch.metadata) or batch.rest is not None
    return not names.isdisjoint(batch.metadata) or (batch.rest is not None and not names.isdisjoint(batch.rest.names))


class _StreamGroups:
    """Entries of streams, counted under the label sets that a table of stream numbers says."""

    def __init__(self, resolve: Callable[[Labels], int]) -> None:
        self._resolve = resolve
        self._lock = Lock()
        # By identity: a store has one stream table a tenant, of any length, and keeps it.
        self._tables: dict[int, tuple[Sequence[Labels], I32]] = {}

    def changes(
        self, steps: Steps, streams: Sequence[Labels], stream: I32, ts: I64, entries: I64, amounts: I64
    ) -> Changes:
        """The changes of n entries; `stream` indexes `streams`, the others are as of `changes_of`."""
        table = self._table(streams, int(stream.max(initial=-1)) + 1)
        found = changes_of(steps, stream, table, ts, entries, amounts)
        if found is None:
            for number in np.unique(stream[table[stream] < 0]).tolist():
                table[number] = self._resolve(streams[number])
            found = changes_of(steps, stream, table, ts, entries, amounts)
        assert found is not None, "every stream has its label set"
        return found

    def _table(self, streams: Sequence[Labels], least: int) -> I32:
        """The groups of streams, at least so many of them; another thread may have a longer one meanwhile."""
        with self._lock:
            _, table = self._tables.get(id(streams), (streams, np.zeros(0, np.int32)))
            if least > len(table):
                table = np.concatenate([table, np.full(max(least - len(table), len(table)), -1, np.int32)])
                self._tables[id(streams)] = streams, table
            return table
