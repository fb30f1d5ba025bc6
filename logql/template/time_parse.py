"""Go's time.ParseInLocation."""

from __future__ import annotations

import re

from logql.template.times import CHUNK, MONTHS, SECOND, WEEKDAYS, Time, at_clock, days_from_civil, is_leap
from logql.template.zones import UTC_ZONE, FixedZone, Zone

_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SIGNED_OFFSET = re.compile(r"[+-]([0-9]+)", re.ASCII)
_CAPITALS = re.compile(r"[A-Z]{0,6}", re.ASCII)
_OFFSET_SHAPES = {
    "07:00:00": re.compile(r"([+-])(\d\d):(\d\d):(\d\d)", re.ASCII),
    "070000": re.compile(r"([+-])(\d\d)(\d\d)(\d\d)", re.ASCII),
    "07:00": re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII),
    "0700": re.compile(r"([+-])(\d\d)(\d\d)", re.ASCII),
    "07": re.compile(r"([+-])(\d\d)", re.ASCII),
}


class BadTime(ValueError):  # noqa: N818 - named for what it is
    """A text does not have the layout's form, or names no moment. Templates never show why."""


def parse_time(layout: str, text: str, zone: Zone) -> Time:
    """The moment that `text` names.

    Args:
        layout: Go's layout.
        text: the text.
        zone: the zone of texts without one, and whose abbreviations are known.

    Raises:
        BadTime: it names none.
    """
    return _Parser(layout, text, zone).parse()


class _Parser:
    def __init__(self, layout: str, text: str, zone: Zone) -> None:
        self.layout = layout
        self.rest = text
        self.zone = zone
        self.year = 0
        self.month = self.day = self.yday = -1
        self.hour = self.minute = self.second = self.nanos = 0
        self.afternoon: bool | None = None
        self.utc = False
        self.offset: int | None = None
        self.zone_name = ""

    def parse(self) -> Time:
        at = 0
        for match in CHUNK.finditer(self.layout):
            self.skip(self.layout[at : match.start()])
            at = match.end()
            self.part(match.group(), at)
        self.skip(self.layout[at:])
        if self.rest:
            raise BadTime("extra text")
        return self.moment()

    def skip(self, literal: str) -> None:
        """Text of the layout that must stand here; runs of blanks match runs of blanks."""
        while literal:
            if literal[0] == " ":
                if self.rest and self.rest[0] != " ":
                    raise BadTime(self.rest)
                literal, self.rest = literal.lstrip(" "), self.rest.lstrip(" ")
                continue
            if not self.rest.startswith(literal[0]):
                raise BadTime(self.rest)
            literal, self.rest = literal[1:], self.rest[1:]

    def part(self, part: str, after: int) -> None:
        match part:
            case "06":
                self.year = self.digits(2)
                self.year += 1900 if self.year >= 69 else 2000
            case "2006":
                self.year = self.digits(4)
            case "January" | "Jan":
                self.month = self.word(MONTHS, short=part == "Jan") + 1
            case "1" | "01":
                self.month = self.number(fixed=part == "01")
                _within(1, self.month, 12)
            case "Monday" | "Mon":
                self.word(WEEKDAYS, short=part == "Mon")
            case "2" | "_2" | "02":
                if part == "_2":
                    self.rest = self.rest.removeprefix(" ")
                self.day = self.number(fixed=part == "02")
            case "__2" | "002":
                for _ in range(2):
                    if part == "__2":
                        self.rest = self.rest.removeprefix(" ")
                self.yday = self.number(fixed=part == "002", longest=3)
            case "15":
                self.hour = self.number(fixed=False)
                _within(0, self.hour, 23)
            case "3" | "03":
                self.hour = self.number(fixed=part == "03")
                _within(0, self.hour, 12)
            case "4" | "04":
                self.minute = self.number(fixed=part == "04")
                _within(0, self.minute, 59)
            case "5" | "05":
                self.second = self.number(fixed=part == "05")
                _within(0, self.second, 59)
                self.unasked_fraction(after)
            case "PM" | "pm":
                half, self.rest = self.rest[:2], self.rest[2:]
                if half not in ({"PM", "AM"} if part == "PM" else {"pm", "am"}):
                    raise BadTime(half)
                self.afternoon = half[0] in "Pp"
            case "MST":
                self.abbreviation()
            case _ if part[0] in ".,":
                self.fraction(part)
            case _:
                self.numeric_zone(part)

    def digits(self, count: int) -> int:
        text, self.rest = self.rest[:count], self.rest[count:]
        if len(text) < count or not (text.isascii() and text.isdigit()):
            raise BadTime(text)
        return int(text)

    def number(self, *, fixed: bool, longest: int = 2) -> int:
        count = 0
        while count < longest and self.rest[count : count + 1] in tuple("0123456789"):
            count += 1
        if count == 0 or (fixed and count < longest):
            raise BadTime(self.rest)
        return self.digits(count)

    def word(self, words: tuple[str, ...], *, short: bool) -> int:
        for i, name in enumerate(words):
            wanted = name[:3] if short else name
            if self.rest[: len(wanted)].lower() == wanted.lower():
                self.rest = self.rest[len(wanted) :]
                return i
        raise BadTime(self.rest)

    def unasked_fraction(self, after: int) -> None:
        """A fraction after the seconds is read though the layout has none."""
        if re.match(r"[.,][0-9]", self.rest, re.ASCII):
            following = CHUNK.search(self.layout, after)
            if following is None or following.group()[0] not in ".,":
                self.fraction(".9")

    def fraction(self, part: str) -> None:
        if part[1] == "0":
            count = len(part)
            if len(self.rest) < count:
                raise BadTime(self.rest)
        else:
            match = re.match(r"[.,][0-9]+", self.rest, re.ASCII)
            if match is None:
                return
            count = match.end()
        text, self.rest = self.rest[:count], self.rest[count:]
        digits = text[1:10]
        if text[0] not in ".," or not (digits.isascii() and digits.isdigit()):
            raise BadTime(text)
        self.nanos = int(digits.ljust(9, "0"))

    def numeric_zone(self, part: str) -> None:
        if part[0] == "Z" and self.rest.startswith("Z"):
            self.rest = self.rest[1:]
            self.utc = True
            return
        match = _OFFSET_SHAPES[part[1:]].match(self.rest)
        if match is None:
            raise BadTime(self.rest)
        self.rest = self.rest[match.end() :]
        hours, minutes, seconds = (int(text) for text in (*match.groups()[1:], "0", "0")[:3])
        _within(0, hours, 24)
        _within(0, minutes, 60)
        _within(0, seconds, 60)
        self.offset = (hours * 60 + minutes) * 60 + seconds
        if match[1] == "-":
            self.offset = -self.offset

    def abbreviation(self) -> None:
        if self.rest.startswith("UTC"):
            self.rest = self.rest[3:]
            self.utc = True
            return
        length = _abbreviation_length(self.rest)
        if not length:
            raise BadTime(self.rest)
        self.zone_name, self.rest = self.rest[:length], self.rest[length:]

    def moment(self) -> Time:
        if self.afternoon and self.hour < 12:
            self.hour += 12
        elif self.afternoon is False and self.hour == 12:
            self.hour = 0
        days = self.date()
        clock = (self.hour * 60 + self.minute) * 60 + self.second
        if self.utc:
            return at_clock(days, clock, self.nanos, UTC_ZONE)
        if self.offset is None and not self.zone_name:
            return at_clock(days, clock, self.nanos, self.zone)
        seconds = days * 86_400 + clock
        if self.offset is not None:
            seconds -= self.offset
            offset, name = self.zone.at(seconds)
            known = offset == self.offset and self.zone_name in {"", name}
            zone = self.zone if known else FixedZone(self.zone_name, self.offset)
        else:
            seconds, zone = self.by_abbreviation(seconds)
        return Time(seconds * SECOND + self.nanos, zone)

    def by_abbreviation(self, seconds: int) -> tuple[int, Zone]:
        """The moment when only an abbreviation is given: the zone's own, else one of that name without offset."""
        for near in (0, -182 * 86_400, 182 * 86_400):
            offset, name = self.zone.at(seconds + near)
            if name == self.zone_name:
                return seconds - offset, self.zone
        offset = 0
        if self.zone_name.startswith("GMT") and len(self.zone_name) > 3:
            offset = int(self.zone_name[3:]) * 3600
        return seconds, FixedZone(self.zone_name, offset)

    def date(self) -> int:
        """Days since 1970, from month and day or the day of the year."""
        if self.yday >= 0:
            _within(1, self.yday, 365 + is_leap(self.year))
            days = days_from_civil(self.year, 1, 1) + self.yday - 1
            for given, shown in ((self.month, "1"), (self.day, "2")):
                if given >= 0 and str(given) != Time(days * 86_400 * SECOND, UTC_ZONE).format(shown):
                    raise BadTime("day-of-year does not match the date")
            return days
        month = self.month if self.month >= 0 else 1
        day = self.day if self.day >= 0 else 1
        _within(1, day, _DAYS[month - 1] + (month == 2 and is_leap(self.year)))
        return days_from_civil(self.year, month, day)


def _within(low: int, value: int, high: int) -> None:
    if not low <= value <= high:
        raise BadTime(value)


def _abbreviation_length(text: str) -> int:
    """Length of the zone abbreviation that a text begins with; 0 if it does not."""
    if len(text) < 3:
        return 0
    if text[:4] in {"ChST", "MeST"}:
        return 4
    if text.startswith("GMT"):
        return 3 + _signed_length(text[3:])
    if text[0] in "+-":
        return _signed_length(text)
    match = _CAPITALS.match(text)
    capitals = match.end() if match else 0
    if capitals == 5:
        return 5 if text[4] == "T" else 0
    if capitals == 4:
        return 4 if text[3] == "T" or text.startswith("WITA") else 0
    return 3 if capitals == 3 else 0


def _signed_length(text: str) -> int:
    match = _SIGNED_OFFSET.match(text)
    return match.end() if match and len(match[1]) < 19 and int(match[1]) <= 23 else 0
