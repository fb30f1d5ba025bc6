"""Durations and sizes as Prometheus and Go read and print them, where queries contain them.

What Go reads (`1.5h`, `5KB`) is in convert.py, which values of labels go through as well.
"""

from __future__ import annotations

import math
import re

from logql.convert import ConversionError
from logql.literals import quote

MAX_NS = (1 << 63) - 1

_SECOND = 1_000_000_000
_UNITS = {
    "y": (1, 365 * 86_400 * _SECOND),
    "w": (2, 7 * 86_400 * _SECOND),
    "d": (3, 86_400 * _SECOND),
    "h": (4, 3_600 * _SECOND),
    "m": (5, 60 * _SECOND),
    "s": (6, _SECOND),
    "ms": (7, 1_000_000),
}
"""Unit of a Prometheus duration -> (place in the order of size, ns)."""

_PRINTED_WHOLE = frozenset("yw")
"""Units that Prometheus prints only if they divide the duration."""

_STEP = re.compile(r"([0-9]+)([^0-9]*)")
_MAX_DIGITS = 19
_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def parse_prometheus_duration(text: str) -> int:
    """A Prometheus duration (`1h30m`, `7d`, `0`) in ns: units once each, from large to small, no sign, no fraction.

    Raises:
        ConversionError: in Prometheus' words.
    """
    if text == "0":
        return 0
    if not text:
        raise ConversionError("empty duration string")
    total, place, at = 0, 0, 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or not match[2] or len(match[1]) > _MAX_DIGITS:
            raise ConversionError(f"not a valid duration string: {quote(text)}")
        if match[2] not in _UNITS:
            raise ConversionError(f"unknown unit {quote(match[2])} in duration {quote(text)}")
        order, size = _UNITS[match[2]]
        if order <= place:
            raise ConversionError(f"not a valid duration string: {quote(text)}")
        total += int(match[1]) * size
        if total > MAX_NS:
            raise ConversionError("duration out of range")
        place, at = order, match.end()
    return total


def print_prometheus_duration(ns: int) -> str:
    """As a range is printed: `1d12h`, `90s` as `1m30s`, `0s`; what is below a millisecond is cut off."""
    rest = ns // 1_000_000
    parts = []
    for unit, (_, size) in _UNITS.items():
        length = size // 1_000_000
        if unit in _PRINTED_WHOLE and rest % length:
            continue
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def print_duration(ns: int) -> str:
    """As Go prints a duration: `1h0m0s`, `1.5s`, `100ns`, `-5m0s`, `0s`."""
    sign = "-" if ns < 0 else ""
    seconds, rest = divmod(abs(ns), _SECOND)
    if not seconds and rest:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if rest >= size:
                return f"{sign}{_decimal(*divmod(rest, size), size)}{unit}"
    minutes, last = divmod(seconds, 60)
    tail = f"{_decimal(last, rest, _SECOND)}s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{tail}"
    return f"{sign}{minutes}m{tail}" if minutes else f"{sign}{tail}"


def _decimal(whole: int, rest: int, size: int) -> str:
    """`whole` and rest/size, size a power of ten."""
    if not rest:
        return str(whole)
    fraction = f"{rest:0{len(str(size)) - 1}d}".rstrip("0")
    return f"{whole}.{fraction}"


def print_size(size: int) -> str:
    """A number of bytes as humanize prints it, without its blank: `10kB`, `1.5kB`, `83MB`; two digits at most count."""
    if size < 10:
        return f"{size}B"
    power = min(int(math.log(size) / math.log(1000)), len(_SIZE_UNITS) - 1)
    value = math.floor(size / 1000**power * 10 + 0.5) / 10
    return f"{value:.1f}{_SIZE_UNITS[power]}" if value < 10 else f"{value:.0f}{_SIZE_UNITS[power]}"
