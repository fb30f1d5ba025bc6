"""Functions on numbers: sprig's arithmetic (casts of whatever comes; decimals for floats), sizes and durations."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from logql.literals import to_text
from logql.template.durations import parse_duration
from logql.template.errors import CallError
from logql.template.quoting import REPLACEMENT
from logql.template.signatures import Function, Type
from logql.template.strconv import MAX_INT64, MIN_INT64, NumberError, format_float, parse_float, parse_int
from logql.template.string_functions import WHITE, runes
from logql.template.values import NIL, Int64, is_true, wrap64

_WITH_FRACTION = re.compile(r"([+-]?[0-9]*)(?:\.[0-9]*)?", re.ASCII)
_SURROGATES = re.compile("[\ud800-\udfff]")
_EXACT = Context(prec=2_000, Emax=999_999, Emin=-999_999)
"""A sum of floats has 650 digits at most; of a product as many are kept as may show."""

_UNITS = ("k", "m", "g", "t", "p", "e")
_SIZES = {"": 1, "b": 1}
for _power, _unit in enumerate(_UNITS, 1):
    _SIZES |= {_unit: 1000**_power, f"{_unit}b": 1000**_power, f"{_unit}i": 1024**_power, f"{_unit}ib": 1024**_power}


def to_int(value: Any) -> int:
    """spf13/cast's ToInt and ToInt64: a fraction is cut off; what is no number is 0."""
    if isinstance(value, bytes):
        text = to_text(value)
        if "." in text and (match := _WITH_FRACTION.fullmatch(text)):
            text = match[1] + ("" if match[1][-1:].isdigit() else "0")
        try:
            return parse_int(text, 0)
        except NumberError:
            return 0
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value) and MIN_INT64 <= int(value) <= MAX_INT64:
        return int(value)
    return 0


def to_float(value: Any) -> float:
    """spf13/cast's ToFloat64: what is no number is 0."""
    if isinstance(value, bytes):
        try:
            return parse_float(to_text(value))
        except NumberError:
            return 0.0
    return float(value) if isinstance(value, (int, float)) else 0.0


def _fold(change: Callable[[int, int], int]) -> Callable[..., Int64]:
    """An operation on integers over any number of arguments."""

    def over(first: Any, *others: Any) -> Int64:
        total = to_int(first)
        for other in others:
            total = wrap64(change(total, to_int(other)))
        return Int64(total)

    return over


def _add(*args: Any) -> Int64:
    return Int64(wrap64(sum(map(to_int, args))))


def _divide(one: Any, other: Any) -> Int64:
    return Int64(wrap64(_quotient(to_int(one), to_int(other))))


def _modulo(one: Any, other: Any) -> Int64:
    left, right = to_int(one), to_int(other)
    return Int64(left - right * _quotient(left, right))


def _quotient(left: int, right: int) -> int:
    """Go's division of integers, which cuts towards zero."""
    if right == 0:
        raise CallError("runtime error: integer divide by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _decimals(change: Callable[[Decimal, Decimal], Decimal]) -> Callable[..., float]:
    """An operation on floats as exact decimals, as sprig does it with shopspring/decimal."""

    def over(first: Any, *others: Any) -> float:
        total = _decimal(to_float(first))
        for other in others:
            total = change(total, _decimal(to_float(other)))
        return float(total) if total else 0.0

    return over


def _decimal(value: float) -> Decimal:
    if not math.isfinite(value):
        raise CallError(f"Cannot create a Decimal from {format_float(value, 'g')}")
    return Decimal(repr(value))


def _divide_decimals(one: Decimal, other: Decimal) -> Decimal:
    """To 16 places, half away from zero."""
    if not other:
        raise CallError("decimal division by 0")
    exact = Context(prec=700, Emax=999_999, Emin=-999_999).divide(one, other)
    if exact.adjusted() > 600:
        return exact
    return exact.quantize(Decimal(1).scaleb(-16), rounding=ROUND_HALF_UP, context=Context(prec=700))


def _extreme(*, largest: bool) -> Callable[..., float]:
    """math.Max or math.Min over any number of arguments: NaN wins but against the infinity that wins over all."""
    pick = max if largest else min
    winner = math.inf if largest else -math.inf

    def two(one: float, other: float) -> float:
        if winner in {one, other}:
            return winner
        if math.isnan(one) or math.isnan(other):
            return math.nan
        if one == other == 0:
            negative = [math.copysign(1.0, value) < 0 for value in (one, other)]
            return -0.0 if (all(negative) if largest else any(negative)) else 0.0
        return pick(one, other)

    def over(first: Any, *others: Any) -> float:
        total = to_float(first)
        for other in others:
            total = two(total, to_float(other))
        return total

    return over


def _whole(change: Callable[[float], int]) -> Callable[[Any], float]:
    def of(value: Any) -> float:
        number = to_float(value)
        return math.copysign(float(change(number)), number) if math.isfinite(number) else number

    return of


def _round(value: Any, places: int, *on: float) -> float:
    """To decimal places; a fraction of at least `on` (0.5) goes up."""
    number = to_float(value)
    power = _power_of_ten(places)
    digit = power * number
    if not math.isfinite(digit):
        return digit / power if power else math.nan
    fraction = math.modf(digit)[0]
    rounded = float(math.ceil(digit) if fraction >= (on[0] if on else 0.5) else math.floor(digit))
    if not power:
        return math.nan if rounded == 0 else math.copysign(math.inf, rounded)
    return math.copysign(rounded / power, digit) if rounded == 0 else rounded / power


def _power_of_ten(places: int) -> float:
    if places > 308:
        return math.inf
    return 0.0 if places < -323 else float(f"1e{places}")


def parse_bytes(value: bytes) -> float:
    """humanize.ParseBytes: 1.5KB, 2 MiB, 1,000."""
    count = 0
    for char in runes(value):
        if not (char.isdecimal() or char in ".,"):
            break
        count += 1
    number = to_text(value[:count]).replace(",", "")
    try:
        size = parse_float(number)
    except NumberError as error:
        raise CallError(str(error)) from None
    unit = runes(value[count:]).strip(WHITE).lower()
    if unit not in _SIZES:
        raise CallError(f"unhandled size name: {unit}")
    size *= float(_SIZES[unit])
    if size >= 2.0**64:
        raise CallError(f"too large: {runes(value)}")
    return float(int(size))


def seconds(value: bytes) -> float:
    """The seconds of a duration, as Go's Duration.Seconds divides them."""
    try:
        ns = parse_duration(to_text(value))
    except ValueError as error:
        raise CallError(str(error)) from None
    return duration_in(int(ns), 1_000_000_000)


def duration_in(ns: int, unit: int) -> float:
    """A duration in a unit: whole units and the rest are divided apart, which rounds as Go does."""
    whole = abs(ns) // unit
    value = float(whole) + float(abs(ns) - whole * unit) / unit
    return -value if ns < 0 else value


def from_json(value: bytes) -> Any:
    """A JSON document as Go decodes it into an interface{}; None if it is none."""
    try:
        document = json.loads(runes(value), parse_float=_json_float, parse_int=_json_float, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return _go_value(document)


def _json_float(text: str) -> float | None:
    value = float(text)
    return None if math.isinf(value) else value


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _go_value(value: Any) -> Any:
    if isinstance(value, str):
        return _well_formed(value).encode()
    if isinstance(value, list):
        return [NIL if item is None else _go_value(item) for item in value]
    if isinstance(value, dict):
        return {_well_formed(key): NIL if item is None else _go_value(item) for key, item in value.items()}
    return value


def _well_formed(text: str) -> str:
    return _SURROGATES.sub(REPLACEMENT, text)


def default(instead: Any, *given: Any) -> Any:
    """`instead` when what is given is empty."""
    return given[0] if given and is_true(given[0]) else instead


_A, _S = Type.ANY, Type.STRING

NUMBER_FUNCTIONS: dict[str, Function] = {
    "int": Function(to_int, (_A,)),
    "float64": Function(to_float, (_A,)),
    "add": Function(_add, (_A,), variadic=True),
    "sub": Function(_fold(lambda one, other: one - other), (_A, _A)),
    "mul": Function(_fold(lambda one, other: one * other), (_A, _A), variadic=True),
    "div": Function(_divide, (_A, _A)),
    "mod": Function(_modulo, (_A, _A)),
    "max": Function(_fold(max), (_A, _A), variadic=True),
    "min": Function(_fold(min), (_A, _A), variadic=True),
    "addf": Function(lambda *args: _decimals(_EXACT.add)(0.0, *args), (_A,), variadic=True),
    "subf": Function(_decimals(_EXACT.subtract), (_A, _A), variadic=True),
    "mulf": Function(_decimals(_EXACT.multiply), (_A, _A), variadic=True),
    "divf": Function(_decimals(_divide_decimals), (_A, _A), variadic=True),
    "maxf": Function(_extreme(largest=True), (_A, _A), variadic=True),
    "minf": Function(_extreme(largest=False), (_A, _A), variadic=True),
    "ceil": Function(_whole(math.ceil), (_A,)),
    "floor": Function(_whole(math.floor), (_A,)),
    "round": Function(_round, (_A, Type.INT, Type.FLOAT), variadic=True),
    "bytes": Function(parse_bytes, (_S,)),
    "duration": Function(seconds, (_S,)),
    "duration_seconds": Function(seconds, (_S,)),
    "fromJson": Function(from_json, (_S,)),
    "default": Function(default, (_A, _A), variadic=True),
}
