"""A log query asked of batches as they are committed: what live tail runs.

Streams are matched once each, when the first entry of theirs comes. Then line filters and the stages that drop rows run
over columns, the rest row by row, a piece at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from logql.ast import LogExpr
from logql.columns.plan import is_special, plan_of
from logql.entry_columns import EntryColumns, EntryLabels, columns_of_entries, columns_of_rows, labels_of
from logql.rows import rows_of, watched
from logql.stages.label_match import LabelMatch
from logql.stages.pipeline import Pipeline
from logql.unit_reader import filtered
from storage.batch import I64, Batch, Labels
from storage.rows import take_rows

AT_ONCE = 1000
"""Entries of a piece at most."""

_UNKNOWN, _OTHER, _MATCHING = -1, 0, 1


class LiveQuery:
    """One query. For one thread."""

    def __init__(self, expr: LogExpr) -> None:
        """Raises RegexError, StageError: a stage cannot be built; `parse` has refused such an expression before."""
        self._tests = [LabelMatch.of(matcher) for matcher in expr.matchers]
        self._pipeline = Pipeline.of(expr.stages)
        self._plan = plan_of(self._pipeline)
        self._table: Sequence[Labels] | None = None
        self._known: NDArray[np.int8] = np.zeros(0, np.int8)

    def matching(self, batch: Batch) -> I64:
        """int64[m], ascending: the rows of a batch without a selection whose streams the selector matches."""
        if batch.streams is not self._table:
            self._table, self._known = batch.streams, np.full(64, _UNKNOWN, np.int8)
        missing = int(batch.stream.max(initial=-1)) + 1 - len(self._known)
        if missing > 0:
            more = np.full(max(missing, len(self._known)), _UNKNOWN, np.int8)
            self._known = np.concatenate([self._known, more])
        found = self._known[batch.stream]
        if bool((found == _UNKNOWN).any()):
            for number in np.unique(batch.stream[found == _UNKNOWN]).tolist():
                self._known[number] = self._decided(batch.streams[number])
            found = self._known[batch.stream]
        return np.flatnonzero(found == _MATCHING)

    def _decided(self, labels: Labels) -> int:
        own = dict(labels)
        return _MATCHING if all(test.accepts(own.get(test.name, "")) for test in self._tests) else _OTHER

    def entries(
        self, batch: Batch, rows: I64, check: Callable[[], None], *, stream_only: bool = False
    ) -> Iterator[tuple[I64, EntryColumns]]:
        """What becomes of rows, ascending in (ts, arrival), in pieces of AT_ONCE entries at most; none is empty.

        With each piece comes int64[entries], the row that each was.

        Args:
            batch: without a selection.
            rows: as `matching` gave them.
            check: raises to stop; called now and then.
            stream_only: of a bare query, the entries have the labels of their stream alone.
        """
        rows = self._through_columns(batch, rows, check)
        rows = rows[np.argsort(batch.ts[rows], kind="stable")]
        for first in range(0, len(rows), AT_ONCE):
            check()
            some = rows[first : first + AT_ONCE]
            if not self._pipeline.stages:
                yield (
                    some,
                    by_stream(batch, some) if stream_only else columns_of_rows([batch], np.zeros_like(some), some),
                )
                continue
            all_rows = zip(some.tolist(), watched(rows_of(take_rows(batch, some)), check), strict=True)
            made = [(place, row) for place, (row, _) in all_rows if self._pipeline.run_rest(row)]
            if made:
                places = np.array([place for place, _ in made], np.int64)
                through = [row for _, row in made]
                yield (
                    places,
                    columns_of_entries(
                        (row.ts for row in through), (row.line for row in through), map(labels_of, through)
                    ),
                )

    def _through_columns(self, batch: Batch, rows: I64, check: Callable[[], None]) -> I64:
        """The rows without those that are seen by columns to be dropped."""
        if self._pipeline.line_filters and len(rows):
            rows = filtered(replace(batch, selection=rows), self._pipeline.line_filters)
        if self._plan is not None and len(rows) and not is_special(batch, self._plan.names):
            rows = self._plan.run(batch, rows, check).going_on()
        return rows


def by_stream(batch: Batch, rows: I64) -> EntryColumns:
    """Some rows of a batch with the labels of their streams and no others."""
    used, labels = np.unique(batch.stream[rows], return_inverse=True)
    sets = [EntryLabels(batch.streams[number], ()) for number in used.tolist()]
    return EntryColumns(batch.ts[rows], rows, batch.lines, labels.astype(np.int64, copy=False), sets)
