"""`| logfmt`: every key of a line of `key=value` pairs becomes a label, as in Loki."""

from __future__ import annotations

from dataclasses import dataclass

from logql import ast
from logql.stages.extracted import LOGFMT_ERROR, extract, fail, free_name, label_name, label_value
from logql.stages.hints import ALL, Hints
from logql.stages.logfmt_scan import Fault, pairs
from logql.stages.row import ERROR, Row


@dataclass(frozen=True, slots=True)
class LogfmtParser:
    """The stage without expressions.

    Attributes:
        strict: the first fault ends the line and is an error; else what is faulty is passed over.
        keep_empty: keys without a value are labels too.
        hints: what is wanted.
    """

    strict: bool
    keep_empty: bool
    hints: Hints

    @classmethod
    def of(cls, node: ast.LogfmtStage, hints: Hints = ALL) -> LogfmtParser:
        """The stage of a node."""
        return cls(node.strict, node.keep_empty, hints)

    def apply(self, row: Row) -> bool:
        """Sets the labels; False: a filter on one of them, or on `__error__`, drops the line."""
        if self.hints.skip(row):
            return True
        for pair in pairs(row.line):
            if isinstance(pair, Fault):
                if self.strict:
                    fail(row, LOGFMT_ERROR, pair.text, self.hints)
                    return self.hints.passes(row, ERROR)
                continue
            name = label_name(pair.key)
            if not name or not (pair.value or self.keep_empty):
                continue
            if not extract(row, free_name(row, name), label_value(pair.value), self.hints):
                return False
            if self.hints.done(row):
                break
        return True
