"""The level that each line of a column shows: by a JSON or logfmt field, else by the first level word.

The rule in its readable form, byte for byte the same, is `line_level` in gateway/push/levels.py; the tests hold the two
together. Positions below are indices into the column's line buffer; -1 says that bytes ended or are malformed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, OFFSETS, bare, inner, kernel

UNKNOWN, TRACE, DEBUG, INFO, WARN, ERROR, CRITICAL, FATAL = range(8)
"""Codes written by `line_levels`, in the order of gateway.push.levels.LEVELS."""

MAX_DEPTH = 64
"""Objects entered at most, one inside the other; the limit of gateway.push.levels."""


def _packed(word: bytes) -> np.uint64:
    # As unsigned as what it is compared with: numba compares int64 and uint64 as floats, which have 53 bits.
    return np.uint64(int.from_bytes(word, "big"))


_W_TRACE, _W_TRC = _packed(b"trace"), _packed(b"trc")
_W_DEBUG, _W_DBG = _packed(b"debug"), _packed(b"dbg")
_W_INFO, _W_INF = _packed(b"info"), _packed(b"inf")
_W_INFORMAT, _W_ION = _packed(b"informat"), _packed(b"ion")
_W_WARN, _W_WRN, _W_WARNING = _packed(b"warn"), _packed(b"wrn"), _packed(b"warning")
_W_ERROR, _W_ERR = _packed(b"error"), _packed(b"err")
_W_CRITICAL, _W_FATAL = _packed(b"critical"), _packed(b"fatal")


def _table(members: bytes) -> Any:
    table = np.zeros(256, np.uint8)
    table[list(members)] = 1
    return table


_LEFT = _table(b" \t\n[({\"'=|")
_RIGHT = _table(b" \t\n[](){}:,!\"'=|")
_JSON_SPACE = _table(b" \t\n\r")
_TOKEN_END = _table(b" \t\n\r,}]")
_WORD = _LEFT + 2 * _table(b"iewdtfcIEWDTFC")
"""1: a word may begin behind the byte; 2: a level word may begin with it."""
_TRAILING_SPACE = _table(b"\t\n\v\f\r \x85\xa0")


_AT_ONCE = np.uint64(32)
"""Bytes that are compared together."""


# -- words


@inner
def _lower(byte: Any) -> Any:
    return byte | 0x20 if 0x41 <= byte <= 0x5A else byte


@inner
def _pack(data: Any, start: int, end: int) -> Any:
    packed = np.uint64(0)
    for at in range(start, end):
        packed = (packed << np.uint64(8)) | np.uint64(_lower(data[at]))
    return packed


@bare
def _level_named(data: Any, start: int, end: int) -> int:
    """The level that data[start:end] names in any case, UNKNOWN where it names none."""
    length = end - start
    if length == 11:
        is_info = _pack(data, start, start + 8) == _W_INFORMAT and _pack(data, start + 8, end) == _W_ION
        return INFO if is_info else UNKNOWN
    if length < 3 or length > 8 or data[start] == 0:  # zeros in front do not show in a number
        return UNKNOWN
    word = _pack(data, start, end)
    if word in (_W_INFO, _W_INF):
        return INFO
    if word in (_W_ERROR, _W_ERR):
        return ERROR
    if word in (_W_WARN, _W_WRN, _W_WARNING):
        return WARN
    if word in (_W_DEBUG, _W_DBG):
        return DEBUG
    if word in (_W_TRACE, _W_TRC):
        return TRACE
    if word == _W_CRITICAL:
        return CRITICAL
    return FATAL if word == _W_FATAL else UNKNOWN


@inner
def _stands(data: Any, at: int, end: int, word: np.uint64, length: int) -> bool:
    stop = at + length
    if stop > end or (stop < end and _RIGHT[data[stop]] == 0):
        return False
    return bool(_pack(data, at, stop) == word)


@bare
def _word_level(data: Any, start: int, end: int) -> int:
    bounded = np.uint8(2)
    for at in range(np.uint64(start), np.uint64(end)):
        seen = _WORD[data[at]]
        if seen & bounded:
            letter = data[at] | 0x20
            if letter == 0x69 and _stands(data, at, end, _W_INFO, 4):
                return INFO
            if letter == 0x65 and (_stands(data, at, end, _W_ERROR, 5) or _stands(data, at, end, _W_ERR, 3)):
                return ERROR
            if letter == 0x77 and (_stands(data, at, end, _W_WARNING, 7) or _stands(data, at, end, _W_WARN, 4)):
                return WARN
            if letter == 0x64 and _stands(data, at, end, _W_DEBUG, 5):
                return DEBUG
            if letter == 0x74 and _stands(data, at, end, _W_TRACE, 5):
                return TRACE
            if letter == 0x66 and _stands(data, at, end, _W_FATAL, 5):
                return FATAL
            if letter == 0x63 and _stands(data, at, end, _W_CRITICAL, 8):
                return CRITICAL
        bounded = (seen & 1) << 1
    return UNKNOWN


# -- escapes


@inner
def _hex4(data: Any, at: int, end: int) -> int:
    if at + 4 > end:
        return -1
    value = 0
    for i in range(at, at + 4):
        byte = data[i]
        if 0x30 <= byte <= 0x39:
            value = value * 16 + (byte - 0x30)
        elif 0x61 <= (byte | 0x20) <= 0x66:
            value = value * 16 + ((byte | 0x20) - 0x57)
        else:
            return -1
    return value


@inner
def _put_rune(out: Any, size: int, rune: int) -> int:
    if rune < 0x80:
        out[size] = rune
        return size + 1
    if rune < 0x800:
        out[size] = 0xC0 | (rune >> 6)
        out[size + 1] = 0x80 | (rune & 0x3F)
        return size + 2
    if rune < 0x10000:
        out[size] = 0xE0 | (rune >> 12)
        out[size + 1] = 0x80 | ((rune >> 6) & 0x3F)
        out[size + 2] = 0x80 | (rune & 0x3F)
        return size + 3
    out[size] = 0xF0 | (rune >> 18)
    out[size + 1] = 0x80 | ((rune >> 12) & 0x3F)
    out[size + 2] = 0x80 | ((rune >> 6) & 0x3F)
    out[size + 3] = 0x80 | (rune & 0x3F)
    return size + 4


@inner
def _escaped_byte(escape: int, quote: bool) -> int:
    if escape in (0x22, 0x5C, 0x2F):
        return escape
    if escape == 0x62:
        return 8
    if escape == 0x66:
        return 12
    if escape == 0x6E:
        return 10
    if escape == 0x72:
        return 13
    if escape == 0x74:
        return 9
    return 0x27 if quote and escape == 0x27 else -1


@inner
def _unescape(data: Any, start: int, end: int, strict: bool, out: Any) -> int:
    """Writes data[start:end] without its escapes to `out` (as long at least); its length, -1 if malformed."""
    size = 0
    at = start
    while at < end:
        byte = data[at]
        if byte != 0x5C:
            if not strict and byte < 0x20:
                return -1
            out[size] = byte
            size += 1
            at += 1
            continue
        if at + 1 >= end:
            return -1
        escape = data[at + 1]
        meant = _escaped_byte(escape, not strict)
        if meant >= 0:
            out[size] = meant
            size += 1
            at += 2
            continue
        if escape != 0x75:
            return -1
        rune = _hex4(data, at + 2, end)
        if rune < 0:
            return -1
        at += 6
        if 0xD800 <= rune < 0xE000:
            low = -1
            if at + 1 < end and data[at] == 0x5C and data[at + 1] == 0x75:
                low = _hex4(data, at + 2, end)
                if low < 0:
                    return -1
            if rune < 0xDC00 and 0xDC00 <= low < 0xE000:
                rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00)
                at += 6
            elif strict:
                return -1
            else:
                rune = 0xFFFD
        size = _put_rune(out, size, rune)
    return size


# -- field names


@bare
def _field(data: Any, start: int, end: int, names: Any, offsets: Any, fold: bool) -> int:
    """Which of the names data[start:end] is: its index, -1 for none. With `fold` the names are lower case."""
    length = end - start
    for index in range(len(offsets) - 1):
        first = offsets[index]
        if offsets[index + 1] - first != length:
            continue
        same = True
        for i in range(length):
            byte = data[start + i]
            if (_lower(byte) if fold else byte) != names[first + i]:
                same = False
                break
        if same:
            return index
    return -1


@bare
def _has(data: Any, start: int, end: int, wanted: int) -> bool:
    at, stop = np.uint64(start), np.uint64(end)
    found = False
    while not found and at + _AT_ONCE <= stop:
        for _ in range(_AT_ONCE):
            found |= data[at] == wanted
            at += np.uint64(1)
    while not found and at < stop:
        found = data[at] == wanted
        at += np.uint64(1)
    return found


# -- JSON


@bare
def _next(data: Any, at: int, end: int) -> int:
    while at < end:
        if _JSON_SPACE[data[at]] == 0:
            return at
        at += 1
    return -1


@bare
def _string_end(data: Any, at: int, end: int) -> int:
    at += 1
    while at < end:
        byte = data[at]
        if byte == 0x22:
            return at + 1
        at += 2 if byte == 0x5C else 1
    return -1


@inner
def _block_end(data: Any, at: int, end: int, opening: int, closing: int) -> int:
    level = 0
    while at < end:
        byte = data[at]
        if byte == 0x22:
            at = _string_end(data, at, end)
            if at < 0:
                return -1
            continue
        at += 1
        if byte == opening:
            level += 1
        elif byte == closing:
            level -= 1
            if level == 0:
                return at
    return -1


@inner
def _is_literal(data: Any, start: int, end: int) -> bool:
    length = end - start
    if length == 4:
        true = data[start] == 0x74 and data[start + 1] == 0x72 and data[start + 2] == 0x75 and data[start + 3] == 0x65
        null = data[start] == 0x6E and data[start + 1] == 0x75 and data[start + 2] == 0x6C and data[start + 3] == 0x6C
        return bool(true or null)
    return bool(
        length == 5
        and data[start] == 0x66
        and data[start + 1] == 0x61
        and data[start + 2] == 0x6C
        and data[start + 3] == 0x73
        and data[start + 4] == 0x65
    )


@bare
def _value_end(data: Any, at: int, end: int) -> int:
    first = data[at]
    if first == 0x22:
        return _string_end(data, at, end)
    if first == 0x7B:
        return _block_end(data, at, end, 0x7B, 0x7D)
    if first == 0x5B:
        return _block_end(data, at, end, 0x5B, 0x5D)
    stop = at
    while stop < end and _TOKEN_END[data[stop]] == 0:
        stop += 1
    if 0x30 <= first <= 0x39 or first == 0x2D or _is_literal(data, at, stop):
        return stop
    return -1


@inner
def _json_level(data: Any, start: int, end: int, names: Any, offsets: Any, depth: int, stack: Any) -> int:
    """The level named by the first string in document order under one of the names, UNKNOWN for none.

    `stack` is int64[MAX_DEPTH, 2]: per object that was entered where the one around it goes on, and where that ends.
    """
    top = 0
    at = _next(data, start, end)
    if at < 0 or data[at] != 0x7B:
        return UNKNOWN
    at = _next(data, at + 1, end)
    after_value = False
    while at >= 0:
        byte = data[at]
        if byte == 0x7D:
            if top == 0:
                return UNKNOWN
            top -= 1
            end = stack[top, 1]
            at = _next(data, stack[top, 0], end)
            after_value = True
            continue
        if after_value:
            if byte != 0x2C:
                return UNKNOWN
            at = _next(data, at + 1, end)
            after_value = False
            continue
        if byte != 0x22:
            return UNKNOWN
        stop = _string_end(data, at, end)
        if stop < 0:
            return UNKNOWN
        if _has(data, at + 1, stop - 1, 0x5C):
            key = np.empty(stop - at, np.uint8)
            size = _unescape(data, at + 1, stop - 1, True, key)
            if size < 0:
                return UNKNOWN
            wanted = _field(key, 0, size, names, offsets, False) >= 0
        else:
            wanted = _field(data, at + 1, stop - 1, names, offsets, False) >= 0
        at = _next(data, stop, end)
        if at < 0 or data[at] != 0x3A:
            return UNKNOWN
        at = _next(data, at + 1, end)
        if at < 0:
            return UNKNOWN
        stop = _value_end(data, at, end)
        if stop < 0:
            return UNKNOWN
        if wanted and data[at] == 0x22:
            return _level_named(data, at + 1, stop - 1)
        if data[at] == 0x7B and depth - top > 1:
            stack[top, 0] = stop
            stack[top, 1] = end
            top += 1
            end = stop
            at = _next(data, at + 1, end)
            continue
        at = _next(data, stop, end)
        after_value = True
    return UNKNOWN


@inner
def _after_space(data: Any, at: int, end: int) -> int:
    """Where the white space that a line begins with ends: the runes of Go's unicode.IsSpace."""
    while at < end:
        byte = data[at]
        second = data[at + 1] if at + 1 < end else 0
        third = data[at + 2] if at + 2 < end else 0
        if 0x09 <= byte <= 0x0D or byte == 0x20:
            at += 1
        elif byte == 0xC2 and (second in (0x85, 0xA0)):
            at += 2
        elif (
            (byte == 0xE2 and second == 0x80 and (0x80 <= third <= 0x8A or third in (0xA8, 0xA9, 0xAF)))
            or (byte == 0xE1 and second == 0x9A and third == 0x80)
            or (byte == 0xE2 and second == 0x81 and third == 0x9F)
            or (byte == 0xE3 and second == 0x80 and third == 0x80)
        ):
            at += 3
        else:
            break
    return at


@bare
def _looks_like_json(data: Any, start: int, end: int) -> bool:
    first = _after_space(data, start, end)
    if first >= end or data[first] != 0x7B:
        return False
    last = end - 1
    while last > first and _TRAILING_SPACE[data[last]] == 1:
        last -= 1
    return bool(data[last] == 0x7D)


# -- logfmt


@bare
def _is_key(data: Any, start: int, end: int) -> bool:
    """Whether a logfmt key is valid UTF-8 without U+FFFD."""
    at = start
    while at < end:
        byte = data[at]
        if byte < 0x80:
            at += 1
            continue
        if 0xC2 <= byte <= 0xDF:
            more = 1
        elif 0xE0 <= byte <= 0xEF:
            more = 2
        elif 0xF0 <= byte <= 0xF4:
            more = 3
        else:
            return False
        if at + more >= end:
            return False
        second = data[at + 1]
        if (
            (byte == 0xE0 and second < 0xA0)
            or (byte == 0xED and second > 0x9F)
            or (byte == 0xF0 and second < 0x90)
            or (byte == 0xF4 and second > 0x8F)
        ):
            return False
        for i in range(at + 1, at + 1 + more):
            if data[i] & 0xC0 != 0x80:
                return False
        if byte == 0xEF and second == 0xBF and data[at + 2] == 0xBD:
            return False
        at += more + 1
    return True


@bare
def _bare_end(data: Any, at: int, end: int) -> int:
    while at < end and data[at] > 0x20 and data[at] != 0x3D and data[at] != 0x22:
        at += 1
    return at


@inner
def _logfmt_level(data: Any, start: int, end: int, names: Any, offsets: Any) -> int:
    """The level named by the best-placed name's value among the pairs up to the first malformed one."""
    best = len(offsets) - 1
    level = UNKNOWN
    at = start
    while at < end:
        while at < end and data[at] <= 0x20:
            at += 1
        key = at
        at = _bare_end(data, at, end)
        key_end = at
        has_value = at < end and data[at] == 0x3D
        if (at < end and data[at] == 0x22) or (has_value and key == key_end) or not _is_key(data, key, key_end):
            break
        place = _field(data, key, key_end, names, offsets, True)
        found = UNKNOWN
        if has_value:
            at += 1
            value = at
            if at < end and data[at] == 0x22:
                at = _string_end(data, at, end)
                if at < 0:
                    break
                if _has(data, value + 1, at - 1, 0x5C):
                    plain = np.empty(at - value, np.uint8)
                    size = _unescape(data, value + 1, at - 1, False, plain)
                    if size < 0:
                        break
                    found = _level_named(plain, 0, size)
                else:
                    found = _level_named(data, value + 1, at - 1)
            else:
                at = _bare_end(data, at, end)
                if at < end and data[at] > 0x20:
                    break
                found = _level_named(data, value, at)
        if 0 <= place < best:
            best = place
            level = found
            if place == 0:
                break
    return level


@kernel(f"void({BYTES}, {OFFSETS}, {OFFSETS}, {BYTES}, {OFFSETS}, int64, int8[::1])")
def line_levels(data: Any, lines: Any, rows: Any, names: Any, offsets: Any, max_depth: int, out: Any) -> None:
    """Writes the level code of each wanted line.

    Args:
        data: uint8[], the line buffer.
        lines: int64[n + 1], where each line begins.
        rows: int64[m], the lines wanted.
        names: uint8[], the field names that hold a level, one after the other, best first.
        offsets: int64[k + 1], where each name begins.
        max_depth: nested objects searched in a JSON line, the root counting; 0 or less: as many as there are.
        out: int8[m], gets the codes.
    """
    depth = max_depth if 0 < max_depth < MAX_DEPTH else MAX_DEPTH
    stack = np.empty((MAX_DEPTH, 2), np.int64)
    folded = np.empty(len(names), np.uint8)
    for i in range(len(names)):
        folded[i] = _lower(names[i])
    for i in range(len(rows)):
        start = lines[rows[i]]
        end = lines[rows[i] + 1]
        level = UNKNOWN
        if _looks_like_json(data, start, end):
            level = _json_level(data, start, end, names, offsets, depth, stack)
        elif _has(data, start, end, 0x3D):
            level = _logfmt_level(data, start, end, folded, offsets)
        if level == UNKNOWN:
            level = _word_level(data, start, end)
        out[i] = level
