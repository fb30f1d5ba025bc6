"""Times of container logs (RFC 3339) in columns."""

from __future__ import annotations

import numpy as np

from gateway.collect.rows import I64, NO_TIME, U8, Mask

WIDTH = 35
"""Characters of the longest: `2026-11-22T19:40:01.123456789+01:00`."""

_SECOND = 1_000_000_000
_ZERO, _NINE, _DOT, _UPPER_Z, _LOWER_Z, _PLUS, _MINUS = b"09.Zz+-"
_FRACTION = 20
"""Where the digits of a fraction begin."""
_MARKS = ((4, b"-"), (7, b"-"), (13, b":"), (16, b":"))
_DIGITS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)


def read_stamps(chars: U8) -> I64:
    """Times in ns, NO_TIME for what is none.

    Args:
        chars: uint8[n, WIDTH], each with zeros behind it.
    """
    if not len(chars):
        return np.empty(0, np.int64)
    is_digit = (chars >= _ZERO) & (chars <= _NINE)
    good: Mask = np.asarray(is_digit[:, _DIGITS].all(1))
    for place, mark in _MARKS:
        good &= chars[:, place] == mark[0]
    good &= np.isin(chars[:, 10], (ord("T"), ord("t"), ord(" ")))
    value = chars.astype(np.int64) - _ZERO
    month, day = _number(value, 5, 2), _number(value, 8, 2)
    hour, minute, second = _number(value, 11, 2), _number(value, 14, 2), _number(value, 17, 2)
    good &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (hour < 24) & (minute < 60) & (second <= 60)
    # The digits of the fraction are those up to the first character that is none.
    has_dot = chars[:, 19] == _DOT
    run = np.cumprod(is_digit[:, _FRACTION : _FRACTION + 9], axis=1) * has_dot[:, None]
    nanos = (value[:, _FRACTION : _FRACTION + 9] * run) @ (10 ** np.arange(8, -1, -1, dtype=np.int64))
    zone_at = np.where(has_dot, _FRACTION + run.sum(1), 19)
    good &= ~has_dot | (run[:, 0] == 1)
    offset, zone_is_good = _zones(chars, value, is_digit, zone_at)
    good &= zone_is_good
    days = _days(_number(value, 0, 4), month, day)
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset
    found = seconds * _SECOND + nanos
    good &= (seconds >= 0) & (seconds < 1 << 33)
    return np.where(good, found, NO_TIME)


def stamps_of(texts: list[str]) -> I64:
    """Times of texts; what is longer than any time is none."""
    try:
        chars = np.array(texts, f"S{WIDTH + 1}").view(np.uint8).reshape(len(texts), WIDTH + 1)
    except UnicodeEncodeError:
        return stamps_of([text if text.isascii() else "" for text in texts])
    found = read_stamps(chars[:, :WIDTH])
    return np.where(chars[:, WIDTH] == 0, found, NO_TIME)


def _number(value: I64, place: int, digits: int) -> I64:
    found: I64 = value[:, place]
    for more in range(place + 1, place + digits):
        found = np.add(found * 10, value[:, more])
    return found


def _zones(chars: U8, value: I64, is_digit: Mask, at: I64) -> tuple[I64, Mask]:
    """Seconds east of UTC, and whether there is a zone with nothing behind it."""
    row = np.arange(len(chars))
    sign = chars[row, at]
    after = chars[row, np.minimum(at + 1, WIDTH - 1)]
    is_utc = ((sign == _UPPER_Z) | (sign == _LOWER_Z)) & ((after == 0) | (at + 1 == WIDTH))
    if is_utc.all():
        return np.zeros(len(chars), np.int64), is_utc
    places = np.minimum(at[:, None] + np.array([1, 2, 4, 5]), WIDTH - 1)
    digits = np.take_along_axis(value, places, 1)
    numeric = ((sign == _PLUS) | (sign == _MINUS)) & (at + 6 <= WIDTH)
    numeric &= np.take_along_axis(is_digit, places, 1).all(1)
    numeric &= chars[row, np.minimum(at + 3, WIDTH - 1)] == ord(":")
    numeric &= (at + 6 == WIDTH) | (chars[row, np.minimum(at + 6, WIDTH - 1)] == 0)
    away = digits @ np.array([36_000, 3_600, 600, 60], np.int64)
    return np.where(numeric, np.where(sign == _MINUS, -away, away), 0), is_utc | numeric


def _days(year: I64, month: I64, day: I64) -> I64:
    """Days since 1970-01-01 of a date of the Gregorian calendar, counted from March so that leap days are last."""
    year = year - (month <= 2)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: I64 = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days
