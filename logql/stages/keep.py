"""`| keep a, b="x"`: all other labels removed."""

from __future__ import annotations

from dataclasses import dataclass

from logql import ast
from logql.stages.label_match import LabelMatch
from logql.stages.row import ERROR, ERROR_DETAILS, PRESERVE_ERROR, Row

_ALWAYS_KEPT = (ERROR, ERROR_DETAILS, PRESERVE_ERROR)


@dataclass(frozen=True, slots=True)
class Keep:
    """The stage. The labels of errors stay."""

    items: tuple[LabelMatch, ...]

    @classmethod
    def of(cls, node: ast.KeepStage) -> Keep:
        """The stage of a node. Raises RegexError."""
        return cls(tuple(map(LabelMatch.of, node.items)))

    def apply(self, row: Row) -> bool:
        """Removes labels."""
        for name, value in row.labels().items():
            if name not in _ALWAYS_KEPT and not any(item.name == name and item.accepts(value) for item in self.items):
                row.delete(name)
        return True
