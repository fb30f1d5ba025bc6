"""Go's time.Duration: reading and writing."""

from __future__ import annotations

import re

from logql.literals import to_bytes
from logql.template.values import Named

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^0-9.]*)", re.ASCII)
_LIMIT = 1 << 63


class Duration(int, Named):
    """time.Duration, in ns."""

    __slots__ = ()
    go_type = "time.Duration"

    def text(self) -> str:
        """As Go prints it: 1h2m3.5s, 1.5ms, 0s."""
        ns = abs(int(self))
        sign = "-" if self < 0 else ""
        if ns == 0:
            return "0s"
        for unit, size in (("ns", 1), ("\u00b5s", 1_000), ("ms", 1_000_000)):
            if ns < size * 1000:
                return f"{sign}{_fraction(ns, size)}{unit}"
        minutes, rest = divmod(ns, 60_000_000_000)
        hours, minutes = divmod(minutes, 60)
        shown = f"{_fraction(rest, 1_000_000_000)}s"
        if hours:
            shown = f"{hours}h{minutes}m{shown}"
        elif minutes:
            shown = f"{minutes}m{shown}"
        return sign + shown


def _fraction(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def parse_duration(text: str) -> Duration:
    """time.ParseDuration.

    Raises:
        ValueError: with Go's text.
    """
    rest = text
    negative = rest[:1] == "-"
    if rest[:1] in {"-", "+"}:
        rest = rest[1:]
    if rest == "0":
        return Duration(0)
    if not rest:
        raise ValueError(f"time: invalid duration {_quote(text)}")
    total = 0
    while rest:
        match = _PART.match(rest)
        assert match is not None, "every part of the pattern is optional"
        whole, _, fraction, unit = match.groups()
        if not whole and not fraction:
            raise ValueError(f"time: invalid duration {_quote(text)}")
        if not unit:
            raise ValueError(f"time: missing unit in duration {_quote(text)}")
        if unit not in _UNITS:
            raise ValueError(f"time: unknown unit {_quote(unit)} in duration {_quote(text)}")
        part = int(whole[:40] or 0) * _UNITS[unit]
        if fraction:
            part += _fraction_ns(fraction, _UNITS[unit])
        total += part
        if len(whole) > 40 or total > _LIMIT:
            raise ValueError(f"time: invalid duration {_quote(text)}")
        rest = rest[match.end() :]
    if negative:
        return Duration(-total)
    if total >= _LIMIT:
        raise ValueError(f"time: invalid duration {_quote(text)}")
    return Duration(total)


def _fraction_ns(digits: str, unit: int) -> int:
    """A fraction as Go counts it: in float64, of as many digits as fit in 63 bits."""
    value, scale = 0, 1.0
    for digit in digits:
        if value > (_LIMIT - 1) // 10:
            break
        grown = value * 10 + int(digit)
        if grown > _LIMIT:
            break
        value = grown
        scale *= 10
    return int(float(value) * (float(unit) / scale))


def _quote(text: str) -> str:
    r"""Package time's own quoting: bytes that are no plain ASCII as \xNN."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char < " " or char >= "\x80":
            out.append("".join(f"\\x{byte:02x}" for byte in to_bytes(char)))
        else:
            out.append(char)
    return f'"{"".join(out)}"'
