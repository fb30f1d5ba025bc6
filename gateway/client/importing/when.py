"""The time of a log line, found in its text.

A rule is a pattern with three groups: what stands before the fraction of a second, its digits, and what stands after
it. Lines of one second share all but the fraction, so that its meaning is looked up and not worked out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from gateway.client.errors import BadArgument
from gateway.client.times import SECOND

LOOKED_AT = 256
"""Characters of a line in which a time is looked for."""

_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: place for place, name in enumerate(_MONTH_NAMES, 1)}
_MONTH = "(?:" + "|".join(_MONTH_NAMES) + ")"
_CLOCK = r"[0-2]\d:[0-5]\d:[0-6]\d"
_ZONE = r"\s?(?:[Zz](?![A-Za-z])|[+-]\d\d:?\d\d(?!\d))"
_DIRECTIVES = {
    "Y": r"\d{4}",
    "m": r"\d\d?",
    "d": r"[ \d]?\d",
    "e": r"[ \d]?\d",
    "H": r"\d\d?",
    "I": r"\d\d?",
    "M": r"\d\d",
    "S": r"\d\d",
    "y": r"\d\d",
    "j": r"\d{1,3}",
    "b": r"[^\W\d]+\.?",
    "B": r"[^\W\d]+",
    "a": r"[^\W\d]+\.?",
    "A": r"[^\W\d]+",
    "p": r"[AaPp][Mm]",
    "z": r"(?:Z|[+-]\d\d:?\d\d)",
    "Z": r"[A-Z]{3,4}",
    "T": _CLOCK,
    "F": r"\d{4}-\d\d-\d\d",
    "%": "%",
}
_SPELLED = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "e": "%d"}


@dataclass(frozen=True, slots=True)
class Rule:
    """How times look in a file.

    Attributes:
        name: of the rule.
        pattern: with the groups (before the fraction), (digits of the fraction), (after it); the last two may be None.
        seconds: the Unix time in s of the first and last group; None if they only look like a time.
    """

    name: str
    pattern: re.Pattern[str]
    seconds: Callable[[str, str], int | None]

    def find(self, line: str) -> int | None:
        """The time of a line in ns, None if there is none."""
        found = self.pattern.search(line, 0, LOOKED_AT)
        if found is None:
            return None
        head, fraction, tail = found.groups()
        whole = self.seconds(head, tail or "")
        if whole is None:
            return None
        return whole * SECOND + (int(fraction[:9].ljust(9, "0")) if fraction else 0)


@lru_cache(maxsize=16)
def known_rules(zone: tzinfo, latest: int) -> tuple[Rule, ...]:
    """The forms that are known, the most telling first.

    Args:
        zone: of times that do not say theirs.
        latest: ns; times without a year are of the last year in which they are not a day past that.
    """

    @lru_cache(maxsize=4096)
    def iso(head: str, tail: str) -> int | None:
        return _seconds(datetime.fromisoformat, head.replace("/", "-").replace(" ", "T"), tail, zone)

    @lru_cache(maxsize=4096)
    def access(head: str, tail: str) -> int | None:
        day, month, rest = head.split("/")
        year, clock = rest.split(":", 1)
        return _seconds(datetime.fromisoformat, f"{year}-{_MONTHS[month]:02d}-{day}T{clock}", tail, zone)

    @lru_cache(maxsize=4096)
    def syslog(head: str, _: str) -> int | None:
        month, day, clock = head.split()
        year = datetime.fromtimestamp(latest // SECOND, zone).year
        for each in (year + 1, year, year - 1):
            text = f"{each}-{_MONTHS[month]:02d}-{int(day):02d}T{clock}"
            found = _seconds(datetime.fromisoformat, text, "", zone)
            if found is not None and found * SECOND <= latest + 86_400 * SECOND:
                return found
        return None

    def unix(head: str, _: str) -> int | None:
        return int(head)

    return (
        Rule("iso", re.compile(rf"(?<!\d)(\d{{4}}-\d\d-\d\d[Tt ]{_CLOCK})(?:[.,](\d+))?({_ZONE})?"), iso),
        Rule("access", re.compile(rf"(?<!\d)(\d\d/{_MONTH}/\d{{4}}:{_CLOCK})(?:[.,](\d+))?({_ZONE})?"), access),
        Rule("slashes", re.compile(rf"(?<!\d)(\d{{4}}/\d\d/\d\d[T ]{_CLOCK})(?:[.,](\d+))?({_ZONE})?"), iso),
        Rule("syslog", re.compile(rf"^(?:<\d{{1,3}}>)?({_MONTH} [ \d]\d {_CLOCK})(?:\.(\d+))?()"), syslog),
        # 10 digits of seconds, and 3, 6 or 9 more with a dot or without.
        Rule(
            "unix",
            re.compile(
                r'(?:^\[?|(?:ts|time|timestamp)"?\s*[=:]\s*"?)'
                r"(\d{10})(?:(?:\.(?=\d)|(?=(?:\d{9}|\d{6}|\d{3})(?!\d)))(\d+))?(?!\d)()"
            ),
            unix,
        ),
    )


def choose_rule(rules: Iterable[Rule], lines: Iterable[str]) -> Rule | None:
    """The rule that finds a time in most of the lines, of equal ones the first; None if none does in any."""
    sample = list(lines)
    best, most = None, 0
    for rule in rules:
        found = sum(rule.find(line) is not None for line in sample)
        if found > most:
            best, most = rule, found
    return best


def time_rule(form: str, zone: tzinfo) -> Rule:
    """The rule of a format as C's strptime has it, with `%f` for the digits of a fraction and `%s` for Unix seconds.

    Raises:
        BadArgument: it has another directive, or does not say a time of a day.
    """
    if form in ("%s", "%s.%f"):
        pattern = re.compile(r"(?<!\d)(\d{1,11})(?:\.(\d+))?()(?!\d)")
        return Rule("unix", pattern, lambda head, _: int(head))
    parts: list[str] = []
    spelled: list[str] = []
    fractions = 0
    pieces = re.split(r"%(.)", form)
    for place, piece in enumerate(pieces):
        if place % 2 == 0:
            parts.append(re.escape(piece))
            spelled.append(piece.replace("%", "%%"))
        elif piece == "f":
            fractions += 1
            parts.append(r")(\d+)(")
        elif piece in _DIRECTIVES:
            parts.append(_DIRECTIVES[piece])
            spelled.append(_SPELLED.get(piece, f"%{piece}"))
        else:
            raise BadArgument(f"--time-format: there is no %{piece}")
    if fractions > 1 or len(pieces) == 1:
        raise BadArgument(f"--time-format: {form!r} says no time: give one like '%d.%m.%Y %H:%M:%S'")
    body = "".join(parts)
    pattern = re.compile(f"({body})" if fractions else f"({body})()()")
    wanted = "".join(spelled)

    @lru_cache(maxsize=4096)
    def seconds(head: str, tail: str) -> int | None:
        return _seconds(lambda text: datetime.strptime(text, wanted), head + tail, "", zone)  # noqa: DTZ007 - has %z or gets zone

    return Rule(form, pattern, seconds)


def read_time(value: object, zone: tzinfo = UTC) -> int | None:
    """A time of a JSON field in ns: RFC 3339 and the like, or a Unix time in s, ms, us or ns, told by its size."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        if not abs(value) < 1e19:
            return None
        return _scaled(int(value)) + round(value % 1 * 1e6) * 1000 if value < 1e11 else _scaled(int(value))
    if isinstance(value, int):
        return _scaled(value)
    if not isinstance(value, str):
        return None
    if value.isascii() and value.removeprefix("-").isdigit():
        return _scaled(int(value)) if len(value) <= 20 else None
    if _WITH_FRACTION.fullmatch(value):
        whole, _, fraction = value.partition(".")
        return int(whole) * SECOND + int(fraction[:9].ljust(9, "0"))
    for rule in known_rules(zone, _FAR)[:3]:
        at = rule.find(value)
        if at is not None:
            return at
    return None


_WITH_FRACTION = re.compile(r"\d{1,11}\.\d+", re.ASCII)
_FAR = 4_000_000_000 * SECOND


def _scaled(value: int) -> int:
    size = abs(value)
    for below, unit in ((10**11, SECOND), (10**14, 10**6), (10**17, 10**3)):
        if size < below:
            return value * unit
    return value


def _seconds(read: Callable[[str], datetime], text: str, zone_text: str, zone: tzinfo) -> int | None:
    try:
        at = read(text)
        said = _zone(zone_text.strip()) if zone_text.strip() else at.tzinfo
        return int(at.replace(tzinfo=said or zone).timestamp())
    except (ValueError, OverflowError):
        return None


def _zone(text: str) -> tzinfo:
    if text in "Zz":
        return UTC
    away = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-away if text[0] == "-" else away)
