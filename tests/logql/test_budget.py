"""The memory that a query may hold."""

from __future__ import annotations

import pytest

from logql import Budget, Direction, LimitError, MetricLimits, parse, run_log_query, run_range
from logql.ast import LogExpr
from tests.logql.memory_source import MemorySource, Stored

ENTRIES = [Stored((("app", "a"), ("n", str(n % 7))), n, b"line %d" % n + b"x" * 100, ()) for n in range(3000)]


def test_more_than_allowed_is_refused_with_both_figures() -> None:
    budget = Budget(1000)
    budget.take(600)
    with budget.holding(400):
        pass
    with pytest.raises(LimitError, match=r"used: 1001 bytes, allowed: 1000 bytes"):
        budget.take(401)


def test_zero_allows_anything() -> None:
    budget = Budget()
    budget.take(1 << 50)
    assert budget.used == 1 << 50


def log_query(text: str, limit: int, budget: Budget) -> int:
    expr = parse(text)
    assert isinstance(expr, LogExpr)
    source = MemorySource(ENTRIES, 100)
    return len(run_log_query(source, "t", expr, 0, 5000, limit, Direction.FORWARD, budget=budget).entries)


@pytest.mark.parametrize("query", ['{app="a"}', '{app="a"} | logfmt'])
def test_a_log_query_holds_what_it_answers_and_no_more(query: str) -> None:
    few, many = Budget(), Budget()
    assert log_query(query, 10, few) == 10
    assert log_query(query, 2000, many) == 2000
    assert 0 < few.used < 40_000
    assert many.used > 2000 * 100
    with pytest.raises(LimitError, match="needs more memory"):
        log_query(query, 2000, Budget(many.used // 2))


def test_entries_on_their_way_through_stages_count() -> None:
    with pytest.raises(LimitError, match="needs more memory"):
        log_query('{app="a"} | line_format "{{ __line__ }}{{ __line__ }}{{ __line__ }}"', 2000, Budget(60_000))


def test_a_metric_query_holds_samples_and_points() -> None:
    expr = parse('count_over_time({app="a"} | label_format n="x" [1s])')
    assert not isinstance(expr, LogExpr)
    budget = Budget()

    def run(budget: Budget) -> None:
        run_range(MemorySource(ENTRIES, 100), "t", expr, 0, 2 * 10**9, 10**9, limits=MetricLimits(), budget=budget)

    run(budget)
    assert budget.used > len(ENTRIES) * 32
    with pytest.raises(LimitError, match="needs more memory"):
        run(Budget(budget.used - 1))
