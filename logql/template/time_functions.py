"""Functions on times, and the methods of time.Time and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from logql.literals import to_text
from logql.template.durations import Duration
from logql.template.errors import CallError
from logql.template.number_functions import duration_in
from logql.template.signatures import Function, Type
from logql.template.strconv import NumberError, parse_int
from logql.template.time_parse import BadTime, parse_time
from logql.template.times import (
    SECOND,
    ZERO_SECONDS,
    Location,
    Month,
    Time,
    Weekday,
    at_clock,
    civil,
    day_of_year,
    days_from_civil,
    weekday,
)
from logql.template.values import Int64, Named, wrap64
from logql.template.zones import UTC_ZONE, Zone, load_zone, local_zone

_EPOCH_UNITS = {5: 86_400 * SECOND, 10: SECOND, 13: 1_000_000, 16: 1_000, 19: 1}
"""Digits of an epoch -> ns of its unit."""

_MAX = (1 << 63) - 1


def functions_of_time(now: Callable[[], int]) -> dict[str, Function]:
    """The functions on times.

    Args:
        now: tells the time in ns.
    """

    def date(layout: bytes, moment: Any) -> bytes:
        if isinstance(moment, Time):
            ns = moment.ns
        elif isinstance(moment, int) and not isinstance(moment, (bool, Named)):
            ns = int(moment) * SECOND
        else:
            ns = now()
        return _formatted(Time(ns, local_zone()), layout)

    return {
        "now": Function(lambda: Time(now(), local_zone()), ()),
        "date": Function(date, (Type.STRING, Type.ANY)),
        "toDate": Function(lambda layout, text: _parsed(layout, text, local_zone()), (Type.STRING, Type.STRING)),
        "toDateInZone": Function(
            lambda layout, zone, text: _parsed(layout, text, _zone(zone)), (Type.STRING, Type.STRING, Type.STRING)
        ),
        "unixEpoch": Function(lambda moment: b"%d" % (moment.ns // SECOND), (Type.TIME,)),
        "unixEpochMillis": Function(lambda moment: b"%d" % wrap64(moment.ns // 1_000_000), (Type.TIME,)),
        "unixEpochNanos": Function(lambda moment: b"%d" % wrap64(moment.ns), (Type.TIME,)),
        "unixToTime": Function(_from_epoch, (Type.STRING,)),
    }


def _formatted(moment: Time, layout: bytes) -> bytes:
    return moment.format(to_text(layout)).encode("utf-8", "surrogateescape")


def _parsed(layout: bytes, text: bytes, zone: Zone) -> Time:
    """The moment that a text names; the zero Time if it names none."""
    try:
        return parse_time(to_text(layout), to_text(text), zone)
    except BadTime:
        return Time(ZERO_SECONDS * SECOND, UTC_ZONE)


def _zone(name: bytes) -> Zone:
    try:
        return load_zone(to_text(name))
    except LookupError:
        return UTC_ZONE


def _from_epoch(text: bytes) -> Time:
    shown = to_text(text)
    try:
        number = parse_int(shown, 10)
    except NumberError as error:
        raise CallError(f"unable to parse time '{shown}': {error}") from None
    if len(text) not in _EPOCH_UNITS:
        raise CallError(f"unable to parse time '{shown}': %!w(<nil>)")
    return Time(number * _EPOCH_UNITS[len(text)], local_zone())


# Methods.


def _calendar(pick: Callable[[int, int], Any]) -> Function:
    """A method that reads the local calendar: `pick` takes days since 1970 and seconds of the day."""
    return Function(lambda moment: pick(*moment.local_clock()), ())


def _bounded(ns: int) -> Duration:
    return Duration(max(-_MAX - 1, min(_MAX, ns)))


def _add_date(moment: Time, years: int, months: int, days: int) -> Time:
    day, clock = moment.local_clock()
    year, month, of_month = civil(day)
    if abs(years) > 1_000_000 or abs(months) > 1_000_000 or abs(days) > 1_000_000_000:
        raise CallError("year is out of range")
    moved = days_from_civil(year + years, month + months, of_month + days)
    return at_clock(moved, clock, moment.ns % SECOND, moment.zone)


def _truncated(moment: Time, unit: Duration) -> Time:
    if unit <= 0:
        return moment
    return Time(moment.ns - (moment.ns - ZERO_SECONDS * SECOND) % unit, moment.zone)


def _rounded(moment: Time, unit: Duration) -> Time:
    if unit <= 0:
        return moment
    rest = (moment.ns - ZERO_SECONDS * SECOND) % unit
    return Time(moment.ns - rest + (unit if rest * 2 >= unit else 0), moment.zone)


def _duration_rounded(value: Duration, unit: Duration) -> Duration:
    if unit <= 0:
        return value
    rest = abs(value) % unit
    size = abs(value) - rest + (unit if rest * 2 >= unit else 0)
    return _bounded(-size if value < 0 else size)


def _duration_truncated(value: Duration, unit: Duration) -> Duration:
    if unit <= 0:
        return value
    size = abs(value) - abs(value) % unit
    return Duration(-size if value < 0 else size)


_TEXT = Function(lambda value: value.text().encode(), ())
_T, _D = Type.TIME, Type.DURATION

_TIME_METHODS: dict[str, Function] = {
    "Add": Function(lambda moment, by: Time(moment.ns + by, moment.zone), (_D,)),
    "AddDate": Function(_add_date, (Type.INT, Type.INT, Type.INT)),
    "After": Function(lambda moment, other: moment.ns > other.ns, (_T,)),
    "Before": Function(lambda moment, other: moment.ns < other.ns, (_T,)),
    "Compare": Function(lambda moment, other: (moment.ns > other.ns) - (moment.ns < other.ns), (_T,)),
    "Day": _calendar(lambda days, _clock: civil(days)[2]),
    "Equal": Function(lambda moment, other: moment.ns == other.ns, (_T,)),
    "Format": Function(_formatted, (Type.STRING,)),
    "GoString": Function(lambda moment: moment.go_text().encode(), ()),
    "Hour": _calendar(lambda _days, clock: clock // 3600),
    "In": Function(lambda moment, place: Time(moment.ns, place.zone), (Type.LOCATION,)),
    "IsZero": Function(lambda moment: moment.ns == ZERO_SECONDS * SECOND, ()),
    "Local": Function(lambda moment: Time(moment.ns, local_zone()), ()),
    "Location": Function(lambda moment: Location(moment.zone), ()),
    "Minute": _calendar(lambda _days, clock: clock // 60 % 60),
    "Month": _calendar(lambda days, _clock: Month(civil(days)[1])),
    "Nanosecond": Function(lambda moment: moment.ns % SECOND, ()),
    "Round": Function(_rounded, (_D,)),
    "Second": _calendar(lambda _days, clock: clock % 60),
    "String": _TEXT,
    "Sub": Function(lambda moment, other: _bounded(moment.ns - other.ns), (_T,)),
    "Truncate": Function(_truncated, (_D,)),
    "UTC": Function(lambda moment: Time(moment.ns, UTC_ZONE), ()),
    "Unix": Function(lambda moment: Int64(moment.ns // SECOND), ()),
    "UnixMicro": Function(lambda moment: Int64(wrap64(moment.ns // 1_000)), ()),
    "UnixMilli": Function(lambda moment: Int64(wrap64(moment.ns // 1_000_000)), ()),
    "UnixNano": Function(lambda moment: Int64(wrap64(moment.ns)), ()),
    "Weekday": _calendar(lambda days, _clock: Weekday(weekday(days))),
    "Year": _calendar(lambda days, _clock: civil(days)[0]),
    "YearDay": _calendar(lambda days, _clock: day_of_year(days)),
}

_DURATION_METHODS: dict[str, Function] = {
    "Abs": Function(lambda value: _bounded(abs(value)), ()),
    "Hours": Function(lambda value: duration_in(int(value), 3600 * SECOND), ()),
    "Microseconds": Function(lambda value: Int64(_duration_truncated(value, Duration(1_000)) // 1_000), ()),
    "Milliseconds": Function(lambda value: Int64(_duration_truncated(value, Duration(1_000_000)) // 1_000_000), ()),
    "Minutes": Function(lambda value: duration_in(int(value), 60 * SECOND), ()),
    "Nanoseconds": Function(lambda value: Int64(int(value)), ()),
    "Round": Function(_duration_rounded, (_D,)),
    "Seconds": Function(lambda value: duration_in(int(value), SECOND), ()),
    "String": _TEXT,
    "Truncate": Function(_duration_truncated, (_D,)),
}

_OTHER_METHODS: dict[str, Function] = {"String": _TEXT}


def methods_of(value: Any) -> dict[str, Function]:
    """The methods of a value by name; each takes the value before its own arguments."""
    if isinstance(value, Time):
        return _TIME_METHODS
    if isinstance(value, Duration):
        return _DURATION_METHODS
    return _OTHER_METHODS if isinstance(value, Named) else {}
