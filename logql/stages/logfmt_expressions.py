"""`| logfmt a="b"`: labels from chosen keys of a logfmt line, as in Loki."""

from __future__ import annotations

from dataclasses import dataclass

from logql import ast
from logql.stages.extracted import LOGFMT_ERROR, decode, fail, free_name, label_name, raw_value
from logql.stages.hints import ALL, Hints
from logql.stages.json_path import parse_logfmt_key
from logql.stages.logfmt_scan import Fault, pairs
from logql.stages.row import Row


@dataclass(frozen=True, slots=True)
class LogfmtExpressions:
    """The stage with expressions. Each of its labels is set, "" at first; of a repeated key the last one counts.

    Attributes:
        names: the labels.
        sources: sanitised key -> the label that it gives. A key called as one of the labels gives that one too.
        strict: the first fault ends the line and is an error.
        hints: what is wanted.
    """

    names: tuple[str, ...]
    sources: dict[str, str]
    strict: bool
    hints: Hints

    @classmethod
    def of(cls, node: ast.LogfmtStage, hints: Hints = ALL) -> LogfmtExpressions:
        """The stage of a node.

        Raises:
            StageError: an expression is none.
        """
        expressions = {part.name: parse_logfmt_key(part.expression) for part in node.extractions}
        sources = {name: name for name in expressions}
        # Of two labels for one key Loki takes any, a new one each line; here it is the first.
        sources |= {key: name for name, key in reversed(expressions.items()) if key is not None}
        return cls(tuple(expressions), sources, node.strict, hints)

    def apply(self, row: Row) -> bool:
        """Sets the labels; keeps every line."""
        if self.hints.skip(row):
            return True
        for name in self.names:
            if not row.in_base(name):
                row.set(name, "")
        for pair in pairs(row.line):
            if isinstance(pair, Fault):
                if self.strict:
                    fail(row, LOGFMT_ERROR, pair.text, self.hints)
                    break
                continue
            source = self.sources.get(label_name(pair.key))
            if source is None:
                continue
            name = free_name(row, source)
            if name != source and (row.was_set(name) or not self.hints.wants(name)):
                break
            row.set(name, "" if "\ufffd" in decode(pair.value) else raw_value(pair.value))
        return True
