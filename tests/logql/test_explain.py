from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from logql import Direction, Explanation, LogResult, Matrix, ResultCache, parse, run_log_query, run_range
from logql.ast import LogExpr
from logql.explain import LineCounts, Step, UnitCounts, span
from logql.limits import MetricLimits
from logql.plan_texts import PlanText, StageText
from logql.timings import Stage
from logql.unit_reader import UnitReader
from storage.batch import Labels
from tests.batch_unit import BatchUnit
from tests.logql.memory_source import MemorySource, Stored

S = 1_000_000_000
A: Labels = (("app", "a"),)
B: Labels = (("app", "b"),)
LINES = 60
ENTRIES = [
    Stored((A, B)[n % 2], n * S, b'{"level":"%b","n":%d}' % ((b"info", b"error", b"error")[n % 3], n))
    for n in range(LINES)
]
"""20 of level info, 40 of level error; of each third of them one is of B and one of A."""


def explained(
    query: str, *, unit_size: int = 10, limit: int = 1000, in_blocks: bool = False
) -> tuple[LogResult | Matrix, Explanation]:
    """The answer and what is told of it, for a query over all entries."""
    found = Explanation()
    return _run(query, MemorySource(ENTRIES, unit_size, in_blocks), limit, found), found


def _run(query: str, source: MemorySource, limit: int, explanation: Explanation | None) -> LogResult | Matrix:
    expr = parse(query)
    if isinstance(expr, LogExpr):
        return run_log_query(source, "t", expr, 0, LINES * S, limit, Direction.BACKWARD, explanation=explanation)
    return run_range(source, "t", expr, 0, LINES * S, 10 * S, limits=MetricLimits(), explanation=explanation)


QUERIES = [
    '{app="a"}',
    '{app=~".+"} |= "error"',
    '{app=~".+"} |= "error" | json | level="error" | n > 20',
    '{app=~".+"} | json | logfmt | level="info"',
    'sum(count_over_time({app=~".+"}[10s]))',
    'sum by (level) (count_over_time({app=~".+"} |= "error" | json [10s]))',
    'max_over_time({app=~".+"} | json | unwrap n [10s]) by (level)',
    'quantile_over_time(0.5, {app=~".+"} | json | unwrap n [10s])',
    'sum(rate({app="a"}[10s])) / sum(rate({app="b"} |= "error" [10s]))',
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("unit_size", [1, 7, 60])
def test_an_explained_query_is_answered_as_any(query: str, unit_size: int) -> None:
    answer, found = explained(query, unit_size=unit_size)
    plain = _run(query, MemorySource(ENTRIES, unit_size), 1000, None)
    if isinstance(answer, LogResult):
        assert isinstance(plain, LogResult)
        assert answer.entries == plain.entries
    else:
        assert isinstance(plain, Matrix)
        assert answer.series == plain.series
    assert answer.stats.lines == plain.stats.lines
    assert len(found.plans) == str(parse(query)).count("{")
    stages = found.seconds()
    assert {Stage.PLAN, Stage.SELECT, Stage.TIMES} <= set(stages)
    assert all(taken.wall >= 0 for taken in stages.values())


def test_the_plan_says_what_runs_by_columns_and_what_parsers_look_for() -> None:
    query = '{app=~".+"} | json |~ "(abc|xyz)[0-9]" | level="error" | logfmt'
    _, found = explained(query)
    (plan,) = found.plans
    assert plan == PlanText(
        query,
        '{app=~".+"}',
        (
            StageText('|~ "(abc|xyz)[0-9]"', by_columns=True, literals=(("abc", "xyz"),)),
            StageText("| json", by_columns=True, labels=("level",), literals=(("error",),)),
            StageText('| level="error"', by_columns=True),
            StageText("| logfmt", by_columns=True, labels=("level",)),
        ),
        by_columns=False,
    )


def test_the_plan_of_a_metric_query_looks_for_what_its_grouping_and_unwrap_want() -> None:
    _, found = explained('sum by (level) (sum_over_time({app="a"} | json | unwrap n [10s]))')
    (plan,) = found.plans
    assert plan.text == 'sum_over_time({app="a"} | json | unwrap n[10s])'
    assert plan.stages == (
        StageText("| json", by_columns=True, labels=("level", "n")),
        StageText("| unwrap n", by_columns=True),
    )
    assert plan.by_columns
    _, found = explained('count_over_time({app="a"} | json [10s])')
    assert [(stage.by_columns, stage.labels) for stage in found.plans[0].stages] == [(False, None)]
    assert not found.plans[0].by_columns


def test_a_line_format_that_does_not_matter_is_no_stage_of_the_plan() -> None:
    _, found = explained('sum(count_over_time({app="a"} |= "x" | line_format "y" [10s]))')
    assert found.plans[0].stages == (StageText('|= "x"', by_columns=True, literals=(("x",),)),)
    assert found.plans[0].by_columns


@pytest.mark.parametrize("unit_size", [1, 7, 60])
def test_entries_are_counted_at_each_step(unit_size: int) -> None:
    answer, found = explained('{app=~".+"} |= "error" | json | n > 49 | logfmt', unit_size=unit_size)
    assert answer.stats.lines == 60
    assert found.steps() == {Step.LINE_FILTERS: 40, Step.COLUMNS: 7, Step.ROWS: 7}
    assert answer.stats.post_filter_lines == 7


def test_entries_of_metric_queries_are_counted_at_each_step() -> None:
    _, found = explained('sum by (level) (count_over_time({app=~".+"} |= "error" | json | n > 49 [10s]))')
    assert found.steps() == {Step.LINE_FILTERS: 40, Step.COLUMNS: 7}
    _, found = explained('count_over_time({app=~".+"} | json | n > 49 [10s])')
    assert found.steps() == {Step.COLUMNS: 10, Step.ROWS: 10}


def test_rows_that_come_after_the_limit_are_not_decided() -> None:
    _, found = explained('{app=~".+"} | json | logfmt', unit_size=60, limit=3)
    assert found.steps() == {Step.ROWS: 3}


def test_units_that_cannot_come_before_what_was_found_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logql.workers.THREADS", 2)  # each thread begins a unit before anything is found
    _, found = explained('{app=~".+"} |= "error"', limit=10, in_blocks=True)
    counts = found.units()
    assert counts.unread == 4
    assert counts.lines_of_blocks + counts.lines_of_memory == 2


def test_lines_and_the_bytes_of_them_are_counted_where_they_are_read() -> None:
    _, found = explained('{app=~".+"} |= "error"', in_blocks=True)
    assert found.units() == UnitCounts(lines_of_blocks=3, lines_of_memory=3)
    size = sum(len(entry.line) for entry in ENTRIES)
    # Ten bytes a line from each of the three units that say that they are files.
    assert found.lines() == LineCounts(60, size, 300)


def test_a_log_query_without_stages_reads_the_lines_of_its_answer() -> None:
    _, found = explained('{app=~".+"}', limit=4)
    assert found.lines().lines == 4
    assert found.units() == UnitCounts(lines_of_memory=1, unread=5)


def test_a_count_without_stages_reads_no_line() -> None:
    _, found = explained('sum(count_over_time({app=~".+"}[10s]))')
    assert found.lines() == LineCounts()
    assert found.units() == UnitCounts(times=6)


def test_nothing_is_noted_of_a_query_that_is_not_to_be_explained() -> None:
    source = MemorySource(ENTRIES, 10)
    reader = UnitReader(source, "t", lambda: None)
    units = list(reader.units([], 0, LINES * S, Direction.FORWARD))
    assert units == source.units
    assert reader.span(Stage.LINES) is span(None, Stage.ROWS)


# -- light ones


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_with_a_light_explanation_is_answered_as_any_and_told_of_as_in_full(query: str) -> None:
    light = Explanation(light=True)
    answer = _run(query, MemorySource(ENTRIES, 7, in_blocks=True), 1000, light)
    plain = _run(query, MemorySource(ENTRIES, 7, in_blocks=True), 1000, None)
    _, full = explained(query, unit_size=7, in_blocks=True)
    assert answer.stats.lines == plain.stats.lines == light.so_far().lines
    assert (light.units(), light.lines(), light.steps()) == (full.units(), full.lines(), full.steps())
    assert light.plans == full.plans
    stages = light.seconds()
    assert set(stages) <= set(full.seconds()) - {Stage.INDEX}
    assert {Stage.PLAN, Stage.SELECT, Stage.TIMES} <= set(stages)
    assert all(taken.cpu == 0 for taken in stages.values())


class KnownUnit(BatchUnit):
    """A unit whose entries never change."""

    def identity(self) -> int:
        return self.arrival


class KnownSource(MemorySource):
    """Units whose results may be kept, under one selector each."""

    def scan(self, *args: Any, **more: Any) -> Iterator[BatchUnit]:
        matchers = args[1]
        for unit in super().scan(*args, **more):
            assert isinstance(unit, BatchUnit)
            yield KnownUnit(unit.batch, hash((unit.arrival, tuple(map(str, matchers)))), unit.in_memory)


@pytest.mark.parametrize("query", [query for query in QUERIES if "[10s]" in query])
def test_a_light_one_counts_what_earlier_queries_answered(query: str) -> None:
    source, cache = KnownSource(ENTRIES, 10), ResultCache(1 << 20)
    expr = parse(query)
    assert not isinstance(expr, LogExpr)

    def run(found: Explanation) -> Matrix:
        limits = MetricLimits()
        return run_range(source, "t", expr, 0, LINES * S, 10 * S, limits=limits, explanation=found, cache=cache)

    first, again, full = Explanation(light=True), Explanation(light=True), Explanation()
    answers = [run(found).series for found in (first, again, full)]
    assert answers[0] == answers[1] == answers[2]
    count = len(first.plans) * LINES // 10
    assert first.units().cached == full.units().cached == 0
    assert again.units() == UnitCounts(cached=count)
    assert again.lines() == LineCounts()
