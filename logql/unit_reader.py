"""Reading the units of a query: entries that line filters let through, and counting what that took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from threading import Lock

import numpy as np

from logql.budget import Budget
from logql.explain import Explanation, Step, span
from logql.result_cache import ResultCache
from logql.source import Direction, Matcher, Source, Unit
from logql.stages.line_filter import LineFilterStage
from logql.stats import Reading, Stats, line_bytes, metadata_bytes
from logql.timings import Stage
from storage.batch import I64, Batch


class UnitReader:
    """One query's way to its source.

    `units` is for the one thread that runs the query; what is counted may come from several.

    Attributes:
        check: raises to stop the query.
        budget: of the bytes that the query holds.
        explanation: of the query, if it is to be explained.
        cache: of what units came to in earlier queries, if that may be used.
    """

    def __init__(
        self,
        source: Source,
        tenant: str,
        check: Callable[[], None],
        budget: Budget | None = None,
        explanation: Explanation | None = None,
        cache: ResultCache | None = None,
    ) -> None:
        """`check` is called before each unit and raises to stop the query."""
        self.explanation = explanation
        self.cache = cache
        self._source = source
        self._tenant = tenant
        self.check = check
        self.budget = budget or Budget()
        self._post_filter_lines = 0
        self._lock = Lock()
        self._memory = Reading()
        self._blocks = Reading()
        if explanation is not None:
            explanation.watch(self.so_far)

    def units(self, matchers: Sequence[Matcher], start: int, end: int, direction: Direction) -> Iterator[Unit]:
        """The units of a scan in its order. Asks before each whether the query is still wanted."""
        for unit in self._scan(matchers, start, end, direction):
            self.check()
            yield unit

    def _scan(self, matchers: Sequence[Matcher], start: int, end: int, direction: Direction) -> Iterable[Unit]:
        explanation = self.explanation
        if explanation is None:
            return self._source.scan(self._tenant, matchers, start, end, direction)
        with explanation.span(Stage.SELECT):
            units = self._source.scan(self._tenant, matchers, start, end, direction, explanation.survey)
            return explanation.observed(units)

    def span(self, stage: Stage) -> AbstractContextManager[None]:
        """Counts the time of a block for a stage, if the query is to be explained. Not for what is done a row."""
        return span(self.explanation, stage)

    def left(self, step: Step, rows: int) -> None:
        """So many more entries came to a step; noted if the query is to be explained."""
        if self.explanation is not None:
            self.explanation.left(step, rows)

    def filtered(self, batch: Batch, filters: Sequence[LineFilterStage]) -> I64:
        """Rows of the batch's selection that all line filters let through, in its order."""
        with self.span(Stage.LINE_FILTERS):
            rows = filtered(batch, filters)
        if filters:
            self.left(Step.LINE_FILTERS, len(rows))
        return rows

    def count(self, unit: Unit, entries: int, lines: int = 0, metadata: int = 0) -> None:
        """Counts a unit that was read: its entries, bytes of lines and of structured metadata."""
        self._add(unit, Reading(1, entries, lines, metadata, unit.bytes_read))

    def count_batch(self, unit: Unit, entries: int, batch: Batch) -> None:
        """Counts a unit of which the batch was read."""
        self.count(unit, entries, line_bytes(batch), metadata_bytes(batch))

    def count_contents(self, unit: Unit, batch: Batch, compressed: int) -> None:
        """Counts contents that were read of a unit that is counted, and the bytes they took from disk."""
        self._add(unit, Reading(0, 0, line_bytes(batch), metadata_bytes(batch), compressed))

    def _add(self, unit: Unit, reading: Reading) -> None:
        with self._lock:
            if unit.in_memory:
                self._memory += reading
            else:
                self._blocks += reading

    def from_cache(self) -> None:
        """What an earlier query came to answered a unit; noted if something is to be told of the query."""
        if self.explanation is not None:
            self.explanation.from_cache()

    def so_far(self) -> Reading:
        """What was read up to now. For any thread."""
        return self._memory + self._blocks

    def passed(self, lines: int) -> None:
        """Counts entries that came through the pipeline."""
        with self._lock:
            self._post_filter_lines += lines

    def stats(self, returned: int, exec_time: float) -> Stats:
        """What it took so far; `returned` entries or points, `exec_time` in seconds."""
        return Stats(self._memory, self._blocks, self._post_filter_lines, returned, exec_time)


def filtered(batch: Batch, filters: Iterable[LineFilterStage]) -> I64:
    """Rows of the batch's selection that all line filters let through, in its order."""
    for stage in filters:
        batch = stage.narrow(batch)
    return np.arange(len(batch), dtype=np.int64) if batch.selection is None else batch.selection
