"""Numbers, times and durations as Loki's parameters write them: strconv's and Prometheus' grammars, in their words.

Everything is an int in ns. Times outside int64 are clamped to its ends: they mean "before" or "after everything".
"""

from __future__ import annotations

import datetime as dt
import math
import re

from gateway.query.errors import BadParameter
from storage.labels import quote as go_quote

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
SECOND = 1_000_000_000

_INT = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_HEX_FLOAT = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+(\.[0-9a-fA-F]*)?|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+", re.ASCII)
_NAMED_FLOAT = re.compile(r"[+-]?inf(inity)?|nan", re.IGNORECASE)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_STEP = re.compile(r"([0-9]+)([^0-9]*)", re.ASCII)
_EPOCH = dt.date(1970, 1, 1)

_UNITS = {
    "y": (1, 365 * 86_400 * SECOND),
    "w": (2, 7 * 86_400 * SECOND),
    "d": (3, 86_400 * SECOND),
    "h": (4, 3_600 * SECOND),
    "m": (5, 60 * SECOND),
    "s": (6, SECOND),
    "ms": (7, SECOND // 1000),
}
"""Unit of a Prometheus duration -> (place in the order of size, ns)."""


def parse_int(text: str, function: str) -> int:
    """A base-10 int64.

    Args:
        text: what to read.
        function: the Go function whose name the error carries: ParseInt or Atoi.

    Raises:
        BadParameter: as strconv's NumError.
    """
    if not _INT.fullmatch(text):
        raise BadParameter(f"strconv.{function}: parsing {go_quote(text)}: invalid syntax")
    # Python refuses to read thousands of digits; no int64 has more than 19.
    value = int(text) if len(text) < 100 else INT64_MAX + 1
    if not INT64_MIN <= value <= INT64_MAX:
        raise BadParameter(f"strconv.{function}: parsing {go_quote(text)}: value out of range")
    return value


def parse_float(text: str) -> float | None:
    """A float64 as strconv.ParseFloat reads it; None where that is an error."""
    if _FLOAT.fullmatch(text) or _NAMED_FLOAT.fullmatch(text):
        value = float(text)
    elif _HEX_FLOAT.fullmatch(text):
        try:
            value = float.fromhex(text)
        except OverflowError:
            return None
    else:
        return None
    return None if math.isinf(value) and "n" not in text.lower() else value


def parse_timestamp(text: str, default: int) -> int:
    """A time: float seconds (kept to ms), seconds or ns as an integer, or RFC 3339.

    An integer of at most 10 characters is seconds, a longer one is ns: 13 digits of milliseconds are a moment in 1970.

    Args:
        text: the parameter; "" means `default`.
        default: ns.

    Raises:
        BadParameter: strconv's error for an integer, whatever the text was meant to be.
    """
    if not text:
        return default
    if "." in text and (seconds := parse_float(text)) is not None:
        return _of_seconds(seconds)
    try:
        number = parse_int(text, "ParseInt")
    except BadParameter:
        if (moment := parse_rfc3339(text)) is not None:
            return moment
        raise
    return clamp(number * SECOND) if len(text.encode()) <= 10 else number


def _of_seconds(seconds: float) -> int:
    fraction, whole = math.modf(seconds)
    # Loki's arithmetic, float by float: half away from zero to ms, then to ns.
    milliseconds = math.floor(abs(fraction) * 1000 + 0.5)
    return clamp(int(whole) * SECOND + int(math.copysign(milliseconds / 1000, fraction) * SECOND))


def parse_rfc3339(text: str) -> int | None:
    """A time as Go's time.RFC3339Nano reads it; None if it is none. Digits past ns are dropped."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        # Year 0 exists in Go and not in Python; it has the calendar of year 400 and lies as far before it.
        days = (dt.date(year or 400, month, day) - _EPOCH).days - (0 if year else 146_097)
    except ValueError:
        return None
    offset = 0
    if match[8]:
        hours, minutes = int(match[9]), int(match[10])
        if hours > 24 or minutes > 60:
            return None
        offset = (hours * 3600 + minutes * 60) * (1 if match[8] == "+" else -1)
    nanos = int((match[7] or "0")[:9].ljust(9, "0"))
    return clamp((days * 86_400 + hour * 3600 + minute * 60 + second - offset) * SECOND + nanos)


def rfc3339(ns: int) -> str:
    """A time as Go's time.RFC3339Nano writes it: UTC, no more digits of the second than it has."""
    seconds, nanos = divmod(ns, SECOND)
    day = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(seconds=seconds)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{day:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def parse_duration(text: str) -> int:
    """A Prometheus duration (`1h30m`, `7d`) in ns: units once each, from large to small, no sign, no fraction.

    Raises:
        BadParameter: in Prometheus' words.
    """
    if text == "0":
        return 0
    if not text:
        raise BadParameter("empty duration string")
    total, place, at = 0, 0, 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or not match[2] or len(match[1]) > 19:
            raise BadParameter(f"not a valid duration string: {go_quote(text)}")
        if match[2] not in _UNITS:
            raise BadParameter(f"unknown unit {go_quote(match[2])} in duration {go_quote(text)}")
        order, size = _UNITS[match[2]]
        if order <= place:
            raise BadParameter(f"not a valid duration string: {go_quote(text)}")
        total += int(match[1]) * size
        if total > INT64_MAX:
            raise BadParameter("duration out of range")
        place, at = order, match.end()
    return total


def parse_seconds_or_duration(text: str) -> int:
    """`step` and `interval` in ns: float seconds, or a Prometheus duration.

    Raises:
        BadParameter: in Loki's words.
    """
    if (seconds := parse_float(text)) is not None:
        if math.isnan(seconds):
            return INT64_MIN
        if not INT64_MIN <= seconds * SECOND <= INT64_MAX:
            raise BadParameter(f"cannot parse {go_quote(text)} to a valid duration. It overflows int64")
        return clamp(int(seconds * SECOND))
    try:
        return parse_duration(text)
    except BadParameter as error:
        raise BadParameter(f"cannot parse {go_quote(text)} to a valid duration") from error


def go_duration(ns: int) -> str:
    """A duration as Go prints it, whole seconds and up: `800h0m0s`, `1m30s`, `0s`."""
    seconds, rest = divmod(abs(ns), SECOND)
    sign = "-" if ns < 0 else ""
    if rest:
        return f"{sign}{_trim(seconds, rest)}"
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds % 60}s"
    return f"{sign}{minutes}m{seconds % 60}s" if minutes else f"{sign}{seconds}s"


def _trim(seconds: int, rest: int) -> str:
    if not seconds:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if rest >= size:
                fraction = f"{rest % size:0{len(str(size)) - 1}d}".rstrip("0") if size > 1 else ""
                return f"{rest // size}{'.' + fraction if fraction else ''}{unit}"
    hours, minutes = seconds // 3600, seconds // 60 % 60
    tail = f"{seconds % 60}.{rest:09d}".rstrip("0") + "s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


def prometheus_duration(ns: int) -> str:
    """A duration as Prometheus prints it: `30d1h`, `1h30m`, `0s`. Years and weeks only where they divide it."""
    milliseconds = ns // 1_000_000
    if milliseconds == 0:
        return "0s"
    parts = []
    for unit, (_, size) in _UNITS.items():
        length = size // 1_000_000
        if unit in {"y", "w"} and milliseconds % length:
            continue
        count, milliseconds = divmod(milliseconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def clamp(number: int) -> int:
    """The nearest int64."""
    return max(INT64_MIN, min(INT64_MAX, number))
