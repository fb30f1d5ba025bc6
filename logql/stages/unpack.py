"""`| unpack`: undoes Promtail's pack stage: strings of a JSON object become labels, `_entry` the line, as in Loki."""

from __future__ import annotations

from dataclasses import dataclass

from logql import ast
from logql.stages.extracted import JSON_ERROR, decode, fail, label_name
from logql.stages.hints import ALL, SUFFIX, Hints
from logql.stages.json_stage import string_text
from logql.stages.jsonscan import MALFORMED_ESCAPE, JsonError, Kind, fields, unescape
from logql.stages.row import Row

_ENTRY = b"_entry"
_NO_OBJECT = "expecting json object(6), but it is not"


@dataclass(frozen=True, slots=True)
class UnpackParser:
    """The stage. Nothing changes on a line without `_entry`, or one that is broken anywhere."""

    hints: Hints

    @classmethod
    def of(cls, _node: ast.UnpackStage, hints: Hints = ALL) -> UnpackParser:
        """The stage of a node."""
        return cls(hints)

    def apply(self, row: Row) -> bool:
        """Sets the labels and the line; False: a filter on a label drops the line."""
        if not row.line or self.hints.skip(row):
            return True
        if row.line[:1] != b"{":
            fail(row, JSON_ERROR, _NO_OBJECT, self.hints)
            return True
        try:
            labels, entry = self._unpack(row)
        except JsonError as error:
            fail(row, JSON_ERROR, str(error), self.hints)
            return True
        if entry is None:
            return True
        row.line = entry
        for name, value in labels:
            row.set(name, value)
            if not self.hints.passes(row, name):
                return False
        return True

    def _unpack(self, row: Row) -> tuple[list[tuple[str, str]], bytes | None]:
        labels: list[tuple[str, str]] = []
        entry = None
        for field in fields(row.line):
            if field.value.kind is not Kind.STRING:
                continue
            if field.key == _ENTRY:
                entry = unescape(field.value.raw)
                if entry is None:
                    raise JsonError(MALFORMED_ESCAPE)
                continue
            name = self._name(row, field.key)
            if name:
                labels.append((name, string_text(field.value.raw)))
        return labels, entry

    def _name(self, row: Row, key: bytes) -> str:
        """The label of a key, "" when it gives none. Names are compared as they are in the line, sanitised then."""
        plain = decode(key)
        if row.in_base(plain):
            plain, key = plain + SUFFIX, key + SUFFIX.encode()
        if row.was_set(plain) or not self.hints.wants(plain):
            return ""
        return label_name(key)
