from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.aggregate import aggregated
from logql.ast import Grouping, Literal, VectorAggregation
from logql.errors import EvaluationError
from logql.vectors import Sample
from storage.batch import Labels
from tests.logql.plain_vectors import aggregation as plain
from tests.logql.vector_lists import ListedVectors, exactly, listed, lists_of

NAN, INF = math.nan, math.inf


def labels(**pairs: str) -> Labels:
    return tuple(sorted(pairs.items()))


VECTOR = [
    Sample(labels(app="a", pod="1"), 1.0),
    Sample(labels(app="a", pod="2"), 5.0),
    Sample(labels(app="b", pod="1"), 3.0),
    Sample(labels(pod="1"), 9.0),
]


def aggregate(op: str, vector: list[Sample], parameter: int | None = None, **grouping: object) -> list[Sample]:
    names = grouping.get("by", grouping.get("without"))
    group = Grouping(tuple(names), "without" in grouping) if isinstance(names, list) else None
    node = VectorAggregation(op, Literal(0.0), parameter, group)
    (found,) = listed(aggregated(node, ListedVectors([vector])), 0, 1)
    return found


def values(op: str, *given: float) -> float:
    (sample,) = aggregate(op, [Sample(labels(n=str(n)), value) for n, value in enumerate(given)])
    return sample.value


@pytest.mark.parametrize(
    ("op", "wanted"),
    [("sum", 18.0), ("avg", 4.5), ("min", 1.0), ("max", 9.0), ("count", 4.0), ("stdvar", 8.75), ("stddev", 8.75**0.5)],
)
def test_without_grouping_there_is_one_group(op: str, wanted: float) -> None:
    (sample,) = aggregate(op, VECTOR)
    assert sample.labels == ()
    assert sample.value == pytest.approx(wanted)
    assert aggregate(op, VECTOR, by=[]) == aggregate(op, VECTOR)


def test_by_keeps_the_named_labels_and_a_missing_one_stays_missing() -> None:
    assert dict(aggregate("sum", VECTOR, by=["app", "nosuch"])) == {
        labels(app="a"): 6.0,
        labels(app="b"): 3.0,
        (): 9.0,
    }


def test_without_keeps_the_others() -> None:
    assert dict(aggregate("sum", VECTOR, without=["pod"])) == {labels(app="a"): 6.0, labels(app="b"): 3.0, (): 9.0}
    assert aggregate("sum", VECTOR, without=[]) == VECTOR
    assert aggregate("sum", [Sample(labels(__name__="n", a="1"), 1.0)], without=["b"]) == [Sample(labels(a="1"), 1.0)]


def test_an_empty_vector_has_no_groups() -> None:
    assert aggregate("sum", []) == aggregate("count", []) == aggregate("topk", [], 3) == []


def test_max_and_min_prefer_numbers_to_nan() -> None:
    assert (values("max", NAN, 1, 2), values("max", 2, NAN), values("min", NAN, 2, 1)) == (2, 2, 1)
    assert math.isnan(values("max", NAN, NAN))


def test_sums_are_added_in_order_without_compensation() -> None:
    assert values("sum", 1.0, 1e100, 1.0, -1e100) == 0.0
    assert math.isnan(values("avg", INF, INF))


def test_topk_keeps_samples_whole() -> None:
    assert aggregate("topk", VECTOR, 2) == [VECTOR[3], VECTOR[1]]
    assert aggregate("bottomk", VECTOR, 2) == [VECTOR[0], VECTOR[2]]
    assert aggregate("topk", VECTOR, 1, by=["app"]) == [VECTOR[1], VECTOR[2], VECTOR[3]]
    assert len(aggregate("topk", VECTOR, 10)) == 4


def test_topk_takes_the_first_of_equals_and_nan_last() -> None:
    vector = [Sample(labels(n=str(n)), value) for n, value in enumerate([NAN, 1.0, 2.0, 1.0])]
    assert [dict(sample.labels)["n"] for sample in aggregate("topk", vector, 2)] == ["2", "1"]
    assert [dict(sample.labels)["n"] for sample in aggregate("topk", vector, 4)] == ["2", "1", "3", "0"]
    assert [dict(sample.labels)["n"] for sample in aggregate("bottomk", vector, 4)] == ["1", "3", "2", "0"]


def test_sort_orders_by_value() -> None:
    assert [sample.value for sample in aggregate("sort", VECTOR)] == [1, 3, 5, 9]
    assert [sample.value for sample in aggregate("sort_desc", VECTOR)] == [9, 5, 3, 1]


def test_approx_topk_has_to_be_enabled() -> None:
    with pytest.raises(EvaluationError, match=r"^approx_topk is not enabled\. See -limits\.shard_aggregations$"):
        aggregate("approx_topk", VECTOR, 2)


POD_LABELS = [labels(app=app, pod=pod) for app in "abc" for pod in "123"] + [labels(), labels(__name__="n", app="a")]
numbers = st.one_of(
    st.integers(-3, 3).map(float), st.sampled_from([0.0, -0.0, NAN, INF, -INF, 0.1, 1e100, -1e100]), st.floats()
)
vectors = st.lists(st.lists(st.builds(Sample, st.sampled_from(POD_LABELS), numbers), max_size=9), max_size=6)


@given(
    vectors,
    st.sampled_from(["sum", "avg", "min", "max", "count", "stddev", "stdvar", "topk", "bottomk", "sort", "sort_desc"]),
    st.one_of(st.none(), st.builds(Grouping, st.lists(st.sampled_from(["app", "pod"])).map(tuple), st.booleans())),
    st.integers(1, 4),
)
def test_columns_become_what_lists_become(
    steps: list[list[Sample]], op: str, grouping: Grouping | None, k: int
) -> None:
    node = VectorAggregation(op, Literal(0.0), k if op in ("topk", "bottomk") else None, grouping)
    source = aggregated(node, ListedVectors(steps))
    cut = len(steps) // 2
    found = listed(source, 0, cut) + listed(source, cut, len(steps))
    assert exactly(found) == exactly([plain(node)(step) for step in steps])


def test_the_steps_before_a_failure_are_aggregated() -> None:
    failure = EvaluationError("no")
    source = aggregated(VectorAggregation("sum", Literal(0.0), None, None), ListedVectors([VECTOR], failure))
    found = source.vectors(0, 3)
    assert (lists_of(source, found), found.failure) == ([[Sample((), 18.0)]], failure)
