"""`| drop a, b="x"`: labels removed, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass

from logql import ast
from logql.stages.label_match import LabelMatch
from logql.stages.row import ERROR, ERROR_DETAILS, Row


@dataclass(frozen=True, slots=True)
class Drop:
    """The stage. Dropping `__error__` or `__error_details__` resets that of the two."""

    items: tuple[LabelMatch, ...]

    @classmethod
    def of(cls, node: ast.DropStage) -> Drop:
        """The stage of a node. Raises RegexError."""
        return cls(tuple(map(LabelMatch.of, node.items)))

    def apply(self, row: Row) -> bool:
        """Removes labels."""
        for item in self.items:
            if item.accepts(_value(row, item.name)):
                row.delete(item.name)
        return True


def _value(row: Row, name: str) -> str:
    if name == ERROR:
        return row.error
    return row.details if name == ERROR_DETAILS else row.get(name) or ""
