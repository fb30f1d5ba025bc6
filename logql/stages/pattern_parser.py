"""`| pattern "<a> - <b>"`: labels from what stands between literals, as in Loki."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from logql import ast
from logql.errors import StageError
from logql.pattern import Capture, Part, capture_names, parse_pattern
from logql.stages.extracted import extract, free_name, raw_value
from logql.stages.hints import ALL, Hints
from logql.stages.row import Row


@dataclass(frozen=True, slots=True)
class PatternParser:
    """The stage. `parts` are literals and captures in turn."""

    parts: tuple[Part, ...]
    hints: Hints

    @classmethod
    def of(cls, node: ast.PatternStage, hints: Hints = ALL) -> PatternParser:
        """The stage of a node.

        Raises:
            StageError: two captures stand side by side or have one name, or none has a name.
        """
        try:
            return cls(_checked(node.pattern), hints)
        except StageError as error:
            raise StageError(f"invalid pattern parser: {error}") from None

    def apply(self, row: Row) -> bool:
        """Sets the labels; False: a filter on one of them drops the line."""
        if self.hints.skip(row):
            return True
        return all(
            extract(row, free_name(row, name), raw_value(value), self.hints)
            for name, value in captures(self.parts, row.line)
        )


def _checked(pattern: str) -> tuple[Part, ...]:
    if not pattern:
        raise StageError("syntax error: unexpected $end, expecting IDENTIFIER or LITERAL")
    names = capture_names(pattern)
    if not names:
        raise StageError("at least one capture is required")
    parts = parse_pattern(pattern)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise StageError(f"duplicate capture name ({name}): invalid expression")
        seen.add(name)
    return parts


def captures(parts: tuple[Part, ...], line: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, value) of the named captures of a line.

    A literal at the beginning must begin the line. Of a literal that is not found, the capture before it takes the rest
    of the line, and those behind it are not given. What follows a literal at the end does not matter.
    """
    if not line:
        return
    at = 0
    for place, part in enumerate(parts):
        if not isinstance(part, Capture):
            if place == 0 and not line.startswith(part):
                return
            at += len(part)
            continue
        literal = parts[place + 1] if place + 1 < len(parts) else None
        stop = line.find(literal, at) if isinstance(literal, bytes) else -1
        if part.name != "_":
            yield part.name, line[at:] if stop < 0 else line[at:stop]
        if stop < 0:
            return
        at = stop
