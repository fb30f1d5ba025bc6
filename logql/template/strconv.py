"""Go's strconv for numbers: what it reads, what it refuses and in which words, and how it writes floats."""

from __future__ import annotations

import math
import re

from logql.template.quoting import quote

MIN_INT64, MAX_INT64 = -(1 << 63), (1 << 63) - 1
MAX_UINT64 = (1 << 64) - 1

_INTEGERS = {
    0: re.compile(
        r"[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)",
        re.ASCII,
    ),
    10: re.compile(r"[+-]?[0-9]+", re.ASCII),
}
_DECIMAL = re.compile(
    r"[+-]?(?:[0-9](?:_?[0-9])*(?:\.(?:[0-9](?:_?[0-9])*)?)?|\.[0-9](?:_?[0-9])*)(?:[eE][+-]?[0-9](?:_?[0-9])*)?",
    re.ASCII,
)
_HEX = re.compile(
    r"([+-]?)0[xX]((?:_?[0-9a-fA-F])*)(?:\.((?:[0-9a-fA-F](?:_?[0-9a-fA-F])*)?))?[pP]([+-]?[0-9](?:_?[0-9])*)",
    re.ASCII,
)
_SPECIAL = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}
_LONGEST_EXPONENT = 10_000
"""Beyond this a float is zero or infinite, whatever its digits (Go's bound too)."""


class NumberError(ValueError):
    """strconv's NumError, with its text."""

    def __init__(self, function: str, text: str, reason: str) -> None:
        super().__init__(f"strconv.{function}: parsing {quote(text)}: {reason}")


def parse_int(text: str, base: int, *, bits: int | None = 64) -> int:
    """strconv.ParseInt.

    Args:
        text: the number.
        base: 10, or 0 for the prefixes and underscores of Go's literals.
        bits: 64, or None for no bound.

    Raises:
        NumberError: it is none, or out of range.
    """
    if not _INTEGERS[base].fullmatch(text):
        raise NumberError("ParseInt", text, "invalid syntax")
    digits = text.replace("_", "")
    if base == 0 and re.fullmatch("[+-]?0[0-9]+", digits):
        value = int(digits, 8)
    elif len(digits) > 100 and bits is not None:
        raise NumberError("ParseInt", text, "value out of range")
    else:
        value = int(digits[:4000], base)
    if bits is not None and not MIN_INT64 <= value <= MAX_INT64:
        raise NumberError("ParseInt", text, "value out of range")
    return value


def parse_float(text: str) -> float:
    """strconv.ParseFloat: decimal, hexadecimal with an exponent, underscores between digits, Inf and NaN.

    Raises:
        NumberError: it is none, or too large.
    """
    if _DECIMAL.fullmatch(text):
        value = float(text.replace("_", ""))
    elif match := _HEX.fullmatch(text):
        value = _hex_float(text, *match.groups())
    else:
        sign, word = (text[0], text[1:]) if text[:1] in {"+", "-"} else ("", text)
        special = _SPECIAL.get(word.lower())
        if special is None or (sign and math.isnan(special)):
            raise NumberError("ParseFloat", text, "invalid syntax")
        return -special if sign == "-" else special
    if math.isinf(value):
        raise NumberError("ParseFloat", text, "value out of range")
    return value


def _hex_float(text: str, sign: str, whole: str, fraction: str | None, exponent: str) -> float:
    whole, fraction = whole.replace("_", ""), (fraction or "").replace("_", "")
    if not whole + fraction:
        raise NumberError("ParseFloat", text, "invalid syntax")
    power = max(-_LONGEST_EXPONENT, min(_LONGEST_EXPONENT, int(exponent.replace("_", "")[:20])))
    try:
        value = float.fromhex(f"0x{whole or '0'}.{fraction or '0'}p{power}")
    except OverflowError:
        value = math.inf
    return -value if sign == "-" else value


def format_float(value: float, verb: str, precision: int = -1) -> str:
    """strconv.FormatFloat of a 64-bit float.

    Args:
        value: the float.
        verb: one of b e E f g G x X.
        precision: digits (after the point; significant ones for g); -1 for as many as tell the value from others.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if verb == "b":
        return _binary(value)
    if verb in "xX":
        shown = _hexadecimal(value, precision)
        return shown.upper() if verb == "X" else shown
    if precision >= 0:
        return f"{value:.{precision}{verb}}" if precision <= 1000 else _long(value, verb, precision)
    return _shortest(value, verb)


def _long(value: float, verb: str, precision: int) -> str:
    """More digits than any float has: zeros are put in by hand, since Python's formats have a bound."""
    if verb in "gG":
        return f"{value:.1000{verb}}"
    shown = f"{value:.1000{verb}}".lower()
    mantissa, mark, exponent = shown.partition("e")
    longer = mantissa + "0" * (precision - 1000) + mark + exponent
    return longer.upper() if verb == "E" else longer


def _shortest(value: float, verb: str) -> str:
    """The fewest digits that read back as `value`; %g writes an exponent below -4 and from 6 on."""
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    digits, point = _digits(abs(value))
    exponent = point - 1
    lower = verb.lower()
    if lower == "e" or (lower == "g" and not -4 <= exponent < 6):
        mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
        return f"{sign}{mantissa}{'E' if verb.isupper() else 'e'}{exponent:+03d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}" if value else f"{sign}0"
    if point >= len(digits):
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}"


def _digits(value: float) -> tuple[str, int]:
    """The shortest digits of a float >= 0 and where its point stands: 0.digits * 10**point."""
    if value == 0:
        return "0", 1
    mantissa, _, exponent = f"{value!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    return digits.rstrip("0") or "0", point


def _binary(value: float) -> str:
    mantissa, exponent = math.frexp(value)
    whole = int(math.ldexp(mantissa, 53))
    exponent -= 53
    if exponent < -1074:  # a subnormal keeps the smallest exponent
        whole >>= -1074 - exponent
        exponent = -1074
    if whole == 0:
        exponent = -1074
    return f"{whole}p{exponent:+d}"


def _hexadecimal(value: float, precision: int) -> str:
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    value = abs(value)
    if value == 0:
        return f"{sign}0x0{'.' + '0' * precision if precision > 0 else ''}p+00"
    mantissa, exponent = math.frexp(value)
    bits, exponent = int(math.ldexp(mantissa, 53)), exponent - 1  # 1.52 bits
    if 0 <= precision < 13:
        shift = 52 - 4 * precision
        low, bits = bits & ((1 << shift) - 1), bits >> shift
        half = 1 << (shift - 1)
        bits += low > half or (low == half and bits & 1)
        if bits >> (4 * precision + 1):
            bits >>= 1
            exponent += 1
        fraction = f"{bits & ((1 << 4 * precision) - 1):0{precision}x}" if precision else ""
    else:
        fraction = f"{bits & ((1 << 52) - 1):013x}"
        fraction = fraction.rstrip("0") if precision < 0 else fraction + "0" * (precision - 13)
    return f"{sign}0x1{'.' + fraction if fraction else ''}p{exponent:+03d}"
