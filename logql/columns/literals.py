"""Bytes that a line must have for a filter on a parsed label to let it through: a cheap test before the parser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from logql.literals import to_bytes
from logql.stages.hints import SUFFIX
from logql.stages.label_filter import BothTests, LabelTest, StringTest
from logql.stages.row import ERROR
from logql.substring import lines_with
from storage.batch import Mask, Texts

_LEAST = 3
"""Bytes of a literal that is worth a pass over the lines."""

_CHANGED = re.compile(b"[ \xef\xbf\xbd]")
"""Parsers write a space for what is not UTF-8, so a space of a value need not be one of the line."""


@dataclass(frozen=True, slots=True)
class Literal:
    """What a line has if its label `name` is to pass a filter and comes from the line.

    Attributes:
        name: the label.
        text: in the line as it stands, unless the line has a backslash: then the value may be written in escapes.
    """

    name: str
    text: bytes

    def may_be_in(self, lines: Texts) -> Mask:
        """bool[n]: the lines on which the filter may let a row through."""
        return lines_with(self.text, lines) | lines_with(b"\\", lines)


def _is_from_line(name: str) -> bool:
    """Whether such a label that no entry came with is from the line: errors are not, nor renamed metadata."""
    return name != ERROR and not name.endswith(SUFFIX)


def literals_of(tests: Iterable[LabelTest]) -> Iterator[Literal]:
    """The literals that tests need, all of which a row must pass."""
    for test in tests:
        match test:
            case BothTests(left, right):
                yield from literals_of((left, right))
            case StringTest(name, negative=False, wanted=str(wanted)) if _is_from_line(name):
                text = max(_CHANGED.split(to_bytes(wanted)), key=len)
                if len(text) >= _LEAST:
                    yield Literal(name, text)
