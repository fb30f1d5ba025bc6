"""Flat chains of operators -> trees: what binds tighter (as in Loki), and the folding of two numbers to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, TypeVar

from logql.arithmetic import apply
from logql.ast import BinaryFilter, BinaryOperation, Expr, LabelFilter, Literal, LogExpr, Matching, MetricExpr
from logql.errors import ParseError
from logql.numbers import fixed

T = TypeVar("T")
Operand = TypeVar("Operand")

_BINDING = MappingProxyType(
    {
        "or": 1,
        **dict.fromkeys(("and", "unless"), 2),
        **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 3),
        **dict.fromkeys(("+", "-"), 4),
        **dict.fromkeys(("*", "/", "%"), 5),
        "^": 6,
    }
)
"""How tightly an operator binds."""

_FROM_THE_RIGHT = "^"

_SET_OPERATORS = frozenset({"or", "and", "unless"})

FilterChain: TypeAlias = list[tuple[str, LabelFilter]]
"""Operators (`and`, `or`, `,`, "" for none at all) with what follows each; the first operator says nothing."""


class BinaryOperator(NamedTuple):
    """An operator of a metric query with what was written beside it."""

    op: str
    matching: Matching


Chain: TypeAlias = list[tuple[BinaryOperator, Expr]]
"""Operators with what follows each; the first operator says nothing."""


def group_filters(chain: FilterChain) -> LabelFilter:
    """One label filter. `and` binds tighter than `or`; after a comma or none at all everything goes to the right.

    That is yacc's answer to operators whose precedence is not declared: it shifts.
    """

    def reduces(top: str, following: str) -> bool:
        return top in _BINDING and following in _BINDING and _BINDING[top] >= _BINDING[following]

    def joined(op: str, left: LabelFilter, right: LabelFilter) -> LabelFilter:
        return BinaryFilter("or" if op == "or" else "and", left, right, at=left.at)

    return _grouped(chain, reduces, joined)


def group_operations(chain: Chain) -> Expr:
    """One expression.

    Raises:
        ParseError: a log query is an operand, or a number is one of a set operation.
    """

    def reduces(top: BinaryOperator, following: BinaryOperator) -> bool:
        if top.op == following.op == _FROM_THE_RIGHT:
            return False
        return _BINDING[top.op] >= _BINDING[following.op]

    return _grouped(chain, reduces, _operation)


def _grouped(
    chain: Sequence[tuple[T, Operand]],
    reduces: Callable[[T, T], bool],
    joined: Callable[[T, Operand, Operand], Operand],
) -> Operand:
    """An operator-precedence parse: an operator takes its operands once the next one does not bind tighter."""
    operands = [chain[0][1]]
    operators: list[T] = []

    def reduce() -> None:
        right = operands.pop()
        operands.append(joined(operators.pop(), operands.pop(), right))

    for operator, operand in chain[1:]:
        while operators and reduces(operators[-1], operator):
            reduce()
        operators.append(operator)
        operands.append(operand)
    while operators:
        reduce()
    return operands[0]


def _operation(operator: BinaryOperator, left: Expr, right: Expr) -> MetricExpr:
    legs = [_metric(each, side, operator.op) for each, side in ((left, "left"), (right, "right"))]
    if operator.op in _SET_OPERATORS:
        for leg, side in zip(legs, ("left", "right"), strict=True):
            if isinstance(leg, Literal):
                what = f"unexpected literal for {side} leg of logical/set binary operation ({operator.op})"
                raise ParseError(f"{what}: {fixed(leg.value)}")
    first, second = legs
    if isinstance(first, Literal) and isinstance(second, Literal):
        return Literal(apply(operator.op, first.value, second.value), at=first.at)
    return BinaryOperation(operator.op, first, second, operator.matching, at=first.at)


def _metric(expr: Expr, side: str, op: str) -> MetricExpr:
    if isinstance(expr, LogExpr):
        kind = "PipelineExpr" if expr.stages else "MatchersExpr"
        raise ParseError(f"unexpected type for {side} leg of binary operation ({op}): *syntax.{kind}")
    return expr
