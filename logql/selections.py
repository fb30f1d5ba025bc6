"""What a query reads: the selectors in it and how far from its own times each of them reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from logql.ast import BinaryOperation, Expr, LabelReplace, LogExpr, RangeAggregation, VectorAggregation
from logql.source import Matcher


@dataclass(frozen=True, slots=True)
class Selection:
    """One selector of a query.

    Attributes:
        matchers: of the selector.
        before: ns that it reaches back from the query's start.
        offset: ns that it ends before the query's end; negative if it ends after.
    """

    matchers: tuple[Matcher, ...]
    before: int = 0
    offset: int = 0


def selections(expr: Expr) -> Iterator[Selection]:
    """The selectors of a query, from left to right."""
    match expr:
        case LogExpr():
            yield Selection(expr.matchers)
        case RangeAggregation():
            window = expr.range
            yield Selection(window.log.matchers, window.range + window.offset, window.offset)
        case VectorAggregation() | LabelReplace():
            yield from selections(expr.operand)
        case BinaryOperation():
            yield from selections(expr.left)
            yield from selections(expr.right)
