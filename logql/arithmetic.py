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
    """`base ^ exponent` with C's special cases, as Go has it; the last digit of a broken exponent's may be another.

    Go multiplies by squares for the whole part of the exponent and takes exp and log for the rest; C's pow is closer
    to the true power.
    """
    if not base or not math.isfinite(base) or not math.isfinite(exponent) or exponent in (0.0, 1.0) or base == 1.0:
        return _special_power(base, exponent)
    if abs(exponent) == 0.5 and base > 0:
        root = math.sqrt(base)
        return root if exponent > 0 else 1 / root
    rest, whole = math.modf(abs(exponent))
    if (rest and base < 0) or whole >= 1 << 63:
        return _special_power(base, exponent)
    fraction, twos = 1.0, 0
    if rest:
        if rest > 0.5:
            rest, whole = rest - 1, whole + 1
        fraction = math.exp(rest * math.log(base))
    square, square_twos = math.frexp(base)
    bits = int(whole)
    while bits:
        if abs(square_twos) > _TWOS_THAT_OVERFLOW:
            twos += square_twos
            break
        if bits & 1:
            fraction *= square
            twos += square_twos
        square *= square
        square_twos *= 2
        if square < 0.5:
            square += square
            square_twos -= 1
        bits >>= 1
    if exponent < 0:
        fraction, twos = 1 / fraction, -twos
    try:
        return math.ldexp(fraction, twos)
    except OverflowError:
        return math.copysign(math.inf, fraction)


_TWOS_THAT_OVERFLOW = 1 << 12


def _special_power(base: float, exponent: float) -> float:
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
