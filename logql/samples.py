"""Samples: what a range aggregation makes of log lines before windows are laid over them (LOKI.md 3.6, 4.4).

The general way, entry by entry; `counts.py` has the one for counts, which most queries are.
"""

from __future__ import annotations

from logql.ast import RangeAggregation
from logql.columns.unit_samples import SampleReader
from logql.extractor import Extractor
from logql.sample_columns import SampleCollector, SampleColumns
from logql.source import Direction
from logql.stream_ids import StreamIds
from logql.unit_reader import UnitReader
from logql.workers import in_order


def read_samples(
    reader: UnitReader, node: RangeAggregation, extractor: Extractor, start: int, end: int, most: int = 0
) -> SampleColumns:
    """The samples that `extractor` makes of entries with start <= ts < end (ns), by labels.

    `most` series may be found, if the query's series are these; 0: any number.

    A sample whose pipeline failed keeps all labels that it has, `__error__` among them.

    Raises:
        LimitError: they do not fit in the query's memory.
    """
    found, samples = SampleCollector(reader.budget), SampleReader(reader, extractor, most)
    ids = StreamIds()
    units = reader.units(node.range.log.matchers, start, end, Direction.FORWARD)
    # The scalar stages hold the GIL: a second thread would only slow them down.
    made = (
        in_order(samples.samples, units) if extractor.by_columns else ((unit, samples.samples(unit)) for unit in units)
    )
    for unit, (streams, one) in made:
        found.add(one.numbers[one.codes], one.ts, ids.of(streams, one.stream), unit.arrival, one.values)
    return found.in_order(samples.sets.all())
