"""Binary operations worked out step by step in plain Python: the oracle of logql.binop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from logql.arithmetic import ARITHMETIC, COMPARISONS
from logql.ast import BinaryOperation, Matching
from logql.errors import EvaluationError
from logql.vectors import Sample, kept_by, kept_without
from storage.batch import Labels

SET_OPERATORS = ("and", "or", "unless")
"""Operators that take samples as they are."""

Signature = Callable[[Labels], Labels]
"""Labels of a sample -> those that both sides must have alike."""

Change = Callable[[Sequence[Sample]], list[Sample]]
"""Makes a vector of one."""

Combine = Callable[[Sequence[Sample], Sequence[Sample]], list[Sample]]
"""Makes a vector of two."""


def vector_operation(node: BinaryOperation) -> Combine:
    """The function that combines the two vectors of one step.

    It raises EvaluationError where matching is ambiguous.
    """
    signature = _signature(node.matching)
    if node.op in SET_OPERATORS:
        return _set_operation(node.op, signature)
    return _matched(node, signature)


def scalar_operation(
    node: BinaryOperation, number: float, *, number_left: bool
) -> Callable[[Sequence[Sample]], list[Sample]]:
    """The function that combines a vector with a literal, which meets every sample."""
    merge = _merger(node.op, node.matching.return_bool)

    def step(vector: Sequence[Sample]) -> list[Sample]:
        result = []
        for labels, value in vector:
            left, right = (number, value) if number_left else (value, number)
            # a comparison that filters gives the vector's value, whichever side it is on
            merged = merge(left, right, value)
            if merged is not None:
                result.append(Sample(labels, merged))
        return result

    return step


def _merger(op: str, return_bool: bool) -> Callable[[float, float, float], float | None]:
    """(left, right, value if a comparison lets it through) -> the result, None if it does not."""
    if op in ARITHMETIC:
        compute = ARITHMETIC[op]
        return lambda left, right, _: compute(left, right)
    holds = COMPARISONS[op]
    if return_bool:
        return lambda left, right, _: float(holds(left, right))
    return lambda left, right, value: value if holds(left, right) else None


def _signature(matching: Matching) -> Signature:
    names = frozenset(matching.labels)
    keep = kept_by if matching.on else kept_without
    return cache(lambda labels: keep(labels, names))


def _set_operation(op: str, signature: Signature) -> Combine:
    def step(left: Sequence[Sample], right: Sequence[Sample]) -> list[Sample]:
        if op == "or":
            there = {signature(sample.labels) for sample in left}
            return [*left, *(sample for sample in right if signature(sample.labels) not in there)]
        there = {signature(sample.labels) for sample in right}
        return [sample for sample in left if (signature(sample.labels) in there) == (op == "and")]

    return step


def _matched(node: BinaryOperation, signature: Signature) -> Combine:
    """Pairs the samples of the "many" side with one sample of the "one" side, the right one but for group_right."""
    matching = node.matching
    merge = _merger(node.op, matching.return_bool)
    swap = matching.group == "right"

    def step(left: Sequence[Sample], right: Sequence[Sample]) -> list[Sample]:
        many, one = (right, left) if swap else (left, right)
        ones = _by_signature(one, signature, "left" if swap else "right")
        taken: dict[Labels, set[Labels]] = {}
        result = []
        for sample in many:
            key = signature(sample.labels)
            other = ones.get(key)
            if other is None:
                continue
            labels = _result_labels(sample.labels, other.labels, matching)
            _check_unique(taken, key, labels, matching)
            a, b = (other.value, sample.value) if swap else (sample.value, other.value)
            merged = merge(a, b, a)
            if merged is not None:
                result.append(Sample(labels, merged))
        return result

    return step


def _by_signature(vector: Sequence[Sample], signature: Signature, side: str) -> dict[Labels, Sample]:
    found: dict[Labels, Sample] = {}
    for sample in vector:
        if found.setdefault(signature(sample.labels), sample) is not sample:
            raise EvaluationError(
                f"found duplicate series on the {side} hand-side;"
                "many-to-many matching not allowed: matching labels must be unique on one side"
            )
    return found


def _check_unique(taken: dict[Labels, set[Labels]], key: Labels, labels: Labels, matching: Matching) -> None:
    if matching.group is None:
        if key in taken:
            raise EvaluationError(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            )
        taken[key] = set()
        return
    results = taken.setdefault(key, set())
    if labels in results:
        raise EvaluationError("multiple matches for labels: grouping labels must ensure unique matches")
    results.add(labels)


def _result_labels(many: Labels, one: Labels, matching: Matching) -> Labels:
    if matching.group is None:
        names = frozenset(matching.labels)
        return tuple(pair for pair in many if (pair[0] in names) == matching.on)
    if not matching.include:
        return many
    labels = {name: value for name, value in many if name not in matching.include}
    labels.update((name, value) for name, value in one if name in matching.include and value)
    return tuple(sorted(labels.items()))
