"""Binary operations between vectors, and between vectors and a number, as in Loki."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from logql.arithmetic import COMPARISONS, power
from logql.ast import BinaryOperation, Matching
from logql.errors import EvaluationError, LogQLError
from logql.kernels.vectors import find_partners, first_repeat
from logql.vectors import F64, LabelTable, Renumbering, Vectors, VectorSource, kept_by, kept_without
from storage.batch import I64, Labels, Mask

SET_OPERATORS = ("and", "or", "unless")
"""Operators that take samples as they are."""

_HALF = 32
"""Bits of a series' number where two share an int64."""

Merge: TypeAlias = Callable[[F64, F64, F64], tuple[F64, Mask | None]]
"""(left, right, values if a comparison lets them through) -> (results, which there are; None: all)."""


def vector_operation(node: BinaryOperation, left: VectorSource, right: VectorSource) -> VectorSource:
    """The vectors of an operation on those of two sides.

    A step where matching is ambiguous comes to an EvaluationError.
    """
    if node.op in SET_OPERATORS:
        return _SetOperation(node, left, right)
    return _Matched(node, left, right)


def scalar_operation(node: BinaryOperation, number: float, operand: VectorSource, *, number_left: bool) -> VectorSource:
    """The vectors of an operation on others and a literal, which meets every sample."""
    return _WithNumber(node, number, operand, number_left=number_left)


class _WithNumber:
    def __init__(self, node: BinaryOperation, number: float, operand: VectorSource, *, number_left: bool) -> None:
        self._merge = _merger(node.op, node.matching.return_bool)
        self._number = number
        self._operand = operand
        self._number_left = number_left

    @property
    def labels(self) -> Sequence[Labels]:
        return self._operand.labels

    def vectors(self, first: int, stop: int) -> Vectors:
        given = self._operand.vectors(first, stop)
        number = np.full(len(given.values), self._number)
        left, right = (number, given.values) if self._number_left else (given.values, number)
        # A comparison that filters gives the vector's value, whichever side it is on.
        values, kept = self._merge(left, right, given.values)
        if kept is None:
            return Vectors(given.bounds, given.series, values, given.failure)
        return given.where(kept, given.series, values)


def _merger(op: str, return_bool: bool) -> Merge:
    if op in _ARITHMETIC:
        compute = _ARITHMETIC[op]
        return lambda left, right, _: (compute(left, right), None)
    holds = _COMPARISONS[op]
    if return_bool:
        return lambda left, right, _: (holds(left, right).astype(np.float64), None)
    return lambda left, right, values: (values, holds(left, right))


def _quietly(compute: Callable[[F64, F64], F64]) -> Callable[[F64, F64], F64]:
    """Without warnings of what floats have values for: NaN, infinity, a divisor of 0."""

    def computed(left: F64, right: F64) -> F64:
        with np.errstate(all="ignore"):
            return compute(left, right)

    return computed


def _modulo(left: F64, right: F64) -> F64:
    return np.where((right == 0) | np.isinf(left), np.nan, np.fmod(left, right))


def _power(left: F64, right: F64) -> F64:
    # numpy's own differs from C's in the last digits.
    return np.array(list(map(power, left.tolist(), right.tolist())), np.float64)


_ARITHMETIC: dict[str, Callable[[F64, F64], F64]] = {
    "+": _quietly(np.add),
    "-": _quietly(np.subtract),
    "*": _quietly(np.multiply),
    "/": _quietly(lambda left, right: np.where(right == 0, np.nan, left / right)),
    "%": _quietly(_modulo),
    "^": _power,
}
"""The operators of `logql.arithmetic` that make a new value, on columns."""

_COMPARISONS: dict[str, Callable[[F64, F64], Mask]] = COMPARISONS  # type: ignore[assignment]
"""Those that filter; `operator` has them for columns too."""


class _Sides:
    """Two sides whose samples are told apart by what matching looks at.

    Attributes:
        keys: what matching looks at, of both.
    """

    def __init__(self, matching: Matching, left: VectorSource, right: VectorSource) -> None:
        names = frozenset(matching.labels)
        keep = kept_by if matching.on else kept_without
        self.keys = LabelTable()
        self._sources = left, right
        self._key_of = [Renumbering(side, lambda labels: keep(labels, names), self.keys) for side in (left, right)]

    def vectors(self, first: int, stop: int) -> tuple[Vectors, Vectors, LogQLError | None]:
        """Both sides' vectors of the steps at which neither fails, and what the step after them comes to."""
        left, right = (side.vectors(first, stop) for side in self._sources)
        # At one step the left side is asked first.
        failure = left.failure if left.steps <= right.steps and left.failure else right.failure
        steps = min(left.steps, right.steps)
        return left.first(steps, failure), right.first(steps, failure), failure

    def codes(self, left: Vectors, right: Vectors) -> tuple[I64, I64]:
        """The key of each sample of both."""
        return self._key_of[0](left.series), self._key_of[1](right.series)

    def slots(self) -> I64:
        """Room for something of each key; to be called after `codes`."""
        return np.full(len(self.keys.labels), -1, np.int64)


class _SetOperation:
    def __init__(self, node: BinaryOperation, left: VectorSource, right: VectorSource) -> None:
        self._op = node.op
        self._sides = _Sides(node.matching, left, right)
        self._left, self._right = left, right
        self._table = LabelTable()
        self._number_of = [Renumbering(side, lambda labels: labels, self._table) for side in (left, right)]

    @property
    def labels(self) -> Sequence[Labels]:
        return self._table.labels if self._op == "or" else self._left.labels

    def vectors(self, first: int, stop: int) -> Vectors:
        left, right, _ = self._sides.vectors(first, stop)
        left_codes, right_codes = self._sides.codes(left, right)
        if self._op != "or":
            found = self._partners(left, left_codes, right, right_codes) >= 0
            return left.where(found == (self._op == "and"), left.series, left.values)
        more = right.where(
            self._partners(right, right_codes, left, left_codes) < 0, self._number_of[1](right.series), right.values
        )
        series = np.concatenate([self._number_of[0](left.series), more.series])
        values = np.concatenate([left.values, more.values])
        order = np.argsort(np.concatenate([left.step_of(), more.step_of()]), kind="stable")
        return Vectors(left.bounds + more.bounds, series[order], values[order], left.failure)

    def _partners(self, left: Vectors, codes: I64, right: Vectors, others: I64) -> I64:
        return _partners(left, codes, right, others, self._sides.slots())


def _partners(left: Vectors, codes: I64, right: Vectors, others: I64, slots: I64) -> I64:
    """int64[n], the place in `right` of the sample with the key of each in `left`, -1 if there is none."""
    partners = np.empty(len(codes), np.int64)
    find_partners(left.bounds, codes, right.bounds, others, slots, partners)
    return partners


class _Matched:
    """Pairs the samples of the "many" side with one sample of the "one" side, the right one but for group_right."""

    def __init__(self, node: BinaryOperation, left: VectorSource, right: VectorSource) -> None:
        self._matching = node.matching
        self._merge = _merger(node.op, node.matching.return_bool)
        self._swap = node.matching.group == "right"
        self._many, self._one = (right, left) if self._swap else (left, right)
        self._sides = _Sides(node.matching, left, right)
        self._results = LabelTable()
        self._result = Renumbering(self._many, lambda labels: _result_labels(labels, node.matching), self._results)
        self._pairs: dict[int, tuple[int, int]] = {}
        self._checks: dict[tuple[int, int], int] = {}

    @property
    def labels(self) -> Sequence[Labels]:
        return self._results.labels

    def vectors(self, first: int, stop: int) -> Vectors:
        left, right, failure = self._sides.vectors(first, stop)
        left_codes, right_codes = self._sides.codes(left, right)
        many, one, codes, others = left, right, left_codes, right_codes
        if self._swap:
            many, one, codes, others = right, left, right_codes, left_codes
        step = first_repeat(one.bounds, others, self._sides.slots())
        if step < one.steps:
            failure = _not_unique("left" if self._swap else "right")
            many, one = many.first(step, failure), one.first(step, failure)
            codes, others = codes[: len(many.series)], others[: len(one.series)]
        partners = _partners(many, codes, one, others, self._sides.slots())
        met = partners >= 0
        partners = partners[met]
        other = one.values[partners]
        found = many.where(met, many.series, many.values)
        series, checks = self._paired(found.series, one.series[partners], codes[met])
        a, b = (other, found.values) if self._swap else (found.values, other)
        step = first_repeat(found.bounds, checks, np.full(int(checks.max(initial=-1)) + 1, -1, np.int64))
        values, kept = self._merge(a, b, a)
        result = Vectors(found.bounds, series, values, failure)
        if kept is not None:
            result = found.where(kept, series, values)
        return result if step == found.steps else result.first(step, _ambiguous(self._matching))

    def _paired(self, many: I64, one: I64, keys: I64) -> tuple[I64, I64]:
        """For each pair the number of its result, and a number that two results of one step must not share."""
        if self._matching.group is None or not self._matching.include:
            numbers = self._result(many)
            return numbers, keys if self._matching.group is None else numbers
        pairs, first, back = np.unique(many << _HALF | one, return_index=True, return_inverse=True)
        made = []
        for pair, key in zip(pairs.tolist(), keys[first].tolist(), strict=True):
            if pair not in self._pairs:
                whole, other = self._many.labels[pair >> _HALF], self._one.labels[pair & (1 << _HALF) - 1]
                number = self._results.number(_with_included(whole, other, self._matching.include))
                self._pairs[pair] = number, self._checks.setdefault((key, number), len(self._checks))
            made.append(self._pairs[pair])
        numbers, checks = np.array(made, np.int64).reshape(-1, 2)[back].T
        return numbers, np.ascontiguousarray(checks)


def _not_unique(side: str) -> EvaluationError:
    return EvaluationError(
        f"found duplicate series on the {side} hand-side;"
        "many-to-many matching not allowed: matching labels must be unique on one side"
    )


def _ambiguous(matching: Matching) -> EvaluationError:
    if matching.group is None:
        return EvaluationError(
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        )
    return EvaluationError("multiple matches for labels: grouping labels must ensure unique matches")


def _result_labels(many: Labels, matching: Matching) -> Labels:
    if matching.group is not None:
        return many
    names = frozenset(matching.labels)
    return tuple(pair for pair in many if (pair[0] in names) == matching.on)


def _with_included(many: Labels, one: Labels, include: Sequence[str]) -> Labels:
    """The labels of a sample of the "many" side, with those that it takes from the other."""
    labels = {name: value for name, value in many if name not in include}
    labels.update((name, value) for name, value in one if name in include and value)
    return tuple(sorted(labels.items()))
