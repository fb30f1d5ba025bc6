"""`| json a="b.c[0]"`: labels from chosen places of a JSON line, as in Loki."""

from __future__ import annotations

from dataclasses import dataclass

from logql import ast
from logql.stages.extracted import JSON_ERROR, fail, free_name, raw_value
from logql.stages.hints import ALL, Hints
from logql.stages.json_path import parse_json_path
from logql.stages.json_stage import string_text
from logql.stages.jsonkeys import Path, values_at
from logql.stages.jsonscan import JsonError, Kind, Value
from logql.stages.row import Row


@dataclass(frozen=True, slots=True)
class JsonExpressions:
    """The stage with expressions. It sets every one of its labels, and sets again what earlier stages parsed."""

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    hints: Hints

    @classmethod
    def of(cls, node: ast.JsonStage, hints: Hints = ALL) -> JsonExpressions:
        """The stage of a node.

        Raises:
            StageError: an expression is none.
        """
        paths = tuple(parse_json_path(extraction.expression) for extraction in node.extractions)
        return cls(tuple(extraction.name for extraction in node.extractions), paths, hints)

    def apply(self, row: Row) -> bool:
        """Sets the labels; keeps every line."""
        if not row.line or self.hints.skip(row):
            return True
        if row.line[0] not in b'{["':
            fail(row, JSON_ERROR, "", self.hints)
            return True
        found = 0
        for number, value in values_at(row.line, self.paths):
            if isinstance(value, JsonError):
                fail(row, JSON_ERROR, str(value), self.hints)
            else:
                row.set(free_name(row, self.names[number]), _text(value))
                found += 1
        if found < len(self.names):
            for name in self.names:
                if row.get(name) is None:
                    row.set(name, "")
        return True


def _text(value: Value) -> str:
    """An object as it is written, "" for null; of all others, arrays too, escapes are undone."""
    if value.kind is Kind.NULL:
        return ""
    return raw_value(value.raw) if value.kind is Kind.OBJECT else string_text(value.raw)
