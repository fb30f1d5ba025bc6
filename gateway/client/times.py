"""Times and durations as people type them on a command line. All results are ns."""

from __future__ import annotations

import re
from datetime import datetime

from gateway.client.errors import BadArgument

SECOND = 1_000_000_000

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3_600 * SECOND,
    "d": 86_400 * SECOND,
    "w": 7 * 86_400 * SECOND,
    "y": 365 * 86_400 * SECOND,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d|w|y)", re.ASCII)
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_UNIX = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def parse_duration(text: str) -> int:
    """A length of time in ns: what Go's and Prometheus' durations both allow (`90s`, `1h30m`, `1.5h`, `7d`, `1w`).

    Raises:
        BadArgument: no such duration, or one of no length.
    """
    total, at = 0.0, 0
    for part in _PART.finditer(text):
        if part.start() != at:
            break
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if at != len(text) or total < 1:
        raise BadArgument(f"{text!r} is no duration: give one like 90s, 1h30m or 7d")
    return int(total)


def parse_time(text: str) -> int:
    """A point in time in ns since the epoch: RFC 3339 with up to nine decimals, or a Unix time.

    A Unix time of up to 10 characters is in seconds, a longer one in ns, as Loki's HTTP API reads it.

    Raises:
        BadArgument: no such time.
    """
    if _UNIX.fullmatch(text):
        return int(text) * (SECOND if len(text) <= 10 else 1)
    parts = _RFC3339.fullmatch(text)
    if parts is not None:
        day, clock, fraction, zone = parts.groups()
        try:
            whole = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}")
        except ValueError as error:
            raise BadArgument(f"{text!r} is no time: {error}") from error
        return int(whole.timestamp()) * SECOND + int((fraction or "0").ljust(9, "0"))
    raise BadArgument(f"{text!r} is no time: give RFC 3339 (2026-08-22T14:00:00Z) or a Unix time in s or ns")


def time_window(now: int, *, start: str | None, end: str | None, since: str) -> tuple[int, int]:
    """(start, end) in ns from the three flags, by the rule of Loki's API: `start` beats `since`.

    Args:
        now: the present, ns; the end when none is given.
        start: a time, or None for min(end, now) - since.
        end: a time, or None for now.
        since: a duration.

    Raises:
        BadArgument: one of them cannot be read.
    """
    until = now if end is None else parse_time(end)
    if start is not None:
        return parse_time(start), until
    return min(until, now) - parse_duration(since), until
