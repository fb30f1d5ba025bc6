"""Which entries a log query lets through, told of a whole batch: what a delete chooses by.

The answer is that of the scalar stages. Those that run by columns only spare them rows that are certain to be dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from logql import ast
from logql.columns.plan import is_special, plan_of
from logql.parser import parse_choice
from logql.rows import ROWS_AT_ONCE, rows_of
from logql.source import Matcher
from logql.stages.pipeline import Pipeline
from logql.unit_reader import filtered
from storage.batch import I64, Batch, Mask
from storage.rows import take_rows

Chooser = Callable[[Batch], Mask]
"""bool[n] for a batch of n rows without a selection: those that come through."""


def _go_on() -> None:
    """The check of what nobody stops."""


def choice(text: str) -> tuple[Sequence[Matcher], Chooser | None]:
    """What a log query chooses: matchers of streams, and which of their entries; None: all of them.

    The selector may match every stream (`{}`). A query without a filter chooses all entries, whatever its stages make
    of them (Loki).

    Raises:
        ParseError, LogQueryExpected: it is no log query.
    """
    expr = parse_choice(text)
    if not any(isinstance(stage, ast.LineFilter | ast.LabelFilterStage) for stage in expr.stages):
        return expr.matchers, None

    def passing(batch: Batch) -> Mask:
        return _passing(Pipeline.of(expr.stages), batch)  # built anew: several threads may ask

    return expr.matchers, passing


def _passing(pipeline: Pipeline, batch: Batch) -> Mask:
    rows = filtered(batch, pipeline.line_filters)
    if pipeline.stages and len(rows):
        plan = plan_of(pipeline)
        if plan is not None and not is_special(batch, plan.names):
            rows = plan.run(batch, rows, _go_on).going_on()
        rows = _through(pipeline, batch, rows)
    found: Mask = np.zeros(len(batch), np.bool_)
    found[rows] = True
    return found


def _through(pipeline: Pipeline, batch: Batch, rows: I64) -> I64:
    """Those of the rows that the scalar stages let through."""
    kept: list[int] = []
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        made = rows_of(take_rows(batch, some))
        kept += [place for place, (row, _) in zip(some.tolist(), made, strict=True) if pipeline.run_rest(row)]
    return np.array(kept, np.int64)
