"""Numbers as Go prints them."""

from __future__ import annotations

import math

_MIN_EXPONENT = -4
_MAX_EXPONENT = 6


def plain(value: float) -> str:
    """All digits, none too many and no exponent: FormatFloat(value, 'f', -1, 64). `NaN`, `+Inf`, `-Inf`."""
    if not math.isfinite(value):
        return _named(value)
    sign, digits, point = _parts(value)
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}" if digits != "0" else f"{sign}0"
    if len(digits) <= point:
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    return f"{sign}{digits[:point]}.{digits[point:]}"


def short(value: float) -> str:
    """As the verb %v: `plain`, but an exponent for less than 1e-4 and for 1e6 and more."""
    if not math.isfinite(value):
        return _named(value)
    sign, digits, point = _parts(value)
    exponent = point - 1
    if digits == "0" or _MIN_EXPONENT <= exponent < _MAX_EXPONENT:
        return plain(value)
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{exponent:+03d}"


def fixed(value: float) -> str:
    """Six decimals: the verb %f."""
    return f"{value:.6f}" if math.isfinite(value) else _named(value)


def _named(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def _parts(value: float) -> tuple[str, str, int]:
    """Sign, the shortest digits that give the value back, and where the point is in them."""
    mantissa, _, exponent = repr(value).lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = f"{whole}{fraction}".lstrip("0")
    leading = len(whole + fraction) - len(digits)
    point = len(whole) - leading + int(exponent or 0)
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    digits = digits.rstrip("0")
    return (sign, digits, point) if digits else (sign, "0", 1)
