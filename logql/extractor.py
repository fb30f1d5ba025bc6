"""What a range aggregation makes of one entry: the value of its sample, and the labels, as in Loki."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from logql.ast import Grouping, RangeAggregation
from logql.columns.frame import SPECIAL, Frame
from logql.columns.label_tests import is_by_columns, names_tested
from logql.columns.plan import plan_of
from logql.columns.unwrapped import unwrapped
from logql.stages.hints import SUFFIX, RowTest, Wanted
from logql.stages.label_filter import names_of
from logql.stages.pipeline import Pipeline, simple_filters, without_unused_line_formats
from logql.stages.row import Row
from logql.stages.unwrap import UnwrapStage
from storage.batch import Labels

_PUSHED_DOWN = frozenset({"count_over_time", "rate", "bytes_over_time", "bytes_rate", "sum_over_time"})
"""Aggregations that take the grouping of a `sum` around them: sums of sums are sums."""

_ONE = np.ones(1, np.float64)

BYTES = frozenset({"bytes_over_time", "bytes_rate"})
"""Aggregations of the bytes of lines."""


def grouping_of(node: RangeAggregation, outer: Grouping | None) -> Grouping | None:
    """The grouping that samples are made under: the aggregation's own, or that of a `sum` around it.

    Args:
        node: the range aggregation.
        outer: grouping of the `sum` of which `node` is the operand; None if there is no `sum`.
    """
    if node.op == "absent_over_time":
        return Grouping((), without=False)
    if node.grouping is None and outer is not None and node.op in _PUSHED_DOWN:
        return outer
    return node.grouping


class Extractor:
    """Makes samples of rows: the value by the aggregation, the labels by its grouping.

    Attributes:
        nodes: the stages of the query that run.
        pipeline: what entries go through.
        plan: what of its stages runs by columns; None if there is nothing to gain.
        labels_read: all labels that a sample whose pipeline did not fail may have, before one of the name is made room
            for; None: any.
    """

    def __init__(self, node: RangeAggregation, grouping: Grouping | None) -> None:
        self.grouping = grouping
        stages = node.range.log.stages
        unwrap = node.range.unwrap
        self._unwrap = UnwrapStage.of(unwrap) if unwrap else None
        self._counts_bytes = node.op in BYTES
        self.nodes = stages if self._counts_bytes else without_unused_line_formats(stages)
        self.pipeline = Pipeline.of(self.nodes, self._wanted(node, grouping))
        self._names = frozenset(grouping.names) if grouping else frozenset()
        self._is_by = grouping is not None and not grouping.without
        self.labels_read: frozenset[str] | None = None
        if self._is_by and self._is_by_columns():
            self.labels_read = self._names | {name.removesuffix(SUFFIX) for name in self._names}
        if unwrap and not self._is_by:
            self._names |= {unwrap.label}
        after = None if self.labels_read is None else (*self._names_unwrapped(), *self.labels_read)
        self.plan = plan_of(self.pipeline, after)

    def _wanted(self, node: RangeAggregation, grouping: Grouping | None) -> Wanted:
        names: list[str] = []
        filters: dict[str, RowTest] = {}
        if node.range.unwrap and self._unwrap:
            names = [node.range.unwrap.label, *(name for each in node.range.unwrap.filters for name in names_of(each))]
            if len(self._unwrap.filters) == 1:
                filters = simple_filters(self._unwrap.filters)
        if grouping is None:
            return Wanted(names=tuple(names), filters=filters)
        no_labels = not grouping.names and not grouping.without
        return Wanted(grouping.names, grouping.without, no_labels, tuple(names), filters)

    @property
    def by_columns(self) -> bool:
        """Whether samples can be made of rows by columns, but for some that are unsure."""
        return self.plan is not None and self.plan.whole and self.labels_read is not None

    def _is_by_columns(self) -> bool:
        """Whether `values` can tell what the unwrap makes of rows."""
        unwrap = self._unwrap
        return unwrap is None or (unwrap.label not in SPECIAL and all(map(is_by_columns, unwrap.filters)))

    def _names_unwrapped(self) -> frozenset[str]:
        """The labels that the unwrap reads."""
        if self._unwrap is None:
            return frozenset()
        return frozenset([self._unwrap.label]).union(*map(names_tested, self._unwrap.filters))

    def values(self, frame: Frame) -> NDArray[np.float64]:
        """float64[m]: the value of each row of a frame that came through the plan, all of it; some give none."""
        if self._unwrap:
            return unwrapped(frame, self._unwrap)
        if self._counts_bytes:
            return frame.lines.lengths[frame.at].astype(np.float64)
        return np.broadcast_to(_ONE, len(frame))

    def sample(self, row: Row) -> float | None:
        """The value of an entry that line filters have passed, whose other stages run here; None if it gives none."""
        if not self.pipeline.run_rest(row):
            return None
        if self._unwrap:
            return self._unwrap.sample(row)
        return float(len(row.line)) if self._counts_bytes else 1.0

    def labels(self, row: Row) -> Labels:
        """The labels of its sample: all of them if the pipeline failed, so that the error can name the series."""
        labels = row.labels()
        if row.error:
            return tuple(sorted(labels.items()))
        return tuple(sorted(pair for pair in labels.items() if (pair[0] in self._names) == self._is_by))
