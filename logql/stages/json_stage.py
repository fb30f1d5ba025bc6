"""`| json`: every string, number and boolean of the object that a line is becomes a label, as in Loki."""

from __future__ import annotations

from dataclasses import dataclass

from logql import ast
from logql.stages.extracted import JSON_ERROR, extract, fail, join_name, label_value, name_part, raw_value
from logql.stages.hints import ALL, SUFFIX, Hints
from logql.stages.jsonscan import Field, JsonError, Kind, Value, fields, unescape
from logql.stages.row import Row


@dataclass(frozen=True, slots=True)
class JsonParser:
    """The stage without expressions."""

    hints: Hints

    @classmethod
    def of(cls, _node: ast.JsonStage, hints: Hints = ALL) -> JsonParser:
        """The stage of a node."""
        return cls(hints)

    def apply(self, row: Row) -> bool:
        """Sets the labels; False: a filter on one of them drops the line."""
        if self.hints.skip(row):
            return True
        names = _Names(self.hints)
        try:
            for field in fields(row.line, names.enter):
                if field.value.kind in SCALAR and not self._extract(row, names.of(row, field), field.value):
                    return False
                if self.hints.done(row):
                    break
        except JsonError as error:
            fail(row, JSON_ERROR, str(error), self.hints)
        return True

    def _extract(self, row: Row, name: str, value: Value) -> bool:
        return not name or extract(row, name, scalar_text(value), self.hints)


class _Names:
    """Names of the members of one line.

    A nested name is put together when a value has it: a name for each depth of a deep line would fill the memory.
    """

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._outer: list[tuple[int, str]] = []  # (depth, part) of the objects around, without blank parts

    def enter(self, depth: int, key: bytes) -> bool:
        """Notes an object's key; whether the query may want what is in it."""
        self._back_to(depth)
        part = name_part(key)
        if not part:
            return True
        self._outer.append((depth, part))
        return not self._hints.required or self._hints.wants_prefix(self._joined())

    def of(self, row: Row, field: Field) -> str:
        """The label of a field, "" when it gives none. If the name is taken, the last key gets the suffix."""
        self._back_to(field.depth)
        name = self._joined(name_part(field.key))
        if not row.in_base(name):
            return name
        return self._joined(name_part(field.key + SUFFIX.encode())) if field.depth else name + SUFFIX

    def _back_to(self, depth: int) -> None:
        while self._outer and self._outer[-1][0] >= depth:
            self._outer.pop()

    def _joined(self, *last: str) -> str:
        return join_name((*(part for _, part in self._outer), *last))


SCALAR = frozenset({Kind.STRING, Kind.NUMBER, Kind.BOOLEAN})
"""Kinds of values that become labels."""


def scalar_text(value: Value) -> str:
    """A string's text, "" if it has a bad escape; any other value as it is written."""
    return string_text(value.raw) if value.kind is Kind.STRING else raw_value(value.raw)


def string_text(raw: bytes) -> str:
    """The label value of a JSON string, "" if it has a bad escape."""
    text = unescape(raw)
    return "" if text is None else label_value(text)
