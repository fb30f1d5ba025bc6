"""Running a log query over a Source: units in time order, filters over whole batches, stop when nothing can be better.

Line filters that come first work on batches, the other stages on one row after the other. Without any, lines are read
of the entries alone that are returned. So they are where the other stages let every row through, as parsers do: then
these work on what is returned, and not on what each unit might have for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from time import perf_counter

import numpy as np

from logql.ast import LogExpr
from logql.budget import ENTRY, Budget
from logql.columns.plan import is_special, plan_of
from logql.explain import Explanation, Step
from logql.plan_texts import PlanText, plan_text
from logql.ranking import Candidates, merge, no_candidates, settled, thin
from logql.result import Entry, LogResult, entry_of
from logql.rows import ROWS_AT_ONCE, rows_of, watched
from logql.source import Direction, Source, Unit
from logql.stages.pipeline import Pipeline
from logql.stream_ids import StreamIds
from logql.timings import Stage
from logql.unit_reader import UnitReader
from logql.workers import in_order
from storage.batch import I64, Batch
from storage.reading import Times
from storage.rows import batch_bytes, take_rows

_MOST_AT_ONCE = 64 * ROWS_AT_ONCE
"""Rows that go through stages by columns together, at most: a query may be content with the first of them."""


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
    explanation: Explanation | None = None,
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
        explanation: is told what the query does.

    Raises:
        LimitError: they are more than the budget allows.
        RegexError, StageError: a stage cannot be built; `parse` has refused such an expression before.
    """
    began = perf_counter()
    reader = UnitReader(source, tenant, check, budget, explanation)
    with reader.span(Stage.PLAN):
        query = _LogQuery(reader, Pipeline.of(expr.stages), limit, direction)
    if explanation is not None:
        explanation.plan(query.plan_text(expr))
    units = takewhile(query.may_be_in, reader.units(expr.matchers, start, end, direction))
    # Stages hold the GIL, and times alone are read faster than they are handed to another thread.
    if query.pipeline.line_filters and not query.choosing:
        for unit, found in in_order(query.chosen, units):
            query.keep(unit, found)
    else:
        for unit in units:
            query.keep(unit, query.chosen(unit))
    return query.answer(interval, began)


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """Entries of a unit that may be in the answer, by (stream, ts) as they came.

    Attributes:
        times: the entries.
        batch: their contents, None if those are yet to be read.
        made: what stages made of them, None without stages that choose.
    """

    times: Times
    batch: Batch | None = None
    made: list[Entry] | None = None

    def held(self) -> int:
        """Bytes of it."""
        size = batch_bytes(self.batch) if self.batch is not None else self.times.ts.nbytes * 3
        return size + sum(ENTRY + len(entry.line) for entry in self.made or ())


class _LogQuery:
    """One query at work: the best `limit` entries so far.

    Attributes:
        pipeline: of the query.
        choosing: whether one of its stages may drop a row.
    """

    def __init__(self, reader: UnitReader, pipeline: Pipeline, limit: int, direction: Direction) -> None:
        self.pipeline = pipeline
        self.choosing = pipeline.chooses
        self._reader = reader
        self._limit = limit
        self._direction = direction
        self._budget = reader.budget
        self._kept = no_candidates()
        self._parts: dict[int, tuple[Unit, _Chosen]] = {}
        self._numbers = count()
        self._ids = StreamIds()
        self._plan = plan_of(pipeline)

    def plan_text(self, expr: LogExpr) -> Callable[[], PlanText]:
        """What puts the plan in words; `expr` is the query."""
        pipeline, plan = self.pipeline, self._plan  # and nothing of what the query reads
        by_columns = not pipeline.stages
        return lambda: plan_text(str(expr), expr, expr.stages, pipeline, plan, by_columns=by_columns)

    def may_be_in(self, unit: Unit) -> bool:
        """Whether an entry of `unit`, or of a later one, can be in the answer."""
        bound = unit.min_ts if self._direction is Direction.FORWARD else unit.max_ts
        return settled(self._kept, bound, self._direction) < self._limit

    def chosen(self, unit: Unit) -> _Chosen:
        """The unit's entries that may be in the answer; lines are read only to tell. Runs in several threads."""
        with self._reader.span(Stage.OTHER):
            return self._chosen(unit)

    def _chosen(self, unit: Unit) -> _Chosen:
        times = unit.times()
        matched = len(times)
        times = times.take(self._still_wanted(times.ts))
        filters = self.pipeline.line_filters
        if not filters and not self.choosing:
            times = times.take(self._best(times.ts))
            self._reader.count(unit, matched)
            self._reader.passed(len(times))
            return _Chosen(times)
        batch = unit.read(times)
        self._reader.count_batch(unit, matched, batch)
        with self._budget.holding(batch_bytes(batch)):
            rows = self._reader.filtered(batch, filters)
            made: list[Entry] | None = None
            if self.choosing:
                rows, made = self._through_stages(batch, self._in_order(batch, rows))
            self._reader.passed(len(rows))
            best = self._best(batch.ts[rows])
            if made is not None:
                made = [made[place] for place in best.tolist()]
            kept = take_rows(batch, rows[best])
        return _Chosen(Times(kept.streams, np.arange(len(kept)), kept.stream, kept.ts), kept, made)

    def keep(self, unit: Unit, found: _Chosen) -> None:
        """Takes in entries of a unit; those that can no longer be in the answer go."""
        if not len(found.times):
            return
        part = next(self._numbers)
        size = len(found.times)
        fresh = Candidates(
            found.times.ts,
            self._ids.of(found.times.streams, found.times.stream),
            np.full(size, unit.arrival, np.int64),
            np.full(size, part, np.int64),
            np.arange(size, dtype=np.int64),
        )
        self._parts[part] = unit, found
        self._budget.take(found.held())
        self._kept = merge(self._kept, fresh, self._direction).take(slice(self._limit))
        for unused in self._parts.keys() - set(np.unique(self._kept.part).tolist()):
            self._budget.give_back(self._parts.pop(unused)[1].held())

    def answer(self, interval: int, began: float) -> LogResult:
        """The entries, once all units are read that had to be; `interval` apart (ns); `began` as of perf_counter."""
        kept = self._kept.take(thin(self._kept.ts, interval)) if interval else self._kept
        if self.choosing:
            entries = []
            for part, row in zip(kept.part.tolist(), kept.row.tolist(), strict=True):
                made = self._parts[part][1].made
                assert made is not None, "stages that choose make an entry of every row"
                entries.append(made[row])
            return LogResult(entries, self._reader.stats(len(kept), perf_counter() - began))
        batches = {}
        rows = kept.row.copy()
        places = [(part, np.flatnonzero(kept.part == part)) for part in np.unique(kept.part).tolist()]
        read = in_order(lambda place: self._contents(*self._parts[place[0]], kept.row[place[1]]), places)
        for (part, at), (batch, own) in read:
            batches[part], rows[at] = batch, own
        if self.pipeline.stages:
            entries = self._staged(batches, kept.part, rows)
            return LogResult(entries, self._reader.stats(len(kept), perf_counter() - began))
        return LogResult.of_rows(batches, kept.part, rows, self._reader.stats(len(kept), perf_counter() - began))

    def _staged(self, batches: Mapping[int, Batch], part: I64, rows: I64) -> list[Entry]:
        """What stages that drop no row make of the answer's entries: rows of the batches of `part`."""
        made: dict[int, Entry] = {}
        check = self._reader.check
        with self._reader.span(Stage.ROWS):
            for number, batch in batches.items():
                at = np.flatnonzero(part == number)
                for first in range(0, len(at), ROWS_AT_ONCE):
                    check()
                    some = at[first : first + ROWS_AT_ONCE]
                    through = watched(rows_of(take_rows(batch, rows[some])), check)
                    for place, (row, _) in zip(some.tolist(), through, strict=True):
                        self._budget.take(ENTRY + len(row.line))
                        self.pipeline.run_rest(row)
                        made[place] = entry_of(row)
        self._reader.left(Step.ROWS, len(made))
        return [made[place] for place in range(len(made))]

    def _contents(self, unit: Unit, found: _Chosen, rows: I64) -> tuple[Batch, I64]:
        """A batch with the given entries of a unit, and their rows in it."""
        if found.batch is not None:
            return found.batch, rows
        wanted, back = np.unique(rows, return_inverse=True)
        self._reader.check()
        before = unit.bytes_read
        batch = unit.read(found.times.take(wanted))
        self._budget.take(batch_bytes(batch))
        self._reader.count_contents(unit, batch, unit.bytes_read - before)
        return batch, back if batch.selection is None else batch.selection[back]

    def _in_order(self, batch: Batch, rows: I64) -> I64:
        """The rows by (ts, stream id, arrival)."""
        ts = batch.ts[rows]
        if bool((ts[1:] > ts[:-1]).all()):
            return rows
        return rows[np.lexsort((self._ids.of(batch.streams, batch.stream[rows]), ts))]

    def _best(self, ts: I64) -> I64:
        """Places of the times that may be among the first `limit` in the query's direction, ties included."""
        if len(ts) <= self._limit:
            return np.arange(len(ts))
        if self._direction is Direction.FORWARD:
            return np.flatnonzero(ts <= np.partition(ts, self._limit - 1)[self._limit - 1])
        return np.flatnonzero(ts >= np.partition(ts, len(ts) - self._limit)[len(ts) - self._limit])

    def _through_stages(self, batch: Batch, rows: I64) -> tuple[I64, list[Entry]]:
        """The rows that come through the stages, and what becomes of them, in the order of `rows`.

        No more than the first `limit` in the query's direction, and what ties with the last of these.
        """
        check = self._reader.check
        backward = self._direction is Direction.BACKWARD
        if backward:
            rows = rows[::-1]
        through: list[int] = []
        made: list[Entry] = []
        passing = 0
        for some in self._pieces(batch, rows):
            check()
            with self._reader.span(Stage.ROWS):
                for place, (row, _) in zip(some.tolist(), watched(rows_of(take_rows(batch, some)), check), strict=True):
                    if len(made) >= self._limit and row.ts != made[-1].ts:
                        self._reader.left(Step.ROWS, int(np.argmax(some == place)))
                        break
                    if self.pipeline.run_rest(row):
                        size = ENTRY + len(row.line)
                        self._budget.take(size)
                        passing += size
                        through.append(place)
                        made.append(entry_of(row))
                else:
                    self._reader.left(Step.ROWS, len(some))
                    continue
                break
        if backward:
            through.reverse()
            made.reverse()
        self._budget.give_back(passing)
        return np.array(through, np.int64), made

    def _pieces(self, batch: Batch, rows: I64) -> Iterator[I64]:
        """The rows in pieces that grow, without those that are seen by columns to be dropped."""
        plan = self._plan if self._plan is not None and not is_special(batch, self._plan.names) else None
        start, size = 0, ROWS_AT_ONCE
        while start < len(rows):
            some = rows[start : start + size]
            start += size
            if plan is None:
                yield some
                continue
            size = min(2 * size, _MOST_AT_ONCE)
            self._reader.check()
            ordered = np.sort(some)
            with self._reader.span(Stage.COLUMNS):
                left = plan.run(batch, ordered, self._reader.check).going_on()
            self._reader.left(Step.COLUMNS, len(left))
            kept = np.isin(some, left, assume_unique=True)
            wanted = some[kept]
            for first in range(0, len(wanted), ROWS_AT_ONCE):
                yield wanted[first : first + ROWS_AT_ONCE]

    def _still_wanted(self, ts: I64) -> I64:
        """Places that may still come before the last kept entry, once as many are kept as are asked for."""
        kept = self._kept
        if len(kept) < self._limit:
            return np.arange(len(ts))
        worst = kept.ts[-1]
        return np.flatnonzero(ts <= worst if self._direction is Direction.FORWARD else ts >= worst)
