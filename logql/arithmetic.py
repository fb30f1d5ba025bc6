"""Operators of metric queries on two numbers, as IEEE 754 and Loki have them; nothing here raises."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
"""The operators that filter, or give 0 and 1 with `bool`."""


def divide(left: float, right: float) -> float:
    """`left / right`; NaN for a zero divisor, not infinity (Loki)."""
    return left / right if right else math.nan


def modulo(left: float, right: float) -> float:
    """The remainder with the sign of `left`; NaN for a zero divisor and for what has none."""
    return math.nan if not right or math.isinf(left) else math.fmod(left, right)


def power(base: float, exponent: float) -> float:
    """`base ^ exponent` with C's special cases, where Python raises."""
    odd = math.fmod(exponent, 2.0) in (1.0, -1.0) if math.isfinite(exponent) else False
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        if base:
            return math.nan
        return math.copysign(math.inf, base) if odd else math.inf


ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": divide,
    "%": modulo,
    "^": power,
}
"""The operators that make a new value."""


def apply(op: str, left: float, right: float) -> float:
    """`left op right` of two literals: comparisons are 1 or 0."""
    if op in COMPARISONS:
        return float(COMPARISONS[op](left, right))
    return ARITHMETIC[op](left, right)
