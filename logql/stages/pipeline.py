"""A whole pipeline: the order its stages run in, the hints that its parsers get, and one row through all of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from logql import ast
from logql.label_regex import everything
from logql.stages.decolorize import Decolorize
from logql.stages.drop import Drop
from logql.stages.hints import Hints, RowTest, Wanted, hints_for
from logql.stages.keep import Keep
from logql.stages.label_filter import BothTests, EitherTest, LabelFilterStage, LabelTest, StringTest, names_of
from logql.stages.label_format import LabelFormatter
from logql.stages.line_filter import LineFilterStage
from logql.stages.line_format import LineFormat
from logql.stages.parsers import parser_of
from logql.stages.row import Row

Stage = RowTest
"""One step. `apply` changes the row and says whether it goes on."""

_FIELD = re.compile(r"\.([a-zA-Z_][a-zA-Z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages of a query, in the order in which they run.

    Attributes:
        line_filters: those that come first. They have a form for whole batches too.
        stages: all others.
    """

    line_filters: tuple[LineFilterStage, ...]
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, nodes: Sequence[ast.Stage], wanted: Wanted | None = None) -> Pipeline:
        """The pipeline of a query.

        Args:
            nodes: its stages as written.
            wanted: what a metric query wants of it; None for log queries.

        Raises:
            RegexError, StageError: a stage cannot be built.
        """
        stages = stages_of(nodes, wanted)
        first = tuple(takewhile(lambda stage: isinstance(stage, LineFilterStage), stages))
        return cls(tuple(stage for stage in first if isinstance(stage, LineFilterStage)), tuple(stages[len(first) :]))

    @property
    def chooses(self) -> bool:
        """Whether one of `stages` may drop a row: parsers, formats, drop and keep do so for a later filter alone."""
        return any(isinstance(stage, LineFilterStage | LabelFilterStage) for stage in self.stages)

    def run(self, row: Row) -> bool:
        """Sends a row through all stages; whether it comes out."""
        return all(stage.keeps(row.line) for stage in self.line_filters) and self.run_rest(row)

    def run_rest(self, row: Row) -> bool:
        """Sends a row that the line filters have passed through the other stages."""
        return all(stage.apply(row) for stage in self.stages)


def stages_of(nodes: Sequence[ast.Stage], wanted: Wanted | None = None) -> list[Stage]:
    """The stages in the order in which they run. Arguments and errors as `Pipeline.of`."""
    ordered = reordered(nodes)
    filters = {id(node): LabelFilterStage.of(node) for node in ordered if isinstance(node, ast.LabelFilterStage)}
    hints = hints_for(simple_filters(stage.test for stage in filters.values()), _names_read(ordered), wanted)
    return [filters.get(id(node)) or stage_of(node, hints) for node in ordered]


def stage_of(node: ast.Stage, hints: Hints) -> Stage:
    """The stage of one node.

    Raises:
        RegexError, StageError: it cannot be built.
    """
    match node:
        case ast.LineFilter():
            return LineFilterStage.of(node)
        case ast.LabelFilterStage():
            return LabelFilterStage.of(node)
        case ast.LineFormatStage():
            return LineFormat.of(node)
        case ast.LabelFormatStage():
            return LabelFormatter.of(node)
        case ast.DecolorizeStage():
            return Decolorize.of(node)
        case ast.DropStage():
            return Drop.of(node)
        case ast.KeepStage():
            return Keep.of(node)
        case _:
            return parser_of(node, hints)


def reordered(nodes: Sequence[ast.Stage]) -> list[ast.Stage]:
    """Line filters moved ahead as Loki moves them: up to a line_format, an unpack or a label filter.

    A decolorize does not hold them, so they see the colours.
    """
    done: list[ast.Stage] = []
    line_filters: list[ast.Stage] = []
    others: list[ast.Stage] = []
    for node in nodes:
        if isinstance(node, ast.LineFilter):
            line_filters.append(node)
            continue
        others.append(node)
        if isinstance(node, ast.LineFormatStage | ast.UnpackStage | ast.LabelFilterStage):
            done += line_filters + others
            line_filters, others = [], []
    return done + line_filters + others


def simple_filters(tests: Iterable[LabelTest]) -> dict[str, RowTest]:
    """Label -> the first test on it that drops a row all by itself; those of `and` and `or` do not."""
    found: dict[str, RowTest] = {}
    for test in tests:
        if isinstance(test, BothTests | EitherTest) or _passes_all(test):
            continue
        found.setdefault(test.name, test)
    return found


def _passes_all(test: LabelTest) -> bool:
    return isinstance(test, StringTest) and test.test is everything and not test.negative


def _names_read(nodes: Iterable[ast.Stage]) -> Iterator[str]:
    """The labels that stages read (parsers, drop and keep do not count: Loki)."""
    for node in nodes:
        match node:
            case ast.LabelFilterStage(filter=test):
                yield from names_of(test)
            case ast.LineFormatStage(template):
                yield from _FIELD.findall(template)
            case ast.LabelFormatStage(formats):
                for item in formats:
                    yield from (item.value,) if item.rename else _FIELD.findall(item.value)


def without_unused_line_formats(nodes: Sequence[ast.Stage]) -> tuple[ast.Stage, ...]:
    """The stages without each line_format after which nothing reads the line.

    Loki leaves them out of metric queries other than bytes_over_time and bytes_rate, so such templates cannot fail.
    """
    readers = (ast.LineFilter, ast.JsonStage, ast.LogfmtStage, ast.RegexpStage, ast.PatternStage, ast.UnpackStage)
    last = max((place for place, node in enumerate(nodes) if isinstance(node, readers)), default=-1)
    return tuple(node for place, node in enumerate(nodes) if place < last or not isinstance(node, ast.LineFormatStage))
