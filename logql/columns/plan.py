"""Which stages of a pipeline run by columns, and running them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from logql.columns.fields import FieldParser
from logql.columns.formats import decolorize, format_labels, format_line, names_formatted, names_read
from logql.columns.frame import SPECIAL, Frame
from logql.columns.json_fields import JsonFields
from logql.columns.json_path_fields import JsonPathFields
from logql.columns.label_choice import drop, is_known, keep, names_matched
from logql.columns.label_tests import is_by_columns, names_tested, passing
from logql.columns.literals import Literal, literals_of
from logql.columns.logfmt_fields import LogfmtExpressionFields, LogfmtFields
from logql.columns.pattern_fields import PatternFields
from logql.columns.regexp_fields import RegexpFields
from logql.columns.unpack_fields import UNPACKED, UnpackFields
from logql.stages.decolorize import Decolorize
from logql.stages.drop import Drop
from logql.stages.hints import SUFFIX, Hints
from logql.stages.json_expressions import JsonExpressions
from logql.stages.json_stage import JsonParser
from logql.stages.keep import Keep
from logql.stages.label_filter import LabelFilterStage, LabelTest
from logql.stages.label_format import LabelFormatter
from logql.stages.line_filter import LineFilterStage
from logql.stages.line_format import LineFormat
from logql.stages.logfmt import LogfmtParser
from logql.stages.logfmt_expressions import LogfmtExpressions
from logql.stages.pattern_parser import PatternParser
from logql.stages.pipeline import Pipeline, Stage
from logql.stages.regexp import RegexpParser
from logql.stages.row import ERROR, ERROR_DETAILS
from logql.stages.unpack import UnpackParser
from storage.batch import I64, Batch, Mask, Texts

_FEW = 4
"""Lines are copied together before a test when fewer than one in this many are left."""


@dataclass(frozen=True, slots=True)
class _Parse:
    """A parser.

    Attributes:
        parser: by columns.
        names: the labels that it has to find.
        hints: of the stage.
        early: label -> the test with which the stage drops a row as soon as it sets the label.
        literals: of which a line must have each.
    """

    parser: FieldParser
    names: tuple[str, ...]
    hints: Hints
    early: tuple[tuple[str, LabelTest], ...]
    literals: tuple[Literal, ...]


_Own: TypeAlias = LabelFilterStage | LineFilterStage | Drop | Keep | LabelFormatter | LineFormat | Decolorize
"""Stages that are steps as they are."""

_Step: TypeAlias = _Parse | _Own


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
        """The labels that its parser looks for."""
        return tuple(name for step in self.steps if isinstance(step, _Parse) for name in step.names)

    @property
    def literals(self) -> tuple[Literal, ...]:
        """What a line must have to be given to its parser."""
        return tuple(literal for step in self.steps if isinstance(step, _Parse) for literal in step.literals)

    def run(self, batch: Batch, rows: I64) -> Frame:
        """Sends rows of a batch through the stages.

        Args:
            batch: with the structured metadata of `names`; no row has an `__error__`, `rest` has none of the names.
            rows: int64[m].
        """
        frame = Frame(batch, rows)
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
                case _Parse():
                    _parse(frame, step)
        return frame

    def _doubt_renamed(self, frame: Frame) -> None:
        """Before labels change that were known by what others are called."""
        for name in self.names:
            frame.doubt_renamed(name)


def _parse(frame: Frame, step: _Parse) -> None:
    frame.compact()
    for literal in step.literals:
        if not frame.base(literal.name).texts:
            frame.narrow(literal.may_be_in(_lines_of(frame)))
            frame.compact()
    frame.parse(step.parser, step.names, step.hints)
    for name, test in step.early:
        # The stage drops a row as soon as it sets a label that a filter further on refuses.
        set_here = frame.set_by_parser(name)
        base = frame.base(name)
        if base.texts:
            set_here &= base.missing
        frame.narrow(passing(frame, test) | ~set_here)


def _lines_of(frame: Frame) -> Texts:
    lines = frame.lines
    return lines if np.array_equal(frame.at, np.arange(len(lines))) else lines.take(frame.at)


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
    of_line = _tests_of_line(stages)
    done = tuple(step for stage in stages for step in _steps(stage, of_line, read))
    if not whole and not any(map(_narrows, done)):
        return None
    for step in done:
        if isinstance(step, _Parse):
            read |= set(step.names)
    plain = {name.removesuffix(SUFFIX) for name in read}
    if plain - read and any(isinstance(step, Drop | Keep | LabelFormatter) for step in done):
        whole = False  # a label and what is named after it would have to be dropped apart
    if not read.isdisjoint(SPECIAL - {ERROR}):
        whole = False  # what is left of an error that was dropped
    return ColumnPlan(done, whole, frozenset(read | plain), len(stages))


def _by_columns(stages: Sequence[Stage]) -> Iterator[Stage]:
    """The first stages, up to one that is not done by columns."""
    parsed = hidden = False
    for stage in stages:
        match stage:
            case LabelFilterStage(test):
                if not is_by_columns(test):
                    return
            case LineFilterStage():
                pass
            case (
                JsonParser() | LogfmtParser() | LogfmtExpressions() | PatternParser() | RegexpParser() | UnpackParser()
            ):
                # A second parser would have to know what the first has set, or what was dropped since.
                if parsed or hidden:
                    return
                parsed = True
            case JsonExpressions(names):
                if parsed or hidden or len(set(names)) < len(names):
                    return
                parsed = True
            case Drop(items) | Keep(items):
                if not is_known(items):
                    return
                hidden = True
            case LabelFormatter():
                if names_read(stage) is None:
                    return
                hidden = True
            case LineFormat(template):
                if template.labels_read is None or not SPECIAL.isdisjoint(template.labels_read):
                    return
            case Decolorize():
                pass
            case _:
                return
        yield stage


def _may_drop(stage: Stage) -> bool:
    """Whether there may be rows that the stage drops."""
    match stage:
        case (
            JsonParser(hints)
            | UnpackParser(hints)
            | PatternParser(hints=hints)
            | LogfmtParser(hints=hints)
            | RegexpParser(hints=hints)
        ):
            return bool(hints.filters)
        case _:
            return isinstance(stage, LabelFilterStage | LineFilterStage)


def _names_read(stage: Stage) -> frozenset[str]:
    """The labels that a stage which is no label filter reads."""
    match stage:
        case Drop(items) | Keep(items):
            return names_matched(items)
        case LabelFormatter():
            return names_read(stage) or frozenset()
        case LineFormat(template):
            return template.labels_read or frozenset()
        case _:
            return frozenset()


def _tests_of_line(stages: Sequence[Stage]) -> list[LabelTest]:
    """The tests of labels that no stage has made of others before."""
    tests: list[LabelTest] = []
    made: set[str] = set()
    for stage in stages:
        match stage:
            case LabelFormatter():
                made |= names_formatted(stage)
            case LabelFilterStage(test) if made.isdisjoint(names_tested(test)):
                tests.append(test)
    return tests


def _narrows(step: _Step) -> bool:
    return isinstance(step, LabelFilterStage | LineFilterStage) or (isinstance(step, _Parse) and bool(step.early))


def _steps(stage: Stage, tests: Sequence[LabelTest], read: set[str]) -> Iterator[_Step]:
    """The step of a stage, if it has anything to do."""
    match stage:
        case JsonParser(hints):
            yield from _parse_step(JsonFields(), hints, tests, read)
        case JsonExpressions(names, paths, hints):
            # It drops no row as it sets a label.
            yield from _parse_step(JsonPathFields(names, paths), replace(hints, filters={}), tests, read)
        case LogfmtParser(strict, keep_empty, hints):
            yield from _parse_step(LogfmtFields(strict, keep_empty), hints, tests, read)
        case LogfmtExpressions(_, sources, strict, hints):
            found = LogfmtExpressionFields(sources, strict)
            yield from _parse_step(found, replace(hints, filters={}), tests, read)
        case PatternParser(parts, hints):
            yield from _parse_step(PatternFields(parts), hints, tests, read)
        case UnpackParser(hints):
            # Where no label is wanted, the line still is; there is none of the entry's name.
            yield from _parse_step(UnpackFields(), hints, tests, read or {UNPACKED})
        case RegexpParser(hints=hints):
            yield from _parse_step(RegexpFields.of(stage), hints, tests, read)
        case LabelFilterStage() | LineFilterStage() | Drop() | Keep() | LabelFormatter() | LineFormat() | Decolorize():
            yield stage


def _parse_step(parser: FieldParser, hints: Hints, tests: Sequence[LabelTest], read: set[str]) -> Iterator[_Parse]:
    names = tuple(sorted(hints.required or read.union(hints.filters)))
    if hints.no_labels or not names:
        return
    early = tuple(
        (name, test)
        for name, test in hints.filters.items()
        if name not in SPECIAL and name in names and isinstance(test, LabelTest)
    )
    yield _Parse(parser, names, hints, early, tuple(literals_of(tests)))


def is_special(batch: Batch, names: frozenset[str]) -> bool:
    """Whether rows came with an error, or with so many keys that these names have no columns: no plan knows them."""
    special = names.union([ERROR, ERROR_DETAILS])
    if ERROR in batch.metadata or ERROR_DETAILS in batch.metadata:
        return True
    return batch.rest is not None and not special.isdisjoint(batch.rest.names)
