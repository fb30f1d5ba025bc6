"""`| regexp "(?P<a>...)"`: labels from the named groups of a regex's first match, as in Loki."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from logql import ast
from logql.errors import RegexError, StageError
from logql.regex import compile_regex, replacing_decode
from logql.stages.extracted import extract, free_name, label_name, raw_value
from logql.stages.hints import ALL, Hints
from logql.stages.row import Row

_GROUP = re.compile(r"\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|\(\?P?<([^>]*)>", re.DOTALL)
"""A named group, or something in which what looks like one is none."""
_NAME = re.compile("[a-zA-Z0-9_]+")


@dataclass(frozen=True, slots=True)
class RegexpParser:
    """The stage.

    Attributes:
        regex: compiled, for bytes.
        groups: (number, label) of the named groups, by number.
        hints: what is wanted.
    """

    regex: Any
    groups: tuple[tuple[int, str], ...]
    hints: Hints

    @classmethod
    def of(cls, node: ast.RegexpStage, hints: Hints = ALL) -> RegexpParser:
        """The stage of a node.

        Raises:
            StageError: it is no regex, has no named group, or two of one name.
        """
        try:
            regex = _compiled(node.pattern)
        except (RegexError, StageError) as error:
            raise StageError(f"invalid regexp parser: {error}") from None
        numbers = sorted((number, name) for name, number in regex.groupindex.items())
        return cls(regex, tuple((number, label_name(_as_bytes(name))) for number, name in numbers), hints)

    def apply(self, row: Row) -> bool:
        """Sets the labels; False: a filter on one of them drops the line."""
        for name, value in self._groups(row.line):
            if not extract(row, free_name(row, name), raw_value(value), self.hints):
                return False
        return True

    def _groups(self, line: bytes) -> list[tuple[str, bytes]]:
        """(label, text) of the groups of the first match, none if nothing matches; "" for a group that took no part."""
        text, offsets = _searchable(line)
        match = self.regex.search(text)
        if match is None:
            return []
        found = []
        for number, name in self.groups:
            start, stop = match.span(number)
            if offsets is not None and start >= 0:
                start, stop = offsets[start], offsets[stop]
            found.append((name, line[start:stop] if start >= 0 else b""))
        return found


def _compiled(pattern: str) -> Any:
    regex = compile_regex(pattern)
    names: set[str] = set()
    for found in _GROUP.finditer(pattern):
        name = found[1]
        if name is None:
            continue
        if not _NAME.fullmatch(name):  # RE2 takes letters of any script
            raise RegexError(f"error parsing regexp: invalid named capture: `{found[0]}`")
        if name in names:
            raise StageError(f"duplicate extracted label name '{name}'")
        names.add(name)
    if not names:
        raise StageError("at least one named capture must be supplied")
    return regex


def _as_bytes(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode()


def _searchable(line: bytes) -> tuple[bytes, list[int] | None]:
    """The line as Go's regexes see it, each byte that is not UTF-8 as U+FFFD.

    Returns:
        It, and for each offset in it that in the line; None when they are the same.
    """
    try:
        line.decode()
    except UnicodeDecodeError:
        text = replacing_decode(line)
    else:
        return line, None
    offsets: list[int] = []
    at = 0
    for char in text:
        raw = char.encode()
        offsets += [at] * len(raw)
        at += len(raw) if line.startswith(raw, at) else 1
    return text.encode(), [*offsets, at]
