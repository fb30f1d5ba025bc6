"""Go's conversions of a label's text to numbers, with Go's words for what is none.

strconv.ParseFloat, time.ParseDuration and humanize.ParseBytes: how label filters, unwrap and templates read values.
"""

from __future__ import annotations

import math
import re

from logql.literals import quote

_HEX_FLOAT = re.compile(r"[+-]?0[xX](?=[._]*[0-9a-fA-F])[0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?[pP][+-]?[0-9_]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?")
_LOOSE_UNDERSCORE = re.compile(r"(?<![0-9])_|_(?![0-9])")
_LOOSE_HEX_UNDERSCORE = re.compile(r"(?<![0-9a-fA-FxX])_|_(?![0-9a-fA-F])")
_SPECIAL = re.compile(r"[+-]?inf(?:inity)?|nan", re.IGNORECASE | re.ASCII)

_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5
    "μs": 1_000,  # U+03BC
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_MAX_NS = 1 << 63
_MAX_DIGITS = 19
_DURATION_PART = re.compile(r"(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")

_SIZES = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtpe", 1):
    _SIZES |= {_letter: 1000**_power, f"{_letter}b": 1000**_power}
    _SIZES |= {f"{_letter}i": 1024**_power, f"{_letter}ib": 1024**_power}


class ConversionError(ValueError):
    """A text is no number, duration or size. The text is Go's, and ends up in `__error_details__`."""


def parse_float(text: str) -> float:
    """The number that Go's ParseFloat reads: `1e3`, `0x1p-2`, `1_000`, `Inf`, `NaN`; no blanks, no `0x10`.

    Raises:
        ConversionError: it is none, or too large.
    """
    if _SPECIAL.fullmatch(text):
        return float(text)
    if _FLOAT.fullmatch(text) and not _LOOSE_UNDERSCORE.search(text):
        value = float(text.replace("_", ""))
    elif _HEX_FLOAT.fullmatch(text) and not _LOOSE_HEX_UNDERSCORE.search(text):
        try:
            value = float.fromhex(text.replace("_", ""))
        except OverflowError:
            value = math.inf
    else:
        raise ConversionError(f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax")
    if math.isinf(value):
        raise ConversionError(f"strconv.ParseFloat: parsing {quote(text)}: value out of range")
    return value


def parse_duration(text: str) -> int:
    """The ns of a Go duration: `1h30m`, `-1.5s`, `100ns`, `0`; a unit is needed, days are none.

    Raises:
        ConversionError: it is none, or beyond 64 bits.
    """
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise _no_duration(text)
    total = at = 0
    while at < len(rest):
        part = _DURATION_PART.match(rest, at)
        if part is None:
            raise _no_duration(text)
        whole, fraction, unit = part.groups()
        if not unit:
            raise ConversionError(f"time: missing unit in duration {_quote(text)}")
        if unit not in _NS:
            raise ConversionError(f"time: unknown unit {_quote(unit)} in duration {_quote(text)}")
        digits = whole.lstrip("0")
        if len(digits) > _MAX_DIGITS:
            raise _no_duration(text)
        total += int(digits or 0) * _NS[unit] + _fraction_ns(fraction or "", _NS[unit])
        if total > _MAX_NS:
            raise _no_duration(text)
        at = part.end()
    if text[0] == "-":
        return -total
    if total == _MAX_NS:
        raise _no_duration(text)
    return total


def _fraction_ns(digits: str, unit: int) -> int:
    """Go computes these in floats; digits that its 64 bits have no room for are dropped."""
    value = 0
    scale = 1.0
    for digit in digits:
        if value > (_MAX_NS - 1) // 10:
            break
        value = value * 10 + int(digit)
        scale *= 10
    return int(value * (unit / scale))


def _no_duration(text: str) -> ConversionError:
    return ConversionError(f"time: invalid duration {_quote(text)}")


def _quote(text: str) -> str:
    r"""Package time quotes in a way of its own: what is not printable ASCII goes byte for byte, as `\x..`."""
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if " " <= char < "\x80":
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def parse_bytes(text: str) -> int:
    """The bytes of a size as humanize reads it: `5KB` and `5 kb` are 5000, `5KiB` 5120; commas in numbers are dropped.

    Raises:
        ConversionError: it is none, or beyond 64 bits.
    """
    end = 0
    while end < len(text) and (text[end].isdecimal() or text[end] in ".,"):
        end += 1
    number = parse_float(text[:end].replace(",", ""))
    unit = text[end:].strip().lower()
    if unit not in _SIZES:
        raise ConversionError(f"unhandled size name: {unit}")
    value = number * _SIZES[unit]
    if value >= 2.0**64:
        raise ConversionError(f"too large: {text}")
    return int(value)
