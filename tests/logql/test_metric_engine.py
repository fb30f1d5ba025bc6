from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql import LimitError, parse
from logql.ast import LogExpr, MetricExpr
from logql.errors import EvaluationError, PipelineError
from logql.limits import MetricLimits, check_range
from logql.metric_engine import aligned, run_instant, run_range
from logql.metric_result import Matrix, Scalar, Vector
from logql.points import MS
from logql.source import Source
from storage.batch import Labels
from tests.logql.memory_source import MemorySource, Stored

S = 1_000_000_000
A: Labels = (("app", "a"), ("env", "x"))
B: Labels = (("app", "b"), ("env", "x"))
LIMITS = MetricLimits()

ENTRIES = [Stored(A, ts * S, f"v={ts}".encode()) for ts in (1, 2, 3)] + [Stored(B, 2 * S, b"v=20")]


def metric(query: str) -> MetricExpr:
    expr = parse(query)
    assert not isinstance(expr, LogExpr)
    return expr


def over(
    query: str, start: float, end: float, step: float = 1, source: Source | None = None, limits: MetricLimits = LIMITS
) -> Matrix:
    """Times in seconds."""
    source = source or MemorySource(ENTRIES)
    return run_range(source, "t", metric(query), int(start * S), int(end * S), int(step * S), limits=limits)


def at(query: str, time: float, source: Source | None = None, limits: MetricLimits = LIMITS) -> Vector | Scalar:
    return run_instant(source or MemorySource(ENTRIES), "t", metric(query), int(time * S), limits=limits)


def points(result: Matrix) -> dict[Labels, dict[float, float]]:
    """Series -> seconds -> value."""
    return {
        one.labels: {ts / 1000: value for ts, value in zip(one.ts, one.values, strict=True)} for one in result.series
    }


def vector(query: str, time: float) -> list[tuple[Labels, float]]:
    result = at(query, time)
    assert isinstance(result, Vector)
    assert result.ts == int(time * 1000)
    return [(labels, value) for labels, value in result.samples]


def test_a_point_stands_where_the_window_has_samples() -> None:
    assert points(over('count_over_time({env="x"}[2s])', 0, 6)) == {
        A: {1: 1, 2: 2, 3: 2, 4: 1},
        B: {2: 1, 3: 1},
    }


def test_start_goes_down_and_end_up_to_the_step() -> None:
    assert aligned(7 * S, 57 * S, 10 * S) == (0, 60 * S)
    assert aligned(10 * S, 20 * S, 10 * S) == (10 * S, 20 * S)
    (series,) = over("vector(1)", 8.5, 11.5, 2.5).series
    assert series.ts == (7500, 10_000, 12_500)


def test_parts_of_a_millisecond_are_dropped_from_the_step() -> None:
    (series,) = run_range(MemorySource([]), "t", metric("1"), 0, 3 * MS, MS + 5, limits=LIMITS).series
    assert series.ts == (0, 1, 2, 3)
    (series,) = run_range(MemorySource([]), "t", metric("1"), 0, 2 * MS, 5, limits=LIMITS).series
    assert series.ts == (0, 1, 2)


def test_an_offset_reads_other_lines_for_the_same_times() -> None:
    assert points(over('count_over_time({app="b"}[1s] offset 3s)', 0, 9)) == {B: {5: 1}}
    assert points(over('count_over_time({app="b"}[1s] offset -2s)', 0, 9)) == {B: {0: 1}}


def test_an_instant_query_gives_a_vector_or_a_number() -> None:
    assert vector('count_over_time({env="x"}[2s])', 3) == [(A, 2), (B, 1)]
    scalar = at("1 + 2", 3.1239)
    assert isinstance(scalar, Scalar)
    assert (scalar.ts, scalar.value) == (3123, 3)
    assert vector("vector(1) + 2", 3) == [((), 3)]


def test_numbers_and_vectors_have_a_point_at_every_step() -> None:
    assert points(over("1 + 2", 0, 2)) == points(over("vector(3)", 0, 2)) == {(): {0: 3, 1: 3, 2: 3}}
    assert points(over('count_over_time({app="nope"}[1s]) or vector(0)', 0, 1)) == {(): {0: 0, 1: 0}}


def test_a_vector_is_sorted_by_labels_unless_the_query_sorts() -> None:
    assert vector('topk(5, sum by (app) (sum_over_time({env="x"} | logfmt | unwrap v [9s])))', 9) == [
        ((("app", "a"),), 6),
        ((("app", "b"),), 20),
    ]
    assert vector('sort_desc(sum by (app) (sum_over_time({env="x"} | logfmt | unwrap v [9s]))) / 1', 9) == [
        ((("app", "b"),), 20),
        ((("app", "a"),), 6),
    ]


def test_a_matrix_is_always_sorted_by_labels() -> None:
    result = over('sort_desc(sum by (app) (count_over_time({env="x"}[9s])))', 9, 9)
    assert [one.labels for one in result.series] == [(("app", "a"),), (("app", "b"),)]
    assert result.stats.entries_returned == 2


def test_absence_is_told_with_the_labels_that_the_selector_names() -> None:
    assert points(over('absent_over_time({app="b", env="x"}[1s])', 1, 3)) == {B: {1: 1, 3: 1}}
    assert vector('absent_over_time({app="c", env=~".+", x="1", x!="2", y=""}[1s])', 1) == [((("app", "c"),), 1)]
    assert vector('sum(absent_over_time({app="c"}[1s])) by (app)', 1) == [((("app", "c"),), 1)]


def test_operations_nest() -> None:
    query = 'label_replace(sum by (app) (rate({env="x"}[2s])) * 2 > 1, "z", "$1", "app", "(.*)")'
    assert vector(query, 3) == [((("app", "a"), ("z", "a")), 2)]
    assert vector('1 - sum(count_over_time({env="x"}[9s])) / 8', 9) == [((), 0.5)]
    assert vector('count(count_over_time({env="x"}[9s])) + on () vector(1)', 9) == [((), 3)]


def test_a_failed_line_fails_the_query_only_within_a_window() -> None:
    source = MemorySource([Stored(A, 5 * S, b"v=abc"), Stored(A, 9 * S, b"v=1")])
    query = 'sum_over_time({app="a"} | logfmt | unwrap v [1s])'
    assert points(over(query, 3, 9, 3, source)) == {A: {9: 1}}
    with pytest.raises(PipelineError, match=r"^pipeline error: 'SampleExtractionErr' for series: '\{__error__="):
        over(query, 0, 9, 1, source)


def test_series_that_label_replace_makes_equal_share_their_points() -> None:
    query = 'label_replace(count_over_time({env="x"}[9s]), "app", "s", "app", ".*")'
    result = over(query, 9, 9)
    assert [(one.labels, one.ts, one.values) for one in result.series] == [
        ((("app", "s"), ("env", "x")), (9000, 9000), (3, 1))
    ]
    assert [value for _, value in vector(query, 9)] == [3, 1]


TOO_MANY = (
    "maximum number of series (1) reached for a single query; consider reducing query cardinality by adding more "
    "specific stream selectors, reducing the time range, or aggregating results with functions like sum(), count() or "
    "topk()"
)


def test_series_are_limited_after_the_outermost_aggregation() -> None:
    one = MetricLimits(max_series=1)
    for ask in (
        lambda: over('count_over_time({env="x"}[2s])', 0, 6, limits=one),
        lambda: at('count_over_time({env="x"}[2s])', 3, limits=one),
    ):
        with pytest.raises(LimitError) as caught:
            ask()
        assert str(caught.value) == TOO_MANY
    assert len(over('sum(count_over_time({env="x"}[2s]))', 0, 6, limits=one).series) == 1


def test_range_vectors_are_limited() -> None:
    check_range(9 * 3600 * S, 0)
    with pytest.raises(LimitError) as caught:
        at('sum(rate({env="x"}[2h]))', 3, limits=MetricLimits(max_range=3600 * S))
    assert str(caught.value) == "[interval] value exceeds limit: [2h] > [1h]"


def test_the_check_can_stop_a_query_at_every_unit_and_step() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 6:
            raise TimeoutError

    source = MemorySource(ENTRIES, unit_size=1)
    expr = metric('count_over_time({env="x"} |= "" | logfmt [1h])')
    with pytest.raises(TimeoutError):
        run_range(source, "t", expr, 0, 100 * S, S, limits=LIMITS, check=check)
    assert sum(unit.reads for unit in source.units) == 4


def test_ambiguous_matching_and_approx_topk_are_errors_of_evaluation() -> None:
    with pytest.raises(EvaluationError, match=r"^found duplicate series on the right hand-side"):
        at('sum(rate({env="x"}[9s])) + on () rate({env="x"}[9s])', 9)
    with pytest.raises(EvaluationError, match=r"^approx_topk is not enabled"):
        at('approx_topk(2, rate({env="x"}[9s]))', 9)


@given(
    entries=st.lists(
        st.builds(
            Stored, st.sampled_from([A, B]), st.integers(0, 12), st.sampled_from([b"v=1", b"v=5 k=1", b"v=-2.5", b""])
        ),
        max_size=40,
    ),
    unit_size=st.integers(1, 41),
    op=st.sampled_from(["sum", "avg", "min", "max", "first", "last", "stddev"]),
    step=st.integers(1, 4),
    width=st.integers(1, 5),
)
def test_the_answer_does_not_depend_on_units(
    entries: list[Stored], unit_size: int, op: str, step: int, width: int
) -> None:
    # ns of entries are ms of steps
    entries = [Stored(entry.stream, entry.ts * MS, entry.line, entry.metadata) for entry in entries]
    query = f'{op}_over_time({{env="x"}} | logfmt | unwrap v [{width}ms])'
    whole, parts = (
        run_range(MemorySource(entries, size), "t", metric(query), 0, 15 * MS, step * MS, limits=LIMITS)
        for size in (1000, unit_size)
    )
    assert whole.series == parts.series
