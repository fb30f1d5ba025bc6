r"""JSON strings as Go writes them: the kernel form of gateway.query.gojson.line_json, byte for byte the same.

`"`, `\`, line feed, return and tab have escapes of two bytes; other control bytes, `<`, `>`, `&`, U+2028 and U+2029
have `\uXXXX`; each byte that is not of valid UTF-8 becomes `\ufffd`.

The functions are compiled into the kernels of this folder.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import inner

_PLAIN, _SHORT, _LONG, _HIGH = 0, 1, 2, 3


def _kinds() -> Any:
    kinds = np.zeros(256, np.uint8)
    kinds[:0x20] = _LONG
    kinds[list(b"<>&")] = _LONG
    kinds[list(b'"\\\n\r\t')] = _SHORT
    kinds[0x80:] = _HIGH
    return kinds


def _letters() -> Any:
    letters = np.zeros(256, np.uint8)
    for byte, letter in zip(b'"\\\n\r\t', b'"\\nrt', strict=True):
        letters[byte] = letter
    return letters


_KIND = _kinds()
_LETTER = _letters()
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_TEN = np.uint64(10)
"""Unsigned as what it divides: numba makes a float of a uint64 and an int64."""
_ZERO = np.uint64(0x30)


@inner
def rune_bytes(data: Any, at: int, end: int) -> int:
    """Bytes of the valid UTF-8 sequence that data[at:end] begins with; 1 where it begins with none.

    data[at] is over 0x7F, so that a sequence has two bytes at least. The ranges are those of RFC 3629.
    """
    first = data[at]
    low, high = 0x80, 0xBF
    if 0xC2 <= first <= 0xDF:
        size = 2
    elif 0xE0 <= first <= 0xEF:
        size = 3
        if first == 0xE0:
            low = 0xA0
        elif first == 0xED:
            high = 0x9F
    elif 0xF0 <= first <= 0xF4:
        size = 4
        if first == 0xF0:
            low = 0x90
        elif first == 0xF4:
            high = 0x8F
    else:
        return 1
    if at + size > end or data[at + 1] < low or data[at + 1] > high:
        return 1
    for i in range(at + 2, at + size):
        if data[i] & 0xC0 != 0x80:
            return 1
    return size


@inner
def _is_separator(data: Any, at: int) -> bool:
    """Whether the three-byte sequence at `at` is U+2028 or U+2029."""
    return bool(data[at] == 0xE2 and data[at + 1] == 0x80 and (data[at + 2] == 0xA8 or data[at + 2] == 0xA9))


@inner
def escaped_size(data: Any, start: int, end: int) -> int:
    """Bytes of data[start:end] once it is escaped."""
    # Without branches, so that it runs over many bytes at once.
    more = 0
    high = 0
    for at in range(start, end):
        byte = data[at]
        short = (byte == 0x22) | (byte == 0x5C) | (byte == 0x0A) | (byte == 0x0D) | (byte == 0x09)
        long = (byte < 0x20) | (byte == 0x3C) | (byte == 0x3E) | (byte == 0x26)
        more += 5 * long - 4 * (short & (byte < 0x20)) + (short & (byte >= 0x20))
        high |= byte
    size = end - start + more
    if high < 0x80:
        return size
    at = start
    while at < end:
        if data[at] < 0x80:
            at += 1
            continue
        length = rune_bytes(data, at, end)
        if length == 1:
            size += 5
        elif length == 3 and _is_separator(data, at):
            size += 3
        at += length
    return size


@inner
def put_escaped(data: Any, start: int, end: int, out: Any, at: int) -> int:
    """Writes data[start:end] escaped to out[at:]; where it ends."""
    i = start
    while i < end:
        byte = data[i]
        kind = _KIND[byte]
        if kind == _PLAIN:
            out[at] = byte
            at += 1
            i += 1
        elif kind == _SHORT:
            out[at] = 0x5C
            out[at + 1] = _LETTER[byte]
            at += 2
            i += 1
        elif kind == _LONG:
            at = _put_unicode(out, at, byte)
            i += 1
        else:
            length = rune_bytes(data, i, end)
            if length == 1:
                at = _put_unicode(out, at, 0xFFFD)
            elif length == 3 and _is_separator(data, i):
                at = _put_unicode(out, at, 0x2028 + (data[i + 2] & 1))
            else:
                for j in range(length):
                    out[at + j] = data[i + j]
                at += length
            i += length
    return at


@inner
def _put_unicode(out: Any, at: int, rune: int) -> int:
    r"""Writes `\uXXXX`."""
    out[at] = 0x5C
    out[at + 1] = 0x75
    out[at + 2] = _HEX[(rune >> 12) & 15]
    out[at + 3] = _HEX[(rune >> 8) & 15]
    out[at + 4] = _HEX[(rune >> 4) & 15]
    out[at + 5] = _HEX[rune & 15]
    return at + 6


@inner
def digits(value: Any) -> int:
    """Decimal digits of a uint64."""
    count = 1
    while value >= _TEN:
        value //= _TEN
        count += 1
    return count


@inner
def put_digits(value: Any, count: int, out: Any, at: int) -> int:
    """Writes the last `count` digits of a uint64 to out[at:]; where they end."""
    for place in range(at + count - 1, at - 1, -1):
        out[place] = _ZERO + value % _TEN
        value //= _TEN
    return at + count


@inner
def magnitude(value: Any) -> Any:
    """An int64 without its sign, as a uint64."""
    plain = np.uint64(value)
    return np.uint64(0) - plain if value < 0 else plain


@inner
def put(data: Any, start: int, end: int, out: Any, at: int) -> int:
    """Copies data[start:end] to out[at:]; where it ends."""
    for i in range(end - start):
        out[at + i] = data[start + i]
    return at + end - start
