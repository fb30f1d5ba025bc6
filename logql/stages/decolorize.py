"""`| decolorize`: the line without the sequences that colour it in a terminal."""

from __future__ import annotations

from dataclasses import dataclass

from logql import ast
from logql.regex import compile_regex
from logql.stages.row import Row

_INTRODUCER = r"[\x{1b}\x{9b}][\[\]()#;?]*"
_TEXT_UP_TO_BELL = r"(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\x07"
_NUMBERS_AND_FINAL = r"(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~]"
SEQUENCE = compile_regex(f"{_INTRODUCER}(?:{_TEXT_UP_TO_BELL}|{_NUMBERS_AND_FINAL})")
"""What colours, compiled."""


@dataclass(frozen=True, slots=True)
class Decolorize:
    """The stage."""

    @classmethod
    def of(cls, _node: ast.DecolorizeStage) -> Decolorize:
        """The stage of a node."""
        return cls()

    def apply(self, row: Row) -> bool:
        """Changes the line."""
        if b"\x1b" in row.line or b"\xc2\x9b" in row.line:
            row.line = SEQUENCE.sub(b"", row.line)
        return True
