"""Numbers, durations and sizes in the usual forms, read from bytes: what logql/convert.py reads from their text.

A number is the double nearest to it, and never the one beside it. Few digits: a product or quotient of two exact
doubles is rounded once (W. Clinger, "How to Read Floating Point Numbers Accurately", 1990). Up to 19: the product with
128 bits of the power of five (D. Lemire, "Number Parsing at a Gigabyte per Second", 2021). What has more digits, a
large exponent, or is in no usual form is UNSURE.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from logql.kernels.lanes import AHEAD, soon
from logql.kernels.words import ONE, TWO
from storage.kernels.cache import BYTES, OFFSETS, inlined, kernel

NOT_SET, NUMBER, UNSURE = 0, 1, 2
"""States of values; those of logql.columns.numbers."""
FLOAT, SIZE, DURATION = 0, 1, 2
"""Forms: those of convert.parse_float, parse_bytes and parse_duration."""

KINDS = "Array(uint8, 1, 'C', True)"

_EXACT_POWER = 22
"""10**22 is the largest power of ten that is a double."""
_MOST_POWER = 27
"""5**27 is the largest power of five in 64 bits: the product with 128 bits of it decides every rounding."""
_MOST_DIGITS = 19
_FRACTION_DIGITS = 18
_LONGEST_EXPONENT = 4

_TENS = np.array([10.0**power for power in range(_EXACT_POWER + 1)])


def _five(power: int) -> int:
    """The first 128 bits of 5**power, rounded up where they are not all."""
    divisor: int = 5 ** abs(power)
    if power >= 0:
        return divisor << 128 - divisor.bit_length()
    return (1 << (divisor - 1).bit_length() + 127) // divisor + 1


_FIVES = [_five(power) for power in range(-_MOST_POWER, _MOST_POWER + 1)]
_HIGH = np.array([five >> 64 for five in _FIVES], np.uint64)
_LOW = np.array([five & (1 << 64) - 1 for five in _FIVES], np.uint64)

_ZERO, _TEN, _DIGIT = np.uint64(0), np.uint64(10), np.uint8(ord("0"))
_POINT, _PLUS, _MINUS, _BLANK = np.uint8(ord(".")), np.uint8(ord("+")), np.uint8(ord("-")), np.uint8(ord(" "))
_SMALL = np.uint8(0x20)
"""The bit that makes a small letter of a large one."""
_EXACT_MANTISSA = np.uint64(1 << 53)
_HALF, _HALF_BITS = np.uint64(32), np.uint64(0xFFFFFFFF)
_TOP = np.uint64(63)
_SPARE = np.uint64(9)
"""Bits of a product's upper half below those of a double and two to round by."""
_SPARE_BITS = np.uint64(0x1FF)
_THREE = np.uint64(3)

_MOST_NS = np.int64(1 << 62)
_NS, _US, _MS = np.int64(1), np.int64(1_000), np.int64(1_000_000)
_SECOND, _MINUTE, _HOUR = np.int64(1_000_000_000), np.int64(60_000_000_000), np.int64(3_600_000_000_000)

_LETTERS = np.frombuffer(b"kmgtpe", np.uint8)
_THOUSANDS = np.array([1000.0**power for power in range(7)])
_BINARY = np.array([1024.0**power for power in range(7)])
_MOST_BYTES = 2.0**64


@inlined
def _decimal(data: Any, at: Any, stop: Any) -> Any:
    """Reads digits with perhaps a point among them.

    Returns:
        (uint64 and its power of ten; the place behind; whether there are digits and not too many)
    """
    mantissa, power = _ZERO, np.int64(0)
    digits, seen, point = 0, False, False
    while at < stop:
        byte = data[at]
        digit = byte - _DIGIT
        if digit <= np.uint8(9):
            seen = True
            mantissa = mantissa * _TEN + np.uint64(digit)
            if digits or digit:
                digits += 1
            if point:
                power -= 1
        elif byte == _POINT and not point:
            point = True
        else:
            break
        at += ONE
    return mantissa, power, at, seen and digits <= _MOST_DIGITS


@inlined
def _product(left: Any, right: Any) -> Any:
    """(upper, lower half) of the product of two uint64."""
    a, b = left >> _HALF, left & _HALF_BITS
    c, d = right >> _HALF, right & _HALF_BITS
    low, middle = b * d, a * d
    middle += low >> _HALF
    other = b * c + (middle & _HALF_BITS)
    return a * c + (middle >> _HALF) + (other >> _HALF), (other << _HALF) | (low & _HALF_BITS)


@inlined
def _nearest(mantissa: Any, power: Any) -> Any:
    """The double nearest to mantissa * 10**power, for a mantissa that is not 0 and a power up to _MOST_POWER."""
    zeros = 0
    while not mantissa >> _TOP:
        mantissa <<= ONE
        zeros += 1
    place = np.uint64(power + _MOST_POWER)
    high, low = _product(mantissa, _HIGH[place])
    if high & _SPARE_BITS == _SPARE_BITS:
        more, _ = _product(mantissa, _LOW[place])
        low += more
        if low < more:
            high += ONE
    upper = high >> _TOP
    bits = high >> (upper + _SPARE)
    # Right between two doubles: the even one. Only these powers of five leave such products.
    if low <= ONE and -4 <= power <= 23 and bits & _THREE == ONE and bits << (upper + _SPARE) == high:
        bits ^= ONE
    bits = (bits + (bits & ONE)) >> ONE
    exponent = (((152170 + 65536) * power) >> 16) + 63 + np.int64(upper) - zeros - 52
    return math.ldexp(np.float64(bits), exponent)


@inlined
def _double(mantissa: Any, power: Any) -> Any:
    """(mantissa * 10**power rounded once; whether it could be told)."""
    value = np.float64(mantissa)
    if mantissa <= _EXACT_MANTISSA and -_EXACT_POWER <= power <= _EXACT_POWER:
        if power < 0:
            return value / _TENS[np.uint64(-power)], True
        return value * _TENS[np.uint64(power)], True
    if mantissa == _ZERO:
        return 0.0, True
    if -_MOST_POWER <= power <= _MOST_POWER:
        return _nearest(mantissa, power), True
    return 0.0, False


@inlined
def _float(data: Any, at: Any, stop: Any) -> Any:
    """(number; whether it is one in a usual form), as convert.parse_float. The text is not empty."""
    negative = data[at] == _MINUS
    if negative or data[at] == _PLUS:
        at += ONE
    mantissa, power, at, good = _decimal(data, at, stop)
    if good and at < stop and data[at] | _SMALL == np.uint8(ord("e")):
        at += ONE
        down = at < stop and data[at] == _MINUS
        if at < stop and (down or data[at] == _PLUS):
            at += ONE
        good = at < stop <= at + np.uint64(_LONGEST_EXPONENT)
        exponent = np.int64(0)
        while good and at < stop:
            digit = data[at] - _DIGIT
            good = digit <= np.uint8(9)
            exponent = exponent * 10 + np.int64(digit)
            at += ONE
        power += -exponent if down else exponent
    if not good or at != stop:
        return 0.0, False
    value, good = _double(mantissa, power)
    return (-value if negative else value), good


@inlined
def _size(data: Any, at: Any, stop: Any) -> Any:
    """(bytes; whether they are in a usual form), as convert.parse_bytes."""
    mantissa, power, at, good = _decimal(data, at, stop)
    if not good:
        return 0.0, False
    value, good = _double(mantissa, power)
    while at < stop and data[at] == _BLANK:
        at += ONE
    if at < stop:
        letter = data[at] | _SMALL
        for place in range(6):
            if letter == _LETTERS[place]:
                at += ONE
                if at < stop and data[at] | _SMALL == np.uint8(ord("i")):
                    at += ONE
                    value *= _BINARY[place + 1]
                else:
                    value *= _THOUSANDS[place + 1]
                break
        if at < stop and data[at] | _SMALL == np.uint8(ord("b")):
            at += ONE
    return np.floor(value), good and at == stop and value < _MOST_BYTES


@inlined
def _unit(data: Any, at: Any, stop: Any) -> Any:
    """(ns of the unit of a duration, 0 if it is none; the place behind it)."""
    left = stop - at
    if not left:
        return np.int64(0), at
    first = data[at]
    second = data[at + ONE] if left > ONE else np.uint8(0)
    ended = second == np.uint8(ord("s"))
    if first == np.uint8(ord("s")):
        return _SECOND, at + ONE
    if first == np.uint8(ord("h")):
        return _HOUR, at + ONE
    if first == np.uint8(ord("m")):
        return (_MS, at + TWO) if ended else (_MINUTE, at + ONE)
    if first == np.uint8(ord("n")) and ended:
        return _NS, at + TWO
    if first == np.uint8(ord("u")) and ended:
        return _US, at + TWO
    # The two characters that are written for micro.
    micro = (first == np.uint8(0xC2) and second == np.uint8(0xB5)) or (
        first == np.uint8(0xCE) and second == np.uint8(0xBC)
    )
    if micro and left > TWO and data[at + TWO] == np.uint8(ord("s")):
        return _US, at + _THREE
    return np.int64(0), at


@inlined
def _duration(data: Any, at: Any, stop: Any) -> Any:
    """(ns; whether they are in a usual form), as convert.parse_duration. The text is not empty."""
    negative = data[at] == _MINUS
    if negative or data[at] == _PLUS:
        at += ONE
    total = np.int64(0)
    if at + ONE == stop and data[at] == _DIGIT:
        return total, True
    good = at < stop
    while good and at < stop:
        whole, fraction = np.int64(0), np.int64(0)
        start = at
        while at < stop and data[at] - _DIGIT <= np.uint8(9):
            whole = whole * 10 + np.int64(data[at] - _DIGIT)
            at += ONE
        digits = np.int64(at - start)
        places = np.int64(0)
        if at < stop and data[at] == _POINT:
            at += ONE
            start = at
            while at < stop and data[at] - _DIGIT <= np.uint8(9):
                fraction = fraction * 10 + np.int64(data[at] - _DIGIT)
                at += ONE
            places = np.int64(at - start)
        unit, at = _unit(data, at, stop)
        good = (
            unit > 0
            and digits + places > 0
            and digits <= _FRACTION_DIGITS
            and places <= _FRACTION_DIGITS
            and whole < _MOST_NS // unit
            # a unit goes on to the next digit or point
            and (at == stop or data[at] == _POINT or data[at] - _DIGIT <= np.uint8(9))
        )
        if good:
            total += whole * unit + np.int64(np.float64(fraction) * (np.float64(unit) / _TENS[np.uint64(places)]))
            good = total < _MOST_NS
    return (-total if negative else total), good


@kernel(f"void({BYTES}, {OFFSETS}, {OFFSETS}, {KINDS}, int64, float64[::1], int64[::1], uint8[::1])")
def read_numbers(data: Any, starts: Any, stops: Any, kinds: Any, form: Any, values: Any, ns: Any, states: Any) -> None:
    """Reads m numbers, sizes or durations.

    Args:
        data: uint8[].
        starts: int64[m], where each text begins.
        stops: int64[m], where it ends.
        kinds: uint8[m], NOT_SET or a parser's kind.
        form: FLOAT, SIZE or DURATION.
        values: float64[m], gets numbers or bytes, which are whole; not for durations.
        ns: int64[m], gets durations; not for others.
        states: uint8[m], gets NUMBER, NOT_SET or UNSURE.
    """
    rows = np.uint64(len(starts))
    for row in range(rows):
        if row + AHEAD < rows:
            soon(data, np.uint64(starts[row + AHEAD]))
        states[row] = UNSURE if kinds[row] else NOT_SET
        at, stop = np.uint64(starts[row]), np.uint64(stops[row])
        if not kinds[row] or at >= stop:
            continue
        if form == DURATION:
            duration, good = _duration(data, at, stop)
            if good:
                ns[row] = duration
        else:
            value, good = _float(data, at, stop) if form == FLOAT else _size(data, at, stop)
            if good:
                values[row] = value
        if good:
            states[row] = NUMBER
