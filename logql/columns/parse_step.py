"""The parsers that there are by columns, and what one does in a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from logql.columns.fields import FieldParser
from logql.columns.frame import SPECIAL, Frame
from logql.columns.json_fields import JsonFields
from logql.columns.json_path_fields import JsonPathFields
from logql.columns.label_tests import passing
from logql.columns.literals import Literal
from logql.columns.logfmt_fields import LogfmtExpressionFields, LogfmtFields
from logql.columns.pattern_fields import PatternFields
from logql.columns.regexp_fields import RegexpFields
from logql.columns.unpack_fields import UNPACKED, UnpackFields
from logql.stages.hints import Hints
from logql.stages.json_expressions import JsonExpressions
from logql.stages.json_stage import JsonParser
from logql.stages.label_filter import LabelTest
from logql.stages.logfmt import LogfmtParser
from logql.stages.logfmt_expressions import LogfmtExpressions
from logql.stages.pattern_parser import PatternParser
from logql.stages.pipeline import Stage
from logql.stages.regexp import RegexpParser
from logql.stages.unpack import UnpackParser
from storage.batch import Texts


@dataclass(frozen=True, slots=True)
class ParseStep:
    """A parser at work.

    Attributes:
        parser: by columns.
        names: the labels that it has to find.
        hints: of the stage.
        again: see Frame.parse.
        early: label -> the test with which the stage drops a row as soon as it sets the label.
        literals: of which a line must have each.
    """

    parser: FieldParser
    names: tuple[str, ...]
    hints: Hints
    again: bool
    early: tuple[tuple[str, LabelTest], ...]
    literals: tuple[Literal, ...]

    def run(self, frame: Frame) -> None:
        """Finds the labels."""
        frame.compact()
        for literal in self.literals:
            if not frame.base(literal.name).texts:
                frame.narrow(literal.may_be_in(_lines_of(frame)))
                frame.compact()
        frame.parse(self.parser, self.names, self.hints, again=self.again)
        for name, test in self.early:
            # The stage drops a row as soon as it sets a label that a filter further on refuses.
            frame.narrow(passing(frame, test) | ~frame.set_last(name))


def _lines_of(frame: Frame) -> Texts:
    lines = frame.lines
    return lines if np.array_equal(frame.at, np.arange(len(lines))) else lines.take(frame.at)


@dataclass(frozen=True, slots=True)
class StageParser:
    """The parser of a stage.

    Attributes:
        parser: by columns.
        hints: of the stage, as far as it minds them.
        again: the stage sets labels that an earlier one has set.
    """

    parser: FieldParser
    hints: Hints
    again: bool = False

    def steps(self, literals: tuple[Literal, ...], read: set[str]) -> Iterator[ParseStep]:
        """The step of the stage in a pipeline that reads, or filters by, these labels; none if it has nothing to do."""
        hints = self.hints
        if isinstance(self.parser, UnpackFields):
            read = read or {UNPACKED}  # where no label is wanted, the line still is; there is none of the entry's name
        names = tuple(sorted(hints.required or read))
        if hints.no_labels or not names:
            return
        early = tuple(
            (name, test)
            for name, test in hints.filters.items()
            if name not in SPECIAL and name in names and isinstance(test, LabelTest)
        )
        yield ParseStep(self.parser, names, hints, self.again, early, literals)


def parser_of(stage: Stage) -> StageParser | None:
    """The parser of a stage; None if it is none, or not done by columns."""
    match stage:
        case JsonParser(hints):
            return StageParser(JsonFields(), hints)
        case JsonExpressions(names, paths, hints) if len(set(names)) == len(names):
            # Those with expressions drop no row as they set a label.
            return StageParser(JsonPathFields(names, paths), replace(hints, filters={}), again=True)
        case LogfmtParser(strict, keep_empty, hints):
            return StageParser(LogfmtFields(strict, keep_empty), hints)
        case LogfmtExpressions(_, sources, strict, hints):
            return StageParser(LogfmtExpressionFields(sources, strict), replace(hints, filters={}), again=True)
        case PatternParser(parts, hints):
            return StageParser(PatternFields(parts), hints)
        case UnpackParser(hints):
            return StageParser(UnpackFields(), hints, again=True)
        case RegexpParser(hints=hints):
            return StageParser(RegexpFields.of(stage), hints)
        case _:
            return None
