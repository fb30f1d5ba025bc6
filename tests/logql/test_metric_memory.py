"""A metric query over many lines stays within its budget, or says that it does not."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from logql import Budget, LimitError, MetricLimits, parse, run_range
from logql.ast import LogExpr, RangeAggregation
from logql.budget import SAMPLE
from logql.counts import Steps
from logql.points import Points
from logql.ranges import RangeVector
from logql.sample_columns import SampleCollector
from tests.logql.memory_source import MemorySource, Stored
from tests.logql.watched_budget import WatchedBudget

S = 1_000_000_000
QUERY = 'quantile_over_time(0.99, {app="a"} | json | unwrap x [1m]) by (y)'
CONSTANT = 6_000_000
"""Bytes that any query may take besides: vectors are made some at a time."""


def test_samples_that_do_not_fit_end_the_query() -> None:
    lines = 2000
    entries = [Stored((("app", "a"),), n * S // 50, b'{"x": %d.5, "y": "%d"}' % (n % 997, n % 5)) for n in range(lines)]
    expr, budget = parse(QUERY), Budget(lines * SAMPLE * 3 // 4)
    assert not isinstance(expr, LogExpr)
    text = r"^the query needs more memory than a query may use \(used: \d+ bytes, allowed: 48000 bytes\); consider"
    with pytest.raises(LimitError, match=text):
        run_range(MemorySource(entries, 100), "t", expr, 0, 40 * S, 15 * S, limits=MetricLimits(), budget=budget)


@pytest.mark.parametrize(
    "text",
    [
        'count_over_time({app="a"} | json [1m])',
        'sum by (id) (count_over_time({app="a"} | json [1m]))',
        'sum by (id) (rate({app="a"} | json | id != "" [1m]))',
        'max_over_time({app="a"} | json | unwrap x [1m]) by (id)',
    ],
)
def test_a_query_of_too_many_series_ends_as_soon_as_they_are_seen(text: str) -> None:
    entries = [Stored((("app", "a"),), n * S // 50, b'{"x": 1, "id": "%d"}' % n) for n in range(5_000)]
    source, expr = MemorySource(entries, 500), parse(text)
    assert not isinstance(expr, LogExpr)
    refusal = r"^maximum number of series \(500\) reached for a single query; consider"
    with pytest.raises(LimitError, match=refusal):
        run_range(source, "t", expr, 0, 100 * S, 15 * S, limits=MetricLimits())
    assert sum(unit.looks > 0 for unit in source.units) <= 5
    # Few windows: most of the series would show at no step, so that all lines have to be looked at.
    found = run_range(source, "t", expr, 60 * S, 120 * S, 60 * S, limits=MetricLimits(partial=True))
    assert len(found.series) == 500
    assert found.warnings


def test_series_that_no_step_shows_do_not_count() -> None:
    entries = [Stored((("app", "a"),), n * S, b'{"id": "%d"}' % n) for n in range(2_000)]
    expr = parse('sum by (id) (count_over_time({app="a"} | json [1s]))')
    assert not isinstance(expr, LogExpr)
    found = run_range(MemorySource(entries), "t", expr, 0, 1900 * S, 100 * S, limits=MetricLimits(max_series=50))
    assert len(found.series) == 20


def quantiles(budget: Budget, units: int, unit: int) -> int:
    """Quantiles of units of samples, every second one of which comes late; how many points there are."""
    node = parse(QUERY)
    assert isinstance(node, RangeAggregation)
    collector = SampleCollector(budget)
    rng = np.random.default_rng(7)
    for number in range(units):
        ts = (np.arange(unit) + (number ^ 1) * unit) * 1_000_000
        series = rng.integers(0, 5, unit).astype(np.int32)
        collector.add(series, ts, np.zeros(unit, np.uint64), number, rng.random(unit))
    samples = collector.in_order([(("y", f"{number}"),) for number in range(5)])
    steps = Steps(0, 15 * S, units * unit // 15_000, 60 * S)
    vector = RangeVector(samples, node, steps, lambda: None)
    points = Points(MetricLimits(), budget)
    points.add(vector.vectors(0, steps.count), 0)
    return sum(len(one.ts) for one in points.series(vector.labels, 0, steps.step))


def test_quantiles_of_many_samples_take_no_more_memory_than_they_count() -> None:
    units, unit = 50, 20_000
    assert quantiles(Budget(), 2, unit)  # what is imported and compiled at first is not the query's
    budget = WatchedBudget()
    tracemalloc.start()
    try:
        assert quantiles(budget, units, unit) > 300
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert units * unit * 16 < peak < budget.most + CONSTANT
    with pytest.raises(LimitError, match="needs more memory"):
        quantiles(Budget(budget.most - 1), units, unit)
