"""The plan of a query in words: which stages run by columns, which row by row, and what parsers look for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from logql.ast import LogExpr, Stage
from logql.columns.plan import ColumnPlan
from logql.stages.hints import Hints
from logql.stages.json_expressions import JsonExpressions
from logql.stages.json_stage import JsonParser
from logql.stages.logfmt import LogfmtParser
from logql.stages.logfmt_expressions import LogfmtExpressions
from logql.stages.pattern_parser import PatternParser
from logql.stages.pipeline import Pipeline, reordered
from logql.stages.pipeline import Stage as Runner
from logql.stages.regexp import RegexpParser
from logql.stages.unpack import UnpackParser

_PARSERS = (
    JsonParser,
    JsonExpressions,
    LogfmtParser,
    LogfmtExpressions,
    PatternParser,
    RegexpParser,
    UnpackParser,
)


@dataclass(frozen=True, slots=True)
class StageText:
    """One stage.

    Attributes:
        text: as LogQL writes it.
        by_columns: it runs over columns, and not row by row.
        labels: that a parser looks for; None: all that there are, or it is no parser.
        literals: before it is tried on a line, the line has to have one of each group.
    """

    text: str
    by_columns: bool
    labels: tuple[str, ...] | None = None
    literals: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class PlanText:
    """How entries of one selector are dealt with.

    Attributes:
        text: what is read for: a log query or a range aggregation, as LogQL writes it.
        selector: of its streams.
        stages: in the order in which they run.
        by_columns: what comes through is made by columns: entries of a log query without stages, samples of a metric
            query. If not, each entry that is left goes through all stages but line filters row by row, as that alone
            gives it all of its labels.
    """

    text: str
    selector: str
    stages: tuple[StageText, ...]
    by_columns: bool


def plan_text(
    text: str, log: LogExpr, nodes: Sequence[Stage], pipeline: Pipeline, plan: ColumnPlan | None, *, by_columns: bool
) -> PlanText:
    """The plan of a pipeline.

    Args:
        text: what it is for.
        log: its selector.
        nodes: what the pipeline was made of.
        pipeline: the stages that run.
        plan: what of them runs by columns after the line filters.
        by_columns: as of PlanText.
    """
    first = len(pipeline.line_filters)
    texts = [str(node) for node in reordered(nodes)]
    filters = [
        StageText(own, by_columns=True, literals=_groups([stage.literals]))
        for own, stage in zip(texts[:first], pipeline.line_filters, strict=True)
    ]
    planned = 0 if plan is None else plan.stages
    parsers = [place for place, stage in enumerate(pipeline.stages) if isinstance(stage, _PARSERS)]
    others = [
        _stage_text(own, stage, plan if place < planned else None, is_first=parsers[:1] == [place])
        for place, (own, stage) in enumerate(zip(texts[first:], pipeline.stages, strict=True))
    ]
    return PlanText(text, str(log.selector), (*filters, *others), by_columns)


def _stage_text(text: str, stage: Runner, plan: ColumnPlan | None, *, is_first: bool) -> StageText:
    """One stage; `plan` if it is part of that. `is_first` of the parsers."""
    if not isinstance(stage, _PARSERS):
        return StageText(text, by_columns=plan is not None)
    if plan is None:
        return StageText(text, by_columns=False, labels=_labels(stage.hints))
    literals = plan.literals if is_first else ()
    return StageText(text, by_columns=True, labels=plan.sought, literals=_groups((one.text,) for one in literals))


def _labels(hints: Hints) -> tuple[str, ...] | None:
    if hints.no_labels:
        return ()
    return tuple(sorted(hints.required)) or None


def _groups(found: Iterable[Sequence[bytes]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(text.decode("utf-8", "replace") for text in group) for group in found if group)
