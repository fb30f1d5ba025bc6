"""Values with units, as people write them: durations (int ns), sizes (int bytes) and moments (int ns since 1970).

Each has a parse and a format function, which undo one another, and an annotated type for the settings model that takes
either the text or the number. Parse functions raise ValueError; the text that a user sees is made in load.py from
the `Kind` that each type carries.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, PlainSerializer

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
YEAR = 365 * DAY

KB = 1 << 10
MB = 1 << 20
GB = 1 << 30
TB = 1 << 40

MAX_NS = (1 << 63) - 1
"""The longest duration, 292 years: Go's and numpy's int64 hold no more."""

_NS = {
    "ns": 1,
    "us": MICROSECOND,
    "\u00b5s": MICROSECOND,  # the micro sign, as Go prints it
    "\u03bcs": MICROSECOND,  # the Greek letter, which Go takes too
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
    "d": DAY,
    "w": WEEK,
    "y": YEAR,
}
_PART = re.compile(rf"(\d+(?:\.\d*)?|\.\d+)({'|'.join(sorted(_NS, key=len, reverse=True))})", re.ASCII)
_PROMETHEUS = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)
_PROMETHEUS_UNITS = (YEAR, WEEK, DAY, HOUR, MINUTE, SECOND, MILLISECOND)

_SIZE = re.compile(r"(\d+)\s*(?:([kmgtpe])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting holds, for error texts and docs/settings.md.

    Attributes:
        name: short, as a column of the settings table shows it.
        allowed: completes the sentence "... is not".
        items: whether it is a list of things with settings of their own, some of them secret: what is wrong in it is
            told by its place, and never shown.
    """

    name: str
    allowed: str
    items: bool = False


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration in any of the forms in use: `1m30s`, `1.5h`, `7d`, `1w`, `0`.

    Raises:
        ValueError: it is none, it has no unit, or it does not fit in 63 bits.
    """
    return _sum_parts(text, "")


def parse_go_duration(text: str) -> int:
    """Nanoseconds of a duration as Go's time.ParseDuration takes it: like parse_duration, but no d, w and y.

    Raises:
        ValueError: as parse_duration.
    """
    return _sum_parts(text, "dwy")


def parse_prometheus_duration(text: str) -> int:
    """Nanoseconds of a duration as Prometheus writes it: whole numbers, units from y to ms in falling order, each once.

    Raises:
        ValueError: as parse_duration.
    """
    if text == "0":
        return 0
    match = _PROMETHEUS.fullmatch(text)
    if match is None or not text:
        raise ValueError("not a duration")
    parts = zip(match.groups(), _PROMETHEUS_UNITS, strict=True)
    return _bounded(sum(int(number) * unit for number, unit in parts if number))


def _sum_parts(text: str, refused: str) -> int:
    if text == "0":
        return 0
    total = end = 0
    for match in _PART.finditer(text):
        number, unit = match.groups()
        if match.start() != end or unit in refused:
            raise ValueError("not a duration")
        whole, _, fraction = number.partition(".")
        total += int(whole or 0) * _NS[unit]
        if fraction:
            total += int(fraction) * _NS[unit] // 10 ** len(fraction)
        end = match.end()
    if end != len(text) or not text:
        raise ValueError("not a duration")
    return _bounded(total)


def _bounded(ns: int) -> int:
    if ns > MAX_NS:
        raise ValueError("too long a duration")
    return ns


def format_duration(ns: int) -> str:
    """The shortest usual writing of a duration, as Prometheus prints it: `30d1h`, `1w`, `1m30s`; `0s` for none.

    Weeks and years only where nothing is left over, as a "5w2d" is harder to read than "37d".
    """
    if ns == 0:
        return "0s"
    for unit, size in (("y", YEAR), ("w", WEEK)):
        if ns % size == 0:
            return f"{ns // size}{unit}"
    text = ""
    for unit in ("d", "h", "m", "s", "ms", "us", "ns"):
        count, ns = divmod(ns, _NS[unit])
        if count:
            text += f"{count}{unit}"
    return text


def parse_size(text: str) -> int:
    """Bytes of a size: `65536`, `256KB`, `64mb`, `4MiB`. K, M, G are powers of 1024 with or without the i, as in Loki.

    Raises:
        ValueError: it is none, or it does not fit in 63 bits.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("not a size")
    size = int(match[1]) << 10 * _POWER[(match[2] or "").lower()]
    if size >= 1 << 63:
        raise ValueError("too large a size")
    return size


def format_size(size: int) -> str:
    """A size in the largest unit that divides it: `256KB`, `64MB`, `1000B`; `0` for none."""
    if size == 0:
        return "0"
    power = 0
    while power < len(_POWER) - 1 and size % KB == 0:
        size //= KB
        power += 1
    return f"{size}{' KMGTPE'[power].strip()}B"


def parse_instant(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time such as `2026-01-31T15:00:00Z`; `0` for never.

    Raises:
        ValueError: it is none.
    """
    if text in ("0", ""):
        return 0
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not a time")
    day, clock, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}")
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return seconds * SECOND + int((fraction or "").ljust(9, "0"))


def format_instant(ns: int) -> str:
    """An RFC 3339 time in UTC with as many decimals as it needs; `0` for never."""
    if ns == 0:
        return "0"
    seconds, fraction = divmod(ns, SECOND)
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{(_EPOCH + timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S')}{decimals}Z"


def _reader(parse: Callable[[str], int]) -> BeforeValidator:
    """Takes the text or the number. True is no number here, though Python says it is 1."""

    def read(value: Any) -> int:
        if isinstance(value, str):
            return parse(value.strip())
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("neither text nor a whole number")  # noqa: TRY004 - pydantic reports ValueError only
        return value

    return BeforeValidator(read)


def _read_count(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic reports ValueError only
    return value


def _read_names(value: Any) -> Any:
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


Duration: TypeAlias = Annotated[
    int,
    _reader(parse_duration),
    Field(ge=0),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    Kind("duration", "a duration with a unit, such as 500ms, 30s, 1m30s, 7d"),
]
Size: TypeAlias = Annotated[
    int,
    _reader(parse_size),
    Field(ge=0),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    Kind("size", "a size in bytes or with a unit, such as 65536, 256KB, 64MB, 2GB"),
]
Instant: TypeAlias = Annotated[
    int,
    _reader(parse_instant),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
    Kind("time", "a time such as 2026-01-31T15:00:00Z, or 0"),
]
Count: TypeAlias = Annotated[int, BeforeValidator(_read_count), Field(ge=0), Kind("number", "a whole number from 0")]
Positive: TypeAlias = Annotated[int, BeforeValidator(_read_count), Field(ge=1), Kind("number", "a whole number from 1")]
Names: TypeAlias = Annotated[
    tuple[str, ...],
    BeforeValidator(_read_names),
    Kind("names", "a list of names (in a variable or a flag: with commas between)"),
]
