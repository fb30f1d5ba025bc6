"""Times as pushes carry them: seconds and nanoseconds, or RFC 3339 text; out come nanoseconds since the epoch."""

from __future__ import annotations

import re
from datetime import date

ZERO_TIME = -6795364578871345152
"""What Go makes of its zero time (year 1) in int64 nanoseconds: the time of an entry that has none."""

FIRST, LAST = -(1 << 63), (1 << 63) - 1
"""What int64 nanoseconds can say: 1677-09-21 to 2262-04-11."""

_LAYOUT = '"2006-01-02T15:04:05Z07:00"'
_PARTS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (rb"\d{4}", "2006"),
        (rb"-", "-"),
        (rb"\d{2}", "01"),
        (rb"-", "-"),
        (rb"\d{2}", "02"),
        (rb"T", "T"),
        (rb"\d{2}", "15"),
        (rb":", ":"),
        (rb"\d{2}", "04"),
        (rb":", ":"),
        (rb"\d{2}", "05"),
        (rb"(?:[.,]\d+)?(?:Z|[+-]\d{2}:\d{2})", "Z07:00"),
    )
)
_TIME = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))",
)


class BadTime(Exception):  # noqa: N818 - internal to the decoders: becomes MalformedPush
    """A text is no RFC 3339 time; the message is Go's."""


def nanoseconds(seconds: int, nanos: int) -> int:
    """One time in ns; what int64 cannot hold wraps around, as Go's UnixNano does."""
    return (seconds * 1_000_000_000 + nanos - FIRST) % (1 << 64) + FIRST


def signed(unsigned: int) -> int:
    """uint64 nanoseconds as the int64 of the same bits: what Loki makes of OTLP's times."""
    return nanoseconds(0, unsigned)


def rfc3339(text: bytes) -> int:
    """The time of an RFC 3339 text, digits behind the ninth cut off; what int64 cannot hold wraps around.

    Raises:
        BadTime: the text is none.
    """
    return nanoseconds(0, rfc3339_unbounded(text))


def rfc3339_unbounded(text: bytes) -> int:
    """As `rfc3339`, from year 0 to year 9999.

    Raises:
        BadTime: the text is none.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise _refused(text)
    year, month, day, hour, minute, second = (int(found[group]) for group in range(1, 7))
    if not 1 <= month <= 12:
        raise _refused(text, ": month out of range")
    try:
        # date has no year 0: one cycle of the calendar later, then back.
        days = date(year or 400, month, day).toordinal() - _EPOCH - (0 if year else _CYCLE)
    except ValueError:
        raise _refused(text, ": day out of range") from None
    for value, most, name in ((hour, 23, "hour"), (minute, 59, "minute"), (second, 59, "second")):
        if value > most:
            raise _refused(text, f": {name} out of range")
    offset = 0
    if found[8]:
        hours, minutes = int(found[9]), int(found[10])
        if hours > 24 or minutes > 60:
            raise _refused(text, ": time zone offset " + ("hour" if hours > 24 else "minute") + " out of range")
        offset = (hours * 3600 + minutes * 60) * (-1 if found[8] == b"-" else 1)
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - offset
    return seconds * 1_000_000_000 + int((found[7] or b"")[:9].ljust(9, b"0"))


_EPOCH = date(1970, 1, 1).toordinal()
_CYCLE = 146097
"""Days of the calendar's 400 years."""


def _quoted(text: bytes) -> str:
    """A text as Go's time package quotes it: control characters and all beyond ASCII byte by byte."""
    return '"' + "".join(_SHOWN[byte] for byte in text) + '"'


_SHOWN = [chr(byte) if 0x20 <= byte < 0x80 else f"\\x{byte:02x}" for byte in range(256)]
_SHOWN[ord('"')], _SHOWN[ord("\\")] = '\\"', "\\\\"


def _refused(text: bytes, reason: str = "") -> BadTime:
    shown = _quoted(text)
    if reason:
        return BadTime(f"parsing time {shown}{reason}")
    at = 0
    for pattern, name in _PARTS:
        part = pattern.match(text, at)
        if part is None:
            return BadTime(f'parsing time {shown} as {_LAYOUT}: cannot parse {_quoted(text[at:])} as "{name}"')
        at = part.end()
    return BadTime(f"parsing time {shown}: extra text: {_quoted(text[at:])}")
