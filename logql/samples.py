"""Samples: what a range aggregation makes of log lines before windows are laid over them, as in Loki.

The general way, entry by entry; `counts.py` has the one for counts, which most queries are.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from logql.ast import RangeAggregation
from logql.columns.unit_samples import SampleReader, UnitSamples
from logql.errors import LimitError
from logql.extractor import Extractor
from logql.result_cache import KeptSamples, UnitResults
from logql.sample_columns import SampleCollector, SampleColumns
from logql.source import Direction, Unit
from logql.stream_ids import StreamIds
from logql.timings import Stage
from logql.unit_reader import UnitReader
from logql.workers import in_order
from storage.batch import Labels


def read_samples(
    reader: UnitReader, node: RangeAggregation, extractor: Extractor, start: int, end: int, most: int = 0
) -> SampleColumns:
    """The samples that `extractor` makes of entries with start <= ts < end (ns), by labels.

    `most` series may be found, if the query's series are these; 0: any number.

    A sample whose pipeline failed keeps all labels that it has, `__error__` among them.

    Raises:
        LimitError: they do not fit in the query's memory.
    """
    results = UnitResults(reader.cache, node, extractor.grouping, start, end)
    own, wider = SampleReader(reader, extractor, most), SampleReader(reader, extractor, most)
    reading = _Reading(reader, results, SampleCollector(reader.budget), own, wider, start, end)
    units = reading.unknown(reader.units(node.range.log.matchers, start, end, Direction.FORWARD))
    # The scalar stages hold the GIL: a second thread would only slow them down.
    made = in_order(reading.made, units) if extractor.by_columns else ((item, reading.made(item)) for item in units)
    for (unit, key), one in made:
        reading.add(unit, key, one)
    with reader.span(Stage.AGGREGATE):
        return reading.found.in_order(own.sets.all())


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """Samples of a unit.

    Attributes:
        reader: what made them, which has their label sets.
        streams: what their streams index.
        samples: the samples.
        whole: of all entries of the unit.
    """

    reader: SampleReader
    streams: Sequence[Labels]
    samples: UnitSamples
    whole: bool


class _Reading:
    """Collects the samples of one range aggregation.

    Attributes:
        found: the samples.
    """

    def __init__(
        self,
        reader: UnitReader,
        results: UnitResults,
        found: SampleCollector,
        own: SampleReader,
        wider: SampleReader,
        start: int,
        end: int,
    ) -> None:
        """`wider` is for what lies before and after the query's range: none of its label sets."""
        self.found = found
        self._reader = reader
        self._results = results
        self._own = own
        self._wider = wider
        self._start, self._end = start, end
        self._ids = StreamIds()

    def unknown(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Hashable | None]]:
        """The units that have to be read, and what their results are to be known by. Collects the others."""
        for unit in units:
            key = self._results.key(unit)
            kept = self._results.get(key)
            if isinstance(kept, KeptSamples):
                self._reader.from_cache()
                self._collect(unit, kept)
            else:
                yield unit, key

    def made(self, item: tuple[Unit, Hashable | None]) -> _Made:
        """The samples of a unit; of all its entries, if they are to be kept. Runs in several threads at once."""
        unit, key = item
        if key is not None:
            whole = unit.whole()
            if self._results.is_inside(whole):
                return _Made(self._own, *self._own.samples(whole), whole=True)
            if self._results.is_most(unit, whole):
                try:
                    return _Made(self._wider, *self._wider.samples(whole), whole=True)
                except LimitError:
                    pass  # which says nothing of what is asked for
        return _Made(self._own, *self._own.samples(unit), whole=False)

    def add(self, unit: Unit, key: Hashable | None, one: _Made) -> None:
        """Collects the samples that are asked for, and keeps all of them if that is wanted."""
        samples = one.samples
        ids = self._ids.of(one.streams, samples.stream)
        if key is None or not one.whole:
            self.found.add(samples.numbers[samples.codes], samples.ts, ids, unit.arrival, samples.values)
            return
        labels = tuple(map(one.reader.sets.__getitem__, samples.numbers.tolist()))
        kept = KeptSamples(labels, samples.codes, samples.ts, ids, samples.values)
        self._results.put(key, kept)
        self._collect(unit, kept)

    def _collect(self, unit: Unit, kept: KeptSamples) -> None:
        inside = kept.within(self._start, self._end)
        self.found.add(inside.numbers(self._own.sets.number), inside.ts, inside.stream, unit.arrival, inside.values)
