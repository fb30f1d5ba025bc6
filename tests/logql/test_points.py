from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql import Budget, LimitError
from logql.budget import POINT
from logql.limits import MetricLimits
from logql.metric_result import Series
from logql.points import MS, Points
from logql.vectors import Sample
from storage.batch import Labels
from tests.logql.vector_lists import ListedVectors

PARTIAL = MetricLimits(max_series=2, partial=True)
NAMES: list[Labels] = [(("n", name),) for name in "dacb"]
vectors = st.lists(
    st.lists(st.builds(Sample, st.sampled_from(NAMES), st.integers(0, 9).map(float)), max_size=6), max_size=6
)


def one_by_one(
    steps: list[list[Sample]], limits: MetricLimits, start: int, step: int
) -> dict[Labels, list[tuple[int, float]]]:
    """The series of an answer that is made sample by sample; those that come first are kept."""
    points: dict[Labels, list[tuple[int, float]]] = {}
    for number, vector in enumerate(steps):
        for labels, value in vector:
            if labels in points or len(points) < limits.max_series:
                points.setdefault(labels, []).append(((start + number * step) // MS, value))
    return points


@given(vectors, st.integers(0, 6), st.integers(1, 5), st.integers(-9, 9).map(lambda ms: ms * MS))
def test_the_series_that_come_first_are_kept(steps: list[list[Sample]], cut: int, most: int, start: int) -> None:
    limits = MetricLimits(max_series=most, partial=True)
    source, points = ListedVectors(steps), Points(limits, Budget())
    for first, stop in ((0, min(cut, len(steps))), (min(cut, len(steps)), len(steps))):
        points.add(source.vectors(first, stop), first)
    found = points.series(source.labels, start, 7 * MS)
    assert list(found) == [
        Series(labels, tuple(ts for ts, _ in wanted), tuple(value for _, value in wanted))
        for labels, wanted in sorted(one_by_one(steps, limits, start, 7 * MS).items())
    ]
    every = {sample.labels for vector in steps for sample in vector}
    assert bool(points.warnings) == (len(every) > most)


def test_one_series_too_many_is_refused_and_points_are_counted() -> None:
    steps = [[Sample(NAMES[0], 1.0), Sample(NAMES[1], 1.0)], [Sample(NAMES[2], 1.0)]]
    source, budget = ListedVectors(steps), Budget()
    points = Points(MetricLimits(max_series=2), budget)
    points.add(source.vectors(0, 1), 0)
    assert budget.used == 2 * POINT
    with pytest.raises(LimitError, match=r"^maximum number of series \(2\) reached for a single query; consider"):
        points.add(source.vectors(1, 2), 1)
    kept = Points(PARTIAL, budget)
    kept.add(source.vectors(0, 2), 0)
    assert kept.warnings == ("maximum number of series (2) reached for a single query; returning partial results",)
    assert budget.used == 4 * POINT
