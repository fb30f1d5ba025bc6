"""Which stages of a pipeline run by columns, and running them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from logql.columns.formats import decolorize, format_labels, format_line, names_formatted, names_read
from logql.columns.frame import SPECIAL, Frame
from logql.columns.label_choice import drop, is_known, keep, names_matched
from logql.columns.label_tests import is_by_columns, names_tested, passing
from logql.columns.literals import Literal, literals_of
from logql.columns.parse_step import ParseStep, parser_of
from logql.stages.decolorize import Decolorize
from logql.stages.drop import Drop
from logql.stages.hints import SUFFIX
from logql.stages.keep import Keep
from logql.stages.label_filter import LabelFilterStage, LabelTest
from logql.stages.label_format import LabelFormatter
from logql.stages.line_filter import LineFilterStage
from logql.stages.line_format import LineFormat
from logql.stages.logfmt_expressions import LogfmtExpressions
from logql.stages.pipeline import Pipeline, Stage
from logql.stages.row import ERROR, ERROR_DETAILS
from storage.batch import I64, Batch, Mask

_FEW = 4
"""Lines are copied together before a test when fewer than one in this many are left."""


_Own: TypeAlias = LabelFilterStage | LineFilterStage | Drop | Keep | LabelFormatter | LineFormat | Decolorize
"""Stages that are steps as they are."""

_Step: TypeAlias = ParseStep | _Own


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """The first stages of a pipeline, as far as they run by columns.

    Attributes:
        steps: what to do, in order.
        whole: these are all stages.
        names: labels that they read, as they are called before and after.
        stages: how many of the pipeline's stages they are; one that has nothing to do has no step.
    """

    steps: tuple[_Step, ...]
    whole: bool
    names: frozenset[str]
    stages: int

    @property
    def sought(self) -> tuple[str, ...]:
        """The labels that its parsers look for, each for all of these."""
        return next((step.names for step in self.steps if isinstance(step, ParseStep)), ())

    @property
    def parsers(self) -> int:
        """How many parsers it has."""
        return sum(isinstance(step, ParseStep) for step in self.steps)

    @property
    def literals(self) -> tuple[Literal, ...]:
        """What a line must have to be given to its first parser."""
        return next((step.literals for step in self.steps if isinstance(step, ParseStep)), ())

    def run(self, batch: Batch, rows: I64, check: Callable[[], None]) -> Frame:
        """Sends rows of a batch through the stages.

        Args:
            batch: with the structured metadata of `names`; no row has an `__error__`, `rest` has none of the names.
            rows: int64[m], ascending.
            check: raises to stop the query; called now and then.
        """
        frame = Frame(batch, rows, check)
        for step in self.steps:
            match step:
                case LabelFilterStage(test):
                    frame.narrow(passing(frame, test))
                case LineFilterStage():
                    frame.narrow(_lines_passing(frame, step))
                case Drop(items):
                    self._doubt_renamed(frame)
                    drop(frame, items)
                case Keep(items):
                    self._doubt_renamed(frame)
                    keep(frame, items)
                case LabelFormatter():
                    self._doubt_renamed(frame)
                    format_labels(frame, step)
                case LineFormat(template):
                    format_line(frame, template)
                case Decolorize():
                    decolorize(frame)
                case ParseStep():
                    step.run(frame)
        return frame

    def _doubt_renamed(self, frame: Frame) -> None:
        """Before labels change that were known by what others are called."""
        for name in self.names:
            frame.doubt_renamed(name)


def _lines_passing(frame: Frame, stage: LineFilterStage) -> Mask:
    lines = frame.lines
    if _FEW * len(frame) < len(lines):
        return stage.keeps_each(lines.take(frame.at))
    return stage.keeps_each(lines)[frame.at]


def plan_of(pipeline: Pipeline, read_after: Sequence[str] | None = None) -> ColumnPlan | None:
    """The plan for a pipeline's stages; its line filters have run before. None if there is nothing to gain.

    Args:
        pipeline: the scalar stages, which say what the plan must do.
        read_after: labels that are read of the rows that come through a plan that is whole; None: all that matters is
            which rows it drops.
    """
    stages = tuple(_by_columns(pipeline.stages))
    whole = len(stages) == len(pipeline.stages) and read_after is not None
    while not whole and stages and not _may_drop(stages[-1]):
        stages = stages[:-1]
    tests = [stage.test for stage in stages if isinstance(stage, LabelFilterStage)]
    read = {name for test in tests for name in names_tested(test)}.union(
        (read_after or ()) if whole else (), *map(_names_read, stages)
    )
    for stage in stages:
        # A parser has to know of each label that another may set, or drop a row for, whether it was set before.
        parser = parser_of(stage)
        read |= parser.hints.filters.keys() if parser else set()
    first = next((stage for stage in stages if parser_of(stage)), None)
    literals = _literals(stages)
    done = tuple(step for stage in stages for step in _steps(stage, literals if stage is first else (), read))
    if not whole and not any(map(_narrows, done)):
        return None
    for step in done:
        if isinstance(step, ParseStep):
            read |= set(step.names)
    plain = {name.removesuffix(SUFFIX) for name in read}
    if plain - read and any(isinstance(step, Drop | Keep | LabelFormatter) for step in done):
        whole = False  # a label and what is named after it would have to be dropped apart
    if not read.isdisjoint(SPECIAL - {ERROR}):
        whole = False  # what is left of an error that was dropped
    return ColumnPlan(done, whole, frozenset(read | plain), len(stages))


def _by_columns(stages: Sequence[Stage]) -> Iterator[Stage]:
    """The first stages, up to one that is not done by columns."""
    hidden = False
    for stage in stages:
        match stage:
            case LabelFilterStage(test):
                if not is_by_columns(test):
                    return
            case LineFilterStage() | Decolorize():
                pass
            case Drop(items) | Keep(items):
                if not is_known(items):
                    return
                hidden = True
            case LabelFormatter():
                if names_read(stage) is None:
                    return
                hidden = True
            case LineFormat(template):
                if template.reads is None or not SPECIAL.isdisjoint(template.reads.labels):
                    return
            case _:
                # Behind these a parser would have to know what was dropped, or set, that it finds.
                if hidden or parser_of(stage) is None:
                    return
        yield stage


def _may_drop(stage: Stage) -> bool:
    """Whether there may be rows that the stage drops."""
    parser = parser_of(stage)
    return bool(parser.hints.filters) if parser else isinstance(stage, LabelFilterStage | LineFilterStage)


def _names_read(stage: Stage) -> frozenset[str]:
    """The labels that a stage which is no label filter reads."""
    match stage:
        case Drop(items) | Keep(items):
            return names_matched(items)
        case LabelFormatter():
            return names_read(stage) or frozenset()
        case LineFormat(template):
            return template.reads.labels if template.reads else frozenset()
        case LogfmtExpressions(names):
            return frozenset(names)  # it matters whether entries came with them
        case _:
            return frozenset()


def _literals(stages: Sequence[Stage]) -> tuple[Literal, ...]:
    """What a line must have to be given to the first parser: what is tested behind the second may be that one's."""
    tests: list[LabelTest] = []
    made: set[str] = set()
    parsers = 0
    for stage in stages:
        parsers += parser_of(stage) is not None
        if parsers > 1:
            break
        match stage:
            case LabelFormatter():
                made |= names_formatted(stage)
            case LabelFilterStage(test) if made.isdisjoint(names_tested(test)):
                tests.append(test)
    return tuple(literals_of(tests))


def _narrows(step: _Step) -> bool:
    return isinstance(step, LabelFilterStage | LineFilterStage) or (isinstance(step, ParseStep) and bool(step.early))


def _steps(stage: Stage, literals: tuple[Literal, ...], read: set[str]) -> Iterator[_Step]:
    """The step of a stage, if it has anything to do."""
    parser = parser_of(stage)
    if parser is not None:
        yield from parser.steps(literals, read)
    elif isinstance(stage, _Own):
        yield stage


def is_special(batch: Batch, names: frozenset[str]) -> bool:
    """Whether rows came with an error, or with so many keys that these names have no columns: no plan knows them."""
    special = names.union([ERROR, ERROR_DETAILS])
    if ERROR in batch.metadata or ERROR_DETAILS in batch.metadata:
        return True
    return batch.rest is not None and not special.isdisjoint(batch.rest.names)
