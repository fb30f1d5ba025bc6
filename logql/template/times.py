"""Go's time.Time: a moment in a zone, its calendar, and Format (Go: time/format.go)."""

from __future__ import annotations

import re
from typing import Any

from logql.template.values import Named
from logql.template.zones import UTC_ZONE, Zone

SECOND = 1_000_000_000
ZERO_SECONDS = -62_135_596_800
"""The zero Time, 1 January of year 1, in seconds since 1970."""

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

CHUNK = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|0[1-6]|002|15|1|2006|2|_2(?!006)|__2|3|4|5|PM|pm"
    r"|-070000|-07:00:00|-0700|-07:00|-07|Z070000|Z07:00:00|Z0700|Z07:00|Z07|[.,](?:0+|9+)(?![0-9])",
    re.ASCII,
)
"""A part of a layout that stands for something."""

STRING_LAYOUT = "2006-01-02 15:04:05.999999999 -0700 MST"


class Month(int, Named):
    """time.Month, 1 to 12."""

    __slots__ = ()
    go_type = "time.Month"

    def text(self) -> str:
        """Its English name."""
        return MONTHS[self - 1] if 1 <= self <= 12 else f"%!Month({int(self)})"


class Weekday(int, Named):
    """time.Weekday, 0 is Sunday."""

    __slots__ = ()
    go_type = "time.Weekday"

    def text(self) -> str:
        """Its English name."""
        return WEEKDAYS[self] if 0 <= self <= 6 else f"%!Weekday({int(self)})"


class Location(Named):
    """*time.Location."""

    __slots__ = ("zone",)
    go_type = "*time.Location"

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    def text(self) -> str:
        """Its name."""
        return self.zone.name


class Time(Named):
    """A moment.

    Attributes:
        ns: nanoseconds since 1970, of any size.
        zone: where its calendar is read.
    """

    __slots__ = ("ns", "zone")
    go_type = "time.Time"

    def __init__(self, ns: int, zone: Zone) -> None:
        self.ns = ns
        self.zone = zone

    def text(self) -> str:
        """Go's Time.String()."""
        return self.format(STRING_LAYOUT)

    def format(self, layout: str) -> str:
        """Go's Time.Format."""
        seconds, nanos = divmod(self.ns, SECOND)
        offset, abbreviation = self.zone.at(seconds)
        days, clock = divmod(seconds + offset, 86_400)
        moment = _Moment(days, clock, nanos, offset, abbreviation)
        return CHUNK.sub(lambda match: moment.show(match.group()), layout)

    def local_clock(self) -> tuple[int, int]:
        """Days since 1970 and seconds of the day in its zone."""
        seconds = self.ns // SECOND
        return divmod(seconds + self.zone.at(seconds)[0], 86_400)

    def go_text(self) -> str:
        """Go's GoString: a call of time.Date."""
        days, clock = self.local_clock()
        year, month, day = civil(days)
        where = "time.UTC" if self.zone is UTC_ZONE else f'time.Location("{self.zone.name}")'
        hms = f"{clock // 3600}, {clock // 60 % 60}, {clock % 60}"
        return f"time.Date({year}, time.{MONTHS[month - 1]}, {day}, {hms}, {self.ns % SECOND}, {where})"

    def parts(self) -> tuple[Any, ...]:
        """The fields of the struct as fmt shows them: nanoseconds, seconds since year 1, no location (UTC)."""
        return self.ns % SECOND, self.ns // SECOND - ZERO_SECONDS, None


class _Moment:
    """The calendar of one Time, asked for by the parts of a layout."""

    def __init__(self, days: int, clock: int, nanos: int, offset: int, abbreviation: str) -> None:
        self.days = days
        self.clock = clock
        self.nanos = nanos
        self.offset = offset
        self.abbreviation = abbreviation
        self.year, self.month, self.day = civil(days)

    def show(self, part: str) -> str:
        match part:
            case "2006":
                return padded(self.year, 4)
            case "06":
                return f"{max(self.year, 0) % 100:02d}"
            case "January":
                return MONTHS[self.month - 1]
            case "Jan":
                return MONTHS[self.month - 1][:3]
            case "1":
                return str(self.month)
            case "01":
                return f"{self.month:02d}"
            case "Monday":
                return WEEKDAYS[weekday(self.days)]
            case "Mon":
                return WEEKDAYS[weekday(self.days)][:3]
            case "2":
                return str(self.day)
            case "_2":
                return f"{self.day:2d}"
            case "02":
                return f"{self.day:02d}"
            case "__2":
                return f"{day_of_year(self.days):3d}"
            case "002":
                return f"{day_of_year(self.days):03d}"
            case "15":
                return f"{self.clock // 3600:02d}"
            case "3":
                return str(self._hour12())
            case "03":
                return f"{self._hour12():02d}"
            case "4":
                return str(self.clock // 60 % 60)
            case "04":
                return f"{self.clock // 60 % 60:02d}"
            case "5":
                return str(self.clock % 60)
            case "05":
                return f"{self.clock % 60:02d}"
            case "PM":
                return "PM" if self.clock >= 43_200 else "AM"
            case "pm":
                return "pm" if self.clock >= 43_200 else "am"
            case "MST":
                return self.abbreviation or self._offset("-0700")
        if part[0] in ".,":
            return self._fraction(part)
        return self._offset(part)

    def _hour12(self) -> int:
        return self.clock // 3600 % 12 or 12

    def _fraction(self, part: str) -> str:
        digits = f"{self.nanos:09d}"[: len(part) - 1]
        if part[1] == "9":
            digits = digits.rstrip("0")
        return part[0] + digits if digits else ""

    def _offset(self, part: str) -> str:
        if part[0] == "Z" and self.offset == 0:
            return "Z"
        minutes, seconds = divmod(abs(self.offset), 60)
        sign = "-" if self.offset < 0 and minutes else "+"
        colon = ":" if ":" in part else ""
        shown = f"{sign}{minutes // 60:02d}"
        digits = sum(char.isdigit() for char in part)
        if digits >= 4:
            shown += f"{colon}{minutes % 60:02d}"
        if digits == 6:
            shown += f"{colon}{seconds:02d}"
        return shown


def padded(value: int, width: int) -> str:
    """Go's appendInt: zeros to a width that does not count the sign."""
    return f"{'-' if value < 0 else ''}{abs(value):0{width}d}"


def civil(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a day since 1970 in the proleptic Gregorian calendar, for any year."""
    era, day_of_era = divmod(days + 719_468, 146_097)  # eras of 400 years from 1 March of year 0
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day + 2) // 153
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    return year_of_era + era * 400 + (month <= 2), month, day - (153 * month_from_march + 2) // 5 + 1


def days_from_civil(year: int, month: int, day: int) -> int:
    """The day since 1970 of a date; months and days beyond their range count on, as in Go's time.Date."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year_from_march = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5
    return (
        era * 146_097
        + year_of_era * 365
        + year_of_era // 4
        - year_of_era // 100
        + day_of_year_from_march
        + (day - 1 - 719_468)
    )


def weekday(days: int) -> int:
    """0 is Sunday."""
    return (days + 4) % 7


def day_of_year(days: int) -> int:
    """1 is 1 January."""
    return days - days_from_civil(civil(days)[0], 1, 1) + 1


def is_leap(year: int) -> bool:
    """Whether a year has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def at_clock(days: int, clock: int, nanos: int, zone: Zone) -> Time:
    """The moment at which a zone's clock shows a time (Go's time.Date rules for gaps and overlaps).

    Args:
        days: since 1970.
        clock: seconds of the day.
        nanos: ns of the second.
        zone: the zone.
    """
    seconds = days * 86_400 + clock
    offset, _ = zone.at(seconds)
    if offset:
        guess, _ = zone.at(seconds - offset)
        seconds -= guess
    return Time(seconds * SECOND + nanos, zone)
