from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.arithmetic import apply
from logql.ast import BinaryOperation, Literal, Matching
from logql.binop import scalar_operation, vector_operation
from logql.errors import EvaluationError
from logql.vectors import Sample
from storage.batch import Labels
from tests.logql import plain_binop
from tests.logql.vector_lists import ListedVectors, exactly, listed, lists_of

NAN, INF = math.nan, math.inf


def vector(**values: float) -> list[Sample]:
    """`a1=5`: a sample of {app="a", pod="1"}; `a=5`: of {app="a"}."""
    return [Sample(labels_of(name), value) for name, value in values.items()]


def labels_of(name: str) -> Labels:
    return (("app", name[0]), ("pod", name[1])) if len(name) == 2 else (("app", name),)


def combine(op: str, left: list[Sample], right: list[Sample], matching: Matching | None = None) -> dict[Labels, float]:
    node = BinaryOperation(op, Literal(0.0), Literal(0.0), matching or Matching())
    (found,) = listed(vector_operation(node, ListedVectors([left]), ListedVectors([right])), 0, 1)
    return dict(found)


ON_APP = Matching(on=True, labels=("app",), written=True)
IGNORING_POD = Matching(labels=("pod",), written=True)


@pytest.mark.parametrize(
    ("op", "left", "right", "wanted"),
    [
        ("+", 1, 2, 3),
        ("-", 1, 2, -1),
        ("*", INF, 0, NAN),
        ("/", 7, 2, 3.5),
        ("/", 7, 0, NAN),
        ("/", 1e308, 1e-308, INF),
        ("%", -7, 2, -1),
        ("%", 7, 0, NAN),
        ("%", INF, 2, NAN),
        ("%", 5, INF, 5),
        ("^", 2, -1, 0.5),
        ("^", -8, 1 / 3, NAN),
        ("^", 10, 400, INF),
        ("^", -10, 401, -INF),
        ("^", 0.0, -1, INF),
        ("^", -0.0, -1, -INF),
        ("^", -0.0, -2, INF),
        ("^", 0, -0.5, INF),
        ("^", NAN, 0, 1),
        ("==", NAN, NAN, 0),
        ("!=", NAN, NAN, 1),
        (">=", 2, 2, 1),
        ("<", 2, 2, 0),
    ],
)
def test_numbers(op: str, left: float, right: float, wanted: float) -> None:
    assert apply(op, left, right) == pytest.approx(wanted, nan_ok=True)


def test_series_with_equal_labels_meet() -> None:
    assert combine("-", vector(a1=5, b1=2), vector(a1=1, c1=9)) == dict(vector(a1=4))
    assert combine("+", [], vector(a1=1)) == combine("+", vector(a1=1), []) == {}


def test_on_keeps_its_labels_and_ignoring_takes_its_away() -> None:
    assert combine("+", vector(a1=5, b1=2), vector(a=1, b=1), ON_APP) == dict(vector(a=6, b=3))
    assert combine("+", vector(a1=5, b1=2), vector(a=1, b=1), IGNORING_POD) == dict(vector(a=6, b=3))


def test_many_series_meet_one_of_the_other_side() -> None:
    left, right = vector(a1=5, a2=7), vector(a=2)
    assert combine("/", left, right, Matching(on=True, labels=("app",), group="left")) == dict(vector(a1=2.5, a2=3.5))
    assert combine("-", right, left, Matching(on=True, labels=("app",), group="right")) == dict(vector(a1=-3, a2=-5))


def test_group_left_takes_labels_from_the_one_side() -> None:
    one = [Sample((("app", "a"), ("cluster", "c")), 2.0)]
    matching = Matching(on=True, labels=("app",), group="left", include=("cluster", "pod"))
    assert combine("*", vector(a1=5), one, matching) == {(("app", "a"), ("cluster", "c")): 10.0}


def test_comparisons_filter_or_give_bools() -> None:
    left, right = vector(a1=5, b1=2), vector(a1=3, b1=3)
    assert combine(">", left, right) == dict(vector(a1=5))
    assert combine(">", left, right, Matching(return_bool=True)) == dict(vector(a1=1, b1=0))
    many = vector(a1=1, a2=9)
    assert combine(">", vector(a=3), many, Matching(on=True, labels=("app",), group="right")) == dict(vector(a1=3))


DUPLICATE = "found duplicate series on the {} hand-side;many-to-many matching not allowed: matching labels must be "


@pytest.mark.parametrize(
    ("matching", "text"),
    [
        (ON_APP, DUPLICATE.format("right") + "unique on one side"),
        (Matching(on=True, labels=("app",), group="left"), DUPLICATE.format("right") + "unique on one side"),
        (Matching(on=True, labels=("app",), group="right"), DUPLICATE.format("left") + "unique on one side"),
    ],
)
def test_the_one_side_must_be_one(matching: Matching, text: str) -> None:
    two = vector(a1=1, a2=2)
    with pytest.raises(EvaluationError) as caught:
        combine("+", two, two, matching)
    assert str(caught.value) == text


def test_many_to_one_must_be_said() -> None:
    with pytest.raises(EvaluationError) as caught:
        combine("+", vector(a1=1, a2=2), vector(a=1), ON_APP)
    assert str(caught.value) == (
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
    )
    with pytest.raises(EvaluationError) as caught:
        combine(
            "+", vector(a1=1, a2=2), vector(a=1), Matching(on=True, labels=("app",), group="left", include=("pod",))
        )
    assert str(caught.value) == "multiple matches for labels: grouping labels must ensure unique matches"


def test_set_operators() -> None:
    left, right = vector(a1=1, b1=2), vector(b1=5, c1=6)
    assert combine("and", left, right) == dict(vector(b1=2))
    assert combine("unless", left, right) == dict(vector(a1=1))
    assert combine("or", left, right) == dict(vector(a1=1, b1=2, c1=6))
    assert combine("or", left, vector(b=5, c=6), ON_APP) == dict(vector(a1=1, b1=2, c=6))
    assert combine("and", left, vector(b=5), IGNORING_POD) == dict(vector(b1=2))


def scalar(op: str, number: float, *, number_left: bool, return_bool: bool = False) -> dict[Labels, float]:
    node = BinaryOperation(op, Literal(0.0), Literal(0.0), Matching(return_bool=return_bool))
    operand = ListedVectors([vector(a1=5, b1=2)])
    (found,) = listed(scalar_operation(node, number, operand, number_left=number_left), 0, 1)
    return dict(found)


def test_a_number_meets_every_sample() -> None:
    assert scalar("-", 1, number_left=False) == dict(vector(a1=4, b1=1))
    assert scalar("-", 1, number_left=True) == dict(vector(a1=-4, b1=-1))


def test_a_comparison_with_a_number_gives_the_samples_value() -> None:
    assert scalar(">", 3, number_left=False) == dict(vector(a1=5))
    assert scalar(">", 3, number_left=True) == dict(vector(b1=2))
    assert scalar(">", 3, number_left=True, return_bool=True) == dict(vector(a1=0, b1=1))


def test_a_failing_step_ends_the_vectors_and_the_left_side_is_asked_first() -> None:
    node = BinaryOperation("+", Literal(0.0), Literal(0.0), Matching())
    one, two = EvaluationError("one"), EvaluationError("two")
    for steps, wanted in [((1, 1), one), ((2, 1), two), ((1, 2), one)]:
        left, right = (ListedVectors([vector(a1=5)] * size, why) for size, why in zip(steps, (one, two), strict=True))
        source = vector_operation(node, left, right)
        found = source.vectors(0, 3)
        assert lists_of(source, found) == [vector(a1=10)]
        assert found.failure is wanted


def test_an_ambiguous_step_ends_the_vectors() -> None:
    node = BinaryOperation("+", Literal(0.0), Literal(0.0), ON_APP)
    left = [vector(a1=1), vector(a1=1), vector(a1=1, a2=2), vector(a1=1)]
    right = [vector(a=1), vector(b=1), vector(a=1), vector(a=1, b1=1, b2=1)]
    source = vector_operation(node, ListedVectors(left), ListedVectors(right))
    found = source.vectors(0, 4)
    assert lists_of(source, found) == [vector(a=2), []]
    assert "many-to-one" in str(found.failure)


NAMES = ["a1", "a2", "b1", "b2", "a", "b", "c"]
numbers = st.one_of(st.integers(-3, 3).map(float), st.sampled_from([0.0, -0.0, NAN, INF, -INF, 0.5, 1e300]))
step_of_side = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), numbers, max_size=5).map(lambda values: vector(**values)),
    st.lists(st.builds(Sample, st.sampled_from(NAMES).map(labels_of), numbers), max_size=4),
)
OPERATORS = ["+", "-", "*", "/", "%", "^", "==", "!=", ">", ">=", "<", "<=", "and", "or", "unless"]
labels_named = st.lists(st.sampled_from(["app", "pod", "none"]), max_size=2, unique=True).map(tuple)


@given(
    st.lists(st.tuples(step_of_side, step_of_side), max_size=5),
    st.sampled_from(OPERATORS),
    st.builds(
        Matching,
        on=st.booleans(),
        labels=labels_named,
        group=st.sampled_from([None, "left", "right"]),
        include=labels_named,
        return_bool=st.booleans(),
    ),
)
def test_columns_become_what_lists_become(
    steps: list[tuple[list[Sample], list[Sample]]], op: str, matching: Matching
) -> None:
    node = BinaryOperation(op, Literal(0.0), Literal(0.0), matching)
    plain = plain_binop.vector_operation(node)
    wanted, text = [], None
    for one, other in steps:
        try:
            wanted.append(plain(one, other))
        except EvaluationError as error:
            text = str(error)
            break
    left, right = ListedVectors([one for one, _ in steps]), ListedVectors([other for _, other in steps])
    source = vector_operation(node, left, right)
    found = source.vectors(0, len(steps))
    assert exactly(lists_of(source, found)) == exactly(wanted)
    assert (str(found.failure) if found.failure else None) == text


@given(
    steps=st.lists(step_of_side, max_size=4),
    op=st.sampled_from(OPERATORS[:-3]),
    number=numbers,
    number_left=st.booleans(),
    return_bool=st.booleans(),
)
def test_columns_and_a_number_become_what_lists_become(
    steps: list[list[Sample]], op: str, number: float, *, number_left: bool, return_bool: bool
) -> None:
    node = BinaryOperation(op, Literal(0.0), Literal(0.0), Matching(return_bool=return_bool))
    plain = plain_binop.scalar_operation(node, number, number_left=number_left)
    source = scalar_operation(node, number, ListedVectors(steps), number_left=number_left)
    assert exactly(listed(source, 0, len(steps))) == exactly([plain(step) for step in steps])
