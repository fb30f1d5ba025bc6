"""Pattern expressions: literals with captures `<name>` and `<_>` between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from logql.errors import StageError
from logql.literals import to_bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """`<name>`, or `<_>` which keeps nothing."""

    name: str

    def __str__(self) -> str:
        return f"<{self.name}>"


Part: TypeAlias = bytes | Capture
"""A literal or a capture. No two literals stand side by side."""

_CAPTURE = re.compile(r"<([a-zA-Z_][a-zA-Z0-9_]*)>")


def parse_pattern(text: str) -> tuple[Part, ...]:
    """The parts of a pattern. `<...>` around anything but a name is literal text.

    Raises:
        StageError: two captures stand side by side.
    """
    parts: list[Part] = []
    at = 0
    for match in _CAPTURE.finditer(text):
        if match.start() > at:
            parts.append(to_bytes(text[at : match.start()]))
        parts.append(Capture(match[1]))
        at = match.end()
    if at < len(text):
        parts.append(to_bytes(text[at:]))
    for left, right in pairwise(parts):
        if isinstance(left, Capture) and isinstance(right, Capture):
            raise StageError(f"found consecutive capture '{left}{right}': invalid expression")
    return tuple(parts)


def capture_names(text: str) -> list[str]:
    """The names of a pattern's named captures, in order."""
    return [name for name in _CAPTURE.findall(text) if name != "_"]


def parse_line_pattern(text: str) -> tuple[Part, ...]:
    """The parts of a line filter's pattern, whose captures must all be `<_>`.

    Raises:
        StageError: as `parse_pattern`, or a capture has a name.
    """
    parts = parse_pattern(text)
    for part in parts:
        if isinstance(part, Capture) and part.name != "_":
            raise StageError(f"named captures are not allowed: found '{part}'")
    return parts


def line_matches(parts: tuple[Part, ...], line: bytes) -> bool:
    """Whether a line has the shape of a line filter's pattern, by Loki's rules.

    Each literal is taken where it first occurs after the one before. A leading literal may stand anywhere; between
    literals, and after a last capture, there must be at least one byte; a last literal must end the line. The empty
    pattern is the shape of the empty line, and no other pattern is.
    """
    if not parts or not line:
        return not parts and not line
    end = 0
    for place, part in enumerate(parts):
        if isinstance(part, Capture):
            continue
        start = line.find(part, end)
        if start < 0 or (place > 0 and start == end):
            return False
        end = start + len(part)
    return isinstance(parts[-1], Capture) == (end < len(line))
