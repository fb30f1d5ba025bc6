"""The parameter grammar of Loki's query API: strings in, values out, errors in Loki's words.

Plain functions; "now" is an argument. Times and durations are ints in ns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway.query.errors import BadParameter
from gateway.query.times import SECOND, parse_duration, parse_int, parse_seconds_or_duration, parse_timestamp
from logql.source import Direction

Form: TypeAlias = Mapping[str, Sequence[str]]
"""Parameters of the body, then of the URL, as Go's r.Form."""

DEFAULT_SINCE = 3600 * SECOND
DEFAULT_LIMIT = 100
MAX_LIMIT = 4_294_967_295
MAX_POINTS = 11_000

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})?")


def parse_form(url_query: bytes, body: bytes = b"") -> dict[str, list[str]]:
    """Parameters of a request: those of a urlencoded body first, then those of the URL.

    Raises:
        BadParameter: a broken escape or a semicolon, in Go's words.
    """
    form: dict[str, list[str]] = {}
    for part in (body, url_query):
        for pair in part.split(b"&"):
            if not pair:
                continue
            if b";" in pair:
                raise BadParameter("invalid semicolon separator in query")
            name, _, value = pair.partition(b"=")
            form.setdefault(_unescape(name), []).append(_unescape(value))
    return form


def _unescape(text: bytes) -> str:
    spaced = text.replace(b"+", b" ")
    if b"%" in spaced:
        spaced = _PERCENT.sub(_byte, spaced)
    return spaced.decode("utf-8", "replace")


def _byte(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        shown = match.string[match.start() : match.start() + 3].decode("utf-8", "replace")
        raise BadParameter(f'invalid URL escape "{shown}"')
    return bytes([int(match[1], 16)])


def first(form: Form, name: str) -> str:
    """The first value of a parameter, "" if there is none."""
    values = form.get(name)
    return values[0] if values else ""


def every(form: Form, *names: str) -> list[str]:
    """All values of the named parameters."""
    return [value for name in names for value in form.get(name, ())]


def bounds(form: Form, now: int) -> tuple[int, int]:
    """`start` and `end` in ns; end defaults to now, start to min(end, now) less `since` (1h).

    Raises:
        BadParameter: one of the three cannot be read.
    """
    since = DEFAULT_SINCE
    if text := first(form, "since"):
        since = _named("since", lambda: parse_duration(text))
    end = _named("end", lambda: parse_timestamp(first(form, "end"), now))
    start = _named("start", lambda: parse_timestamp(first(form, "start"), min(end, now) - since))
    return start, end


def _named(name: str, parse: Callable[[], int]) -> int:
    try:
        return parse()
    except BadParameter as error:
        raise BadParameter(f"could not parse '{name}' parameter: {error}") from error


def limit_of(form: Form, *names: str, default: int = DEFAULT_LIMIT) -> int:
    """A limit under the first of `names` that is given (`limit` unless told).

    Raises:
        BadParameter: no number, not positive, or over 32 bits.
    """
    names = names or ("limit",)
    name = next((name for name in names if first(form, name)), names[0])
    text = first(form, name)
    if not text:
        return default
    value = parse_int(text, "Atoi")
    if value > MAX_LIMIT:
        raise BadParameter(f"{names[0]} value {value} is out of range [0, {MAX_LIMIT}]")
    if value <= 0:
        raise BadParameter("limit must be a positive value")
    return value


def direction_of(form: Form) -> Direction:
    """`direction`, in any case; backward unless given.

    Raises:
        BadParameter: neither of the two.
    """
    text = first(form, "direction")
    if not text:
        return Direction.BACKWARD
    try:
        return Direction(text.lower())
    except ValueError as error:
        raise BadParameter(f"invalid direction '{text}'") from error


def step_of(form: Form, start: int, end: int) -> int:
    """`step` in ns; max(floor(range / 250), 1) seconds unless given.

    Raises:
        BadParameter: no duration, or not positive.
    """
    text = first(form, "step")
    step = parse_seconds_or_duration(text) if text else max((end - start) // SECOND // 250, 1) * SECOND
    if step <= 0:
        raise BadParameter("zero or negative query resolution step widths are not accepted. Try a positive integer")
    return step


def check_points(start: int, end: int, step: int) -> None:
    """Refuses a time range of more than MAX_POINTS steps; all in ns.

    Raises:
        BadParameter: it is one.
    """
    if (end - start) // step > MAX_POINTS:
        raise BadParameter(
            "exceeded maximum resolution of 11,000 points per time series. "
            "Try increasing the value of the step parameter"
        )


def interval_of(form: Form) -> int:
    """`interval` in ns, 0 unless given.

    Raises:
        BadParameter: no duration, or negative.
    """
    text = first(form, "interval")
    interval = parse_seconds_or_duration(text) if text else 0
    if interval < 0:
        raise BadParameter("interval must be >= 0")
    return interval


@dataclass(frozen=True, slots=True)
class RangeParameters:
    """What a range query asks for, the query itself apart.

    Attributes:
        start: ns, inclusive for logs.
        end: ns, exclusive for logs.
        limit: entries at most.
        direction: which end the limit counts from.
        step: ns between points of a metric query.
        interval: ns that entries of a log query keep from each other, 0 for all.
    """

    start: int
    end: int
    limit: int
    direction: Direction
    step: int
    interval: int


@dataclass(frozen=True, slots=True)
class InstantParameters:
    """What an instant query asks for, the query itself apart.

    Attributes:
        time: ns.
    """

    time: int


def instant_parameters(form: Form, now: int) -> InstantParameters:
    """The parameters of query. `limit` and `direction` mean nothing here, but have to be right.

    Raises:
        BadParameter: one of them cannot be used.
    """
    limit_of(form)
    time = parse_timestamp(first(form, "time"), now)
    direction_of(form)
    return InstantParameters(time)


def range_parameters(form: Form, now: int) -> RangeParameters:
    """The parameters of query_range, checked in Loki's order: the first mistake is the one reported.

    Raises:
        BadParameter: one of them cannot be used. The limit on points holds for log queries too.
    """
    start, end = bounds(form, now)
    if end < start:
        raise BadParameter("end timestamp must not be before or equal to start time")
    limit = limit_of(form)
    direction = direction_of(form)
    step = step_of(form, start, end)
    check_points(start, end, step)
    return RangeParameters(start, end, limit, direction, step, interval_of(form))
