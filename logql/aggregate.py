"""Vector aggregations: sum, topk and their like, over the vectors of many steps at once, as in Loki."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from logql.ast import Grouping, VectorAggregation
from logql.errors import EvaluationError
from logql.kernels import vectors as kernels
from logql.vectors import LabelTable, Renumbering, Vectors, VectorSource, kept_by, kept_without
from storage.batch import I64, Labels

_REDUCTIONS = {
    "sum": kernels.SUM,
    "avg": kernels.MEAN,
    "max": kernels.LARGEST,
    "min": kernels.SMALLEST,
    "count": kernels.COUNT,
    "stddev": kernels.DEVIATION,
    "stdvar": kernels.VARIANCE,
}


def check_enabled(node: VectorAggregation) -> None:
    """Refuses approx_topk, which has to be enabled in Loki and is not offered here.

    Raises:
        EvaluationError: it is that.
    """
    if node.op == "approx_topk":
        raise EvaluationError("approx_topk is not enabled. See -limits.shard_aggregations")


def aggregated(node: VectorAggregation, operand: VectorSource) -> VectorSource:
    """The vectors of an aggregation of others.

    Raises:
        EvaluationError: as `check_enabled`.
    """
    check_enabled(node)
    match node.op:
        case "sort" | "sort_desc":
            return _Chosen(operand, None, None, descending=node.op == "sort_desc")
        case "topk" | "bottomk":
            group_of = _group_labels(node.grouping)
            return _Chosen(operand, group_of, node.parameter or 0, descending=node.op == "topk")
    return _Reduced(operand, _group_labels(node.grouping), _REDUCTIONS[node.op])


def _group_labels(grouping: Grouping | None) -> Callable[[Labels], Labels]:
    """Labels of a sample -> labels of the group it falls in; no grouping is one group."""
    names = frozenset(grouping.names) if grouping else frozenset()
    keep = kept_without if grouping and grouping.without else kept_by
    return lambda labels: keep(labels, names)


class _Reduced:
    """One sample a group, in the order in which groups are met."""

    def __init__(self, operand: VectorSource, group_of: Callable[[Labels], Labels], function: int) -> None:
        self._operand = operand
        self._function = function
        self._groups = LabelTable()
        self._group = Renumbering(operand, group_of, self._groups)

    @property
    def labels(self) -> Sequence[Labels]:
        return self._groups.labels

    def vectors(self, first: int, stop: int) -> Vectors:
        given = self._operand.vectors(first, stop)
        codes = self._group(given.series)
        places, heads = _grouped(given.bounds, codes, len(self._groups.labels))
        size = int(heads[-1])
        series, totals = np.empty(size, np.int64), np.empty(size, np.float64)
        series[places] = codes
        kernels.reduce_groups(self._function, places, given.values, totals, np.zeros(size), np.zeros(size))
        return Vectors(heads, series, totals, given.failure)


class _Chosen:
    """Samples kept whole and put in order of their values, a group after the other: topk, bottomk, sort and sort_desc.

    Of equal values those that stand first in the vector come first, NaN last either way.
    """

    def __init__(
        self,
        operand: VectorSource,
        group_of: Callable[[Labels], Labels] | None,
        most: int | None,
        *,
        descending: bool,
    ) -> None:
        """`group_of` None: each vector is one group; `most` samples of a group are kept, None: all."""
        self._operand = operand
        self._most = most
        self._sign = -1.0 if descending else 1.0
        self._groups = LabelTable()
        self._group = Renumbering(operand, group_of, self._groups) if group_of else None

    @property
    def labels(self) -> Sequence[Labels]:
        return self._operand.labels

    def vectors(self, first: int, stop: int) -> Vectors:
        given = self._operand.vectors(first, stop)
        if self._group is None:
            places = given.step_of()
        else:
            places, _ = _grouped(given.bounds, self._group(given.series), len(self._groups.labels))
        # lexsort is stable and puts NaN last. A step's groups follow those of the steps before, so its bounds stay.
        order = np.lexsort((self._sign * given.values, places))
        ordered = Vectors(given.bounds, given.series[order], given.values[order], given.failure)
        if self._most is None:
            return ordered
        sizes = np.bincount(places)
        rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return ordered.where(rank < self._most, ordered.series, ordered.values)


def _grouped(bounds: I64, codes: I64, size: int) -> tuple[I64, I64]:
    """(the group of each sample, where the groups of each vector begin), see `find_groups`; codes are below `size`."""
    places, heads = np.empty(len(codes), np.int64), np.empty(len(bounds), np.int64)
    kernels.find_groups(bounds, codes, np.full(size, -1, np.int64), places, heads)
    return places, heads
