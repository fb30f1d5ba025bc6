"""Running a log query over a Source: units in time order, filters over whole batches, stop when nothing can be better.

Line filters that come first work on batches, the other stages on one row after the other. Without other stages, Python
objects are made only for the entries that are returned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from logql.ast import LogExpr
from logql.budget import ENTRY, Budget
from logql.ranking import Candidates, merge, no_candidates, settled, thin
from logql.result import Entry, LogResult, entry_of
from logql.samples import ROWS_AT_ONCE, rows_of, watched
from logql.source import Direction, Source, Unit
from logql.stages.pipeline import Pipeline
from logql.stages.row import Row
from logql.stats import Reading, Stats, metadata_bytes
from storage.batch import I64, Batch, Labels
from storage.labels import labels_id
from storage.rows import batch_bytes, take_rows


def _go_on() -> None:
    """The check of a query that nobody stops."""


def run_log_query(
    source: Source,
    tenant: str,
    expr: LogExpr,
    start: int,
    end: int,
    limit: int,
    direction: Direction,
    *,
    interval: int = 0,
    check: Callable[[], None] = _go_on,
    budget: Budget | None = None,
) -> LogResult:
    """The first `limit` entries, in the query's direction, that the expression lets through.

    Args:
        source: where entries come from.
        tenant: whose.
        expr: the query.
        start: ns, inclusive.
        end: ns, exclusive.
        limit: entries over all streams, > 0.
        direction: FORWARD is (ts, stream id, arrival) order; BACKWARD too, with ts and arrival descending.
        interval: ns that two returned entries must be apart; the first `limit` entries are thinned, no others take the
            places that become free (Loki's recorded answers). 0 returns all.
        check: called before each unit is read, and now and then while its rows go through stages; raises to stop the
            query (deadline, client gone).
        budget: counts the bytes of the batches and entries that the query holds; without one it may hold any number.

    Raises:
        LimitError: they are more than the budget allows.
        RegexError, StageError: a stage cannot be built; `parse` has refused such an expression before.
    """
    began = perf_counter()
    query = _LogQuery(Pipeline.of(expr.stages), limit, direction, budget or Budget())
    for unit in source.scan(tenant, expr.matchers, start, end, direction):
        if query.is_answered_before(unit):
            break
        check()
        query.read(unit, check)
    entries = query.answer(interval)
    return LogResult(entries, query.stats(len(entries), perf_counter() - began))


class _LogQuery:
    """One query at work: the best `limit` entries so far, and the batches that they are in."""

    def __init__(self, pipeline: Pipeline, limit: int, direction: Direction, budget: Budget) -> None:
        self._pipeline = pipeline
        self._limit = limit
        self._direction = direction
        self._budget = budget
        self._passing = 0
        """Bytes of entries that came through the stages and are not yet chosen among."""
        self._kept = no_candidates()
        self._parts: dict[int, Batch] = {}
        self._made: dict[int, list[Entry]] = {}
        self._ids: dict[Labels, int] = {}
        self._memory = Reading()
        self._blocks = Reading()
        self._post_filter_lines = 0

    def is_answered_before(self, unit: Unit) -> bool:
        """Whether no entry of `unit`, nor of any later one, can be in the answer."""
        bound = unit.min_ts if self._direction is Direction.FORWARD else unit.max_ts
        return settled(self._kept, bound, self._direction) >= self._limit

    def read(self, unit: Unit, check: Callable[[], None]) -> None:
        """Takes in the unit's entries."""
        batch = unit.read()
        part = self._count(unit, batch)
        with self._budget.holding(batch_bytes(batch)):
            self._take_in(unit, part, batch, check)
        self._budget.give_back(self._passing)
        self._passing = 0

    def _take_in(self, unit: Unit, part: int, batch: Batch, check: Callable[[], None]) -> None:
        batch = replace(batch, selection=self._still_wanted(batch))
        for stage in self._pipeline.line_filters:
            batch = stage.narrow(batch)
        rows = batch.selection
        assert rows is not None
        made: list[Entry] | None = None
        if self._pipeline.stages:
            rows, made = self._through_stages(batch, rows, check)
        self._post_filter_lines += len(rows)
        if not len(rows):
            return
        best = self._best(batch.ts[rows])
        if made is not None:
            self._made[part] = made[best]
        self._keep(part, unit.arrival, take_rows(batch, rows[best]))

    def _held(self, part: int) -> int:
        """Bytes of what is kept of a unit."""
        made = self._made.get(part, ())
        return batch_bytes(self._parts[part]) + sum(ENTRY + len(entry.line) for entry in made)

    def _best(self, ts: I64) -> slice:
        """Of ascending times, those that may be among the first `limit` in the query's direction, ties included."""
        if len(ts) <= self._limit:
            return slice(None)
        if self._direction is Direction.FORWARD:
            return slice(self._limit)
        return slice(int(np.searchsorted(ts, ts[-self._limit])), None)

    def _through_stages(self, batch: Batch, rows: I64, check: Callable[[], None]) -> tuple[I64, list[Entry]]:
        """The rows that come through the stages, and what becomes of them, in the batch's order.

        No more than the first `limit` in the query's direction, and what ties with the last of these.
        """
        backward = self._direction is Direction.BACKWARD
        if backward:
            rows = rows[::-1]
        through: list[int] = []
        made: list[Entry] = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            check()
            some = rows[start : start + ROWS_AT_ONCE]
            for place, (row, _) in zip(some.tolist(), watched(rows_of(take_rows(batch, some)), check), strict=True):
                if len(made) >= self._limit and row.ts != made[-1].ts:
                    break
                if self._pipeline.run_rest(row):
                    self._hold(row)
                    through.append(place)
                    made.append(entry_of(row))
            else:
                continue
            break
        if backward:
            through.reverse()
            made.reverse()
        return np.array(through, np.int64), made

    def _hold(self, row: Row) -> None:
        size = ENTRY + len(row.line)
        self._budget.take(size)
        self._passing += size

    def answer(self, interval: int) -> tuple[Entry, ...]:
        """The entries, once all units are read that had to be; `interval` apart (ns)."""
        kept = self._kept.take(thin(self._kept.ts, interval)) if interval else self._kept
        made: dict[tuple[int, int], Entry] = {}
        for part in np.unique(kept.part).tolist():
            rows = kept.row[kept.part == part]
            if part in self._made:
                entries = [self._made[part][row] for row in rows.tolist()]
            else:
                entries = [entry_of(row) for row, _ in rows_of(take_rows(self._parts[part], rows))]
            made.update(zip(((part, row) for row in rows.tolist()), entries, strict=True))
        return tuple(map(made.__getitem__, zip(kept.part.tolist(), kept.row.tolist(), strict=True)))

    def stats(self, returned: int, exec_time: float) -> Stats:
        """What it took; `exec_time` in seconds."""
        return Stats(self._memory, self._blocks, self._post_filter_lines, returned, exec_time)

    def _count(self, unit: Unit, batch: Batch) -> int:
        """Counts what was read; returns how many units that makes, which numbers them."""
        reading = Reading(1, len(batch), batch.lines.nbytes, metadata_bytes(batch), unit.compressed_bytes)
        if unit.in_memory:
            self._memory += reading
        else:
            self._blocks += reading
        return self._memory.units + self._blocks.units

    def _still_wanted(self, batch: Batch) -> I64:
        """Rows that may still come before the last kept entry, once as many are kept as are asked for."""
        first, stop = 0, len(batch)
        if len(self._kept) == self._limit:
            worst = self._kept.ts[-1]
            if self._direction is Direction.FORWARD:
                stop = int(np.searchsorted(batch.ts, worst, "right"))
            else:
                first = int(np.searchsorted(batch.ts, worst, "left"))
        return np.arange(first, stop, dtype=np.int64)

    def _keep(self, part: int, arrival: int, batch: Batch) -> None:
        n = len(batch)
        fresh = Candidates(
            batch.ts,
            self._stream_ids(batch),
            np.full(n, arrival, np.int64),
            np.full(n, part, np.int64),
            np.arange(n, dtype=np.int64),
        )
        self._parts[part] = batch
        self._budget.take(self._held(part))
        self._kept = merge(self._kept, fresh, self._direction).take(slice(self._limit))
        for unused in self._parts.keys() - set(np.unique(self._kept.part).tolist()):
            self._budget.give_back(self._held(unused))
            del self._parts[unused]
            self._made.pop(unused, None)

    def _stream_ids(self, batch: Batch) -> NDArray[np.uint64]:
        used, back = np.unique(batch.stream, return_inverse=True)
        return np.array([self._id(batch.streams[number]) for number in used.tolist()], np.uint64)[back]

    def _id(self, labels: Labels) -> int:
        if labels not in self._ids:
            self._ids[labels] = labels_id(labels)
        return self._ids[labels]
