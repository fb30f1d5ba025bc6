"""Vector aggregations worked out step by step in plain Python: the oracle of logql.aggregate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from logql.ast import Grouping, VectorAggregation
from logql.vectors import Sample, kept_by, kept_without
from storage.batch import Labels

Step = Callable[[Sequence[Sample]], list[Sample]]
"""Makes a vector of a vector."""


def group_labels(grouping: Grouping | None) -> Callable[[Labels], Labels]:
    """Labels of a sample -> labels of the group it falls in; no grouping is one group. Remembers what it was asked."""
    names = frozenset(grouping.names) if grouping else frozenset()
    keep = kept_without if grouping and grouping.without else kept_by
    return cache(lambda labels: keep(labels, names))


def aggregation(node: VectorAggregation) -> Step:
    """The function that aggregates one step's vector."""
    match node.op:
        case "sort" | "sort_desc":
            return _sorter(descending=node.op == "sort_desc")
        case "topk" | "bottomk":
            return _chooser(group_labels(node.grouping), node.parameter or 0, largest=node.op == "topk")
    return _reducer(group_labels(node.grouping), _REDUCTIONS[node.op])


def _reducer(group_of: Callable[[Labels], Labels], reduce: Callable[[Sequence[float]], float]) -> Step:
    def step(vector: Sequence[Sample]) -> list[Sample]:
        groups: dict[Labels, list[float]] = {}
        for labels, value in vector:
            groups.setdefault(group_of(labels), []).append(value)
        return [Sample(labels, reduce(values)) for labels, values in groups.items()]

    return step


def _chooser(group_of: Callable[[Labels], Labels], k: int, *, largest: bool) -> Step:
    """The function of topk and bottomk, which keep samples whole.

    Of equal values those that stand first in the vector are taken, NaN only for want of others.
    """

    def step(vector: Sequence[Sample]) -> list[Sample]:
        groups: dict[Labels, list[Sample]] = {}
        for sample in vector:
            groups.setdefault(group_of(sample.labels), []).append(sample)
        return [sample for group in groups.values() for sample in by_value(group, descending=largest)[:k]]

    return step


def _sorter(*, descending: bool) -> Step:
    return lambda vector: by_value(vector, descending=descending)


def by_value(vector: Iterable[Sample], *, descending: bool) -> list[Sample]:
    """Samples by value, equal ones as they were, NaN last either way."""

    def key(sample: Sample) -> tuple[bool, float]:
        if math.isnan(sample.value):
            return True, 0.0
        return False, -sample.value if descending else sample.value

    return sorted(vector, key=key)


def _sum(values: Sequence[float]) -> float:
    total = values[0]  # added one by one: `sum` of Python compensates for rounding, Go does not
    for value in values[1:]:
        total += value
    return total


def _mean(values: Sequence[float]) -> float:
    mean = values[0]
    for count, value in enumerate(values[1:], 2):
        mean += (value - mean) / count
    return mean


def largest(values: Sequence[float]) -> float:
    """The largest; NaN only if there is nothing else."""
    found = values[0]
    for value in values:
        if value > found or math.isnan(found):
            found = value
    return found


def smallest(values: Sequence[float]) -> float:
    """The smallest; NaN only if there is nothing else."""
    found = values[0]
    for value in values:
        if value < found or math.isnan(found):
            found = value
    return found


def variance(values: Sequence[float]) -> float:
    """The population variance by Welford's method."""
    mean = values[0]
    total = 0.0
    for count, value in enumerate(values[1:], 2):
        delta = value - mean
        mean += delta / count
        total += delta * (value - mean)
    return total / len(values)


_REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": _sum,
    "avg": _mean,
    "max": largest,
    "min": smallest,
    "count": lambda values: float(len(values)),
    "stddev": lambda values: math.sqrt(variance(values)),
    "stdvar": variance,
}
