"""The text of a JSON push (/loki/api/v1/push), walked straight into columns.

msgspec is the oracle and the fallback: `walk` vouches for a body only where msgspec would take it and read the same,
and says "not sure" otherwise. Sure is `{"streams": [{"stream": {...}, "values": [["<ns>", "<line>", {...}]]}]}`: these
names and no others, each once, as written here; strings only where strings should be; every stream with both of its
fields, every entry with a time of at most 19 digits and a line; white space anywhere. Two things are for the caller to
see to: that the body is UTF-8, and that an object of labels, of which only the end is looked for, is one of strings.

Positions are indices into the body, of a string those of what stands between its quotes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, OFFSETS, inner, kernel
from storage.kernels.spans import copy_bytes

NOT_SURE = -1
"""What `walk` has for the number of streams where msgspec is to decide."""

LABELS_START, LABELS_END, STREAM_ENTRIES = range(3)
"""Columns of the array of streams."""
PAIR_ROW, NAME_START, NAME_END, NAME_SIZE, VALUE_START, VALUE_END, VALUE_SIZE = range(7)
"""Rows of the array of metadata pairs."""

_LAST = (1 << 63) - 1
_DIGITS = 19
"""Of a time at most: so many do not overflow 64 bits."""
_QUOTE, _BACKSLASH, _COMMA, _COLON = 0x22, 0x5C, 0x2C, 0x3A
_LEFT_BRACKET, _RIGHT_BRACKET, _LEFT_BRACE, _RIGHT_BRACE = 0x5B, 0x5D, 0x7B, 0x7D
_U = 0x75
_STREAMS, _STREAM, _VALUES = tuple(b'streams"'), tuple(b'stream"'), tuple(b'values"')

_ONE, _EIGHT = np.uint64(1), np.uint64(8)
_SHIFTS = tuple(np.uint64(8 * place) for place in range(8))
_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_SPACES = np.uint64(0x2020202020202020)
_QUOTES = np.uint64(0x2222222222222222)
_BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_TOP = np.uint64(56)


@inner
def _word(raw: Any, at: Any) -> Any:
    """The 8 bytes at `at` as a number, the first one lowest. Compiles to one load."""
    return (
        np.uint64(raw[at])
        | (np.uint64(raw[at + np.uint64(1)]) << _SHIFTS[1])
        | (np.uint64(raw[at + np.uint64(2)]) << _SHIFTS[2])
        | (np.uint64(raw[at + np.uint64(3)]) << _SHIFTS[3])
        | (np.uint64(raw[at + np.uint64(4)]) << _SHIFTS[4])
        | (np.uint64(raw[at + np.uint64(5)]) << _SHIFTS[5])
        | (np.uint64(raw[at + np.uint64(6)]) << _SHIFTS[6])
        | (np.uint64(raw[at + np.uint64(7)]) << _SHIFTS[7])
    )


@inner
def _plain_bytes(word: Any) -> Any:
    """How many bytes of a word are plain text: those before the first quote, backslash or control character.

    Eight bytes at once (Mycroft's test for a byte that is zero, or below another): the lowest byte found is right.
    """
    quoted, escaped = word ^ _QUOTES, word ^ _BACKSLASHES
    found = (((quoted - _ONES) & ~quoted) | ((escaped - _ONES) & ~escaped) | ((word - _SPACES) & ~word)) & _HIGH
    if found == 0:
        return _EIGHT
    below = (found & (~found + _ONE)) - _ONE
    return (((below & _ONES) * _ONES) >> _TOP) - _ONE


@inner
def _hex4(raw: Any, at: Any, end: Any) -> Any:
    """The number of the four hex digits at `at`; -1 where they are none."""
    if at + 4 > end:
        return -1
    value = np.int64(0)
    for place in range(at, at + 4):
        digit = np.int64(raw[np.uint64(place)])
        if 0x30 <= digit <= 0x39:
            digit -= 0x30
        elif 0x41 <= digit <= 0x46 or 0x61 <= digit <= 0x66:
            digit = (digit & 0x5F) - 0x37
        else:
            return -1
        value = value << 4 | digit
    return value


@inner
def _escape(raw: Any, at: Any, end: Any) -> Any:
    """The character that the escape behind the backslash before `at` stands for, and where it ends; -1: not sure."""
    if at >= end:
        return -1, at
    byte = raw[np.uint64(at)]
    if byte in (_QUOTE, _BACKSLASH, 0x2F):
        return np.int64(byte), at + 1
    if byte == _U:
        code = _hex4(raw, at + 1, end)
        at += 5
        if 0xD800 <= code < 0xE000:
            if code >= 0xDC00 or at + 2 > end or raw[np.uint64(at)] != _BACKSLASH or raw[np.uint64(at + 1)] != _U:
                return -1, at
            low = _hex4(raw, at + 2, end)
            if low < 0xDC00 or low >= 0xE000:
                return -1, at
            return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), at + 6
        return code, at
    char = -1
    if byte == 0x6E:
        char = 0x0A
    elif byte == 0x74:
        char = 0x09
    elif byte == 0x72:
        char = 0x0D
    elif byte == 0x62:
        char = 0x08
    elif byte == 0x66:
        char = 0x0C
    return char, at + 1


@inner
def _utf8_size(char: Any) -> Any:
    """Bytes of a character as UTF-8."""
    return 1 if char < 0x80 else 2 if char < 0x800 else 3 if char < 0x10000 else 4


@inner
def _string(raw: Any, start: Any, end: Any) -> Any:
    """Where the string ends whose opening quote is before `start`, and its bytes without escapes; -1: not sure."""
    at, last = np.uint64(start), np.uint64(end)
    saved = 0
    while at < last:
        if at + _EIGHT <= last:
            plain = _plain_bytes(_word(raw, at))
            at += plain
            if plain == _EIGHT:
                continue
        byte = raw[at]
        if byte == _QUOTE:
            return np.int64(at), np.int64(at) - start - saved
        if byte < 0x20:
            return -1, 0
        if byte == _BACKSLASH:
            char, behind = _escape(raw, np.int64(at) + 1, end)
            if char < 0:
                return -1, 0
            saved += behind - np.int64(at) - _utf8_size(char)
            at = np.uint64(behind)
        else:
            at += _ONE
    return -1, 0


@inner
def _write(out: Any, at: Any, char: Any) -> Any:
    """Writes a character as UTF-8; where it ends."""
    place = np.uint64(at)
    if char < 0x80:
        out[place] = char
        return at + 1
    if char < 0x800:
        out[place] = 0xC0 | char >> 6
    else:
        if char < 0x10000:
            out[place] = 0xE0 | char >> 12
        else:
            out[place] = 0xF0 | char >> 18
            place += _ONE
            out[place] = 0x80 | (char >> 12 & 0x3F)
        place += _ONE
        out[place] = 0x80 | (char >> 6 & 0x3F)
    place += _ONE
    out[place] = 0x80 | (char & 0x3F)
    return np.int64(place) + 1


@inner
def _line(raw: Any, start: Any, end: Any, out: Any, filled: Any) -> Any:
    """Copies the string whose opening quote is before `start`, its escapes undone.

    Where it ends, -1: not sure, and where the copy does; up to 8 bytes behind the copy are written to.
    """
    at, last, target = np.uint64(start), np.uint64(end), np.uint64(filled)
    while at < last:
        if at + _EIGHT <= last:
            word = _word(raw, at)
            for place in range(8):  # compiles to one store
                out[target + np.uint64(place)] = np.uint8(word >> _SHIFTS[place])
            plain = _plain_bytes(word)
            at += plain
            target += plain
            if plain == _EIGHT:
                continue
        byte = raw[at]
        if byte == _BACKSLASH:
            char, behind = _escape(raw, np.int64(at) + 1, end)
            if char < 0:
                return -1, filled
            target = np.uint64(_write(out, np.int64(target), char))
            at = np.uint64(behind)
        elif byte == _QUOTE:
            return np.int64(at), np.int64(target)
        elif byte < 0x20:
            return -1, filled
        else:
            out[target] = byte
            target += _ONE
            at += _ONE
    return -1, filled


@inner
def _token(raw: Any, at: Any, end: Any) -> Any:
    """Where the next byte is that is no white space, or `end`."""
    while at < end:
        byte = raw[np.uint64(at)]
        if byte not in (0x20, 0x0A, 0x0D, 0x09):
            return at
        at += 1
    return at


@inner
def _behind(raw: Any, at: Any, end: Any, wanted: Any) -> Any:
    """Behind the byte that is wanted next, white space before it skipped; -1 where another is there."""
    at = _token(raw, at, end)
    return at + 1 if at < end and raw[np.uint64(at)] == wanted else -1


@inner
def _is(raw: Any, at: Any, end: Any, word: Any) -> Any:
    """Whether the bytes of a word are next."""
    if at + len(word) > end:
        return False
    same = True
    for place in range(len(word)):
        same &= raw[np.uint64(at + place)] == word[place]
    return same


@inner
def _time(raw: Any, at: Any, end: Any) -> Any:
    """The number between quotes, of which the first is before `at`, and behind them; -1 for the end: not sure."""
    value = np.uint64(0)
    first = at
    while at < end:
        digit = raw[np.uint64(at)]
        if digit < 0x30 or digit > 0x39:
            break
        value = value * np.uint64(10) + np.uint64(digit - 0x30)
        at += 1
    size = at - first
    if size == 0 or size > _DIGITS or at >= end or raw[np.uint64(at)] != _QUOTE or value > np.uint64(_LAST):
        return 0, -1
    return np.int64(value), at + 1


@inner
def _labels_end(raw: Any, start: Any, end: Any) -> Any:
    """Behind the first brace that closes, strings left out; -1 where there is none."""
    at, last = np.uint64(start), np.uint64(end)
    quoted = False
    while at < last:
        byte = raw[at]
        at += _ONE
        if byte == _QUOTE:
            quoted = not quoted
        elif byte == _BACKSLASH:
            at += _ONE
        elif byte == _RIGHT_BRACE and not quoted:
            return np.int64(at)
    return -1


@inner
def _object(raw: Any, at: Any, end: Any, row: Any, place: Any, pairs: Any) -> Any:
    """Behind the object of strings whose brace is before `at`, -1: not sure; and the place behind its pairs.

    The pairs are written as far as there is room.
    """
    char = _token(raw, at, end)
    if char < end and raw[np.uint64(char)] == _RIGHT_BRACE:
        return char + 1, place
    while True:
        for part in range(2):  # name and value
            start = _behind(raw, at, end, _QUOTE)
            if start < 0:
                return -1, place
            stop, size = _string(raw, start, end)
            if stop < 0:
                return -1, place
            if place < pairs.shape[1]:
                pairs[PAIR_ROW, place] = row
                pairs[NAME_START + 3 * part, place] = start
                pairs[NAME_END + 3 * part, place] = stop
                pairs[NAME_SIZE + 3 * part, place] = size
            at = _token(raw, stop + 1, end)
            if at >= end:
                return -1, place
            char = raw[np.uint64(at)]
            at += 1
            if part == 0 and char != _COLON:
                return -1, place
        place += 1
        if char == _RIGHT_BRACE:
            return at, place
        if char != _COMMA:
            return -1, place


@inner
def _entries(
    raw: Any, at: Any, end: Any, row: Any, place: Any, filled: Any, ts: Any, offsets: Any, lines: Any, pairs: Any
) -> Any:
    """Behind the array of entries whose bracket is before `at`, -1: not sure.

    And the row, the place among the pairs and the end of the lines behind them.
    """
    char = _token(raw, at, end)
    if char < end and raw[np.uint64(char)] == _RIGHT_BRACKET:
        return char + 1, row, place, filled
    while True:
        at = _behind(raw, at, end, _LEFT_BRACKET)
        if at >= 0:
            at = _behind(raw, at, end, _QUOTE)
        if at < 0:
            return -1, row, place, filled
        when, at = _time(raw, at, end)
        if at >= 0:
            at = _behind(raw, at, end, _COMMA)
        if at >= 0:
            at = _behind(raw, at, end, _QUOTE)
        if at < 0:
            return -1, row, place, filled
        at, filled = _line(raw, at, end, lines, filled)
        if at < 0:
            return -1, row, place, filled
        if row < len(ts):
            ts[row] = when
            offsets[row + 1] = filled
        at = _token(raw, at + 1, end)
        if at < end and raw[np.uint64(at)] == _COMMA:
            at = _behind(raw, at + 1, end, _LEFT_BRACE)
            if at < 0:
                return -1, row, place, filled
            at, place = _object(raw, at, end, row, place, pairs)
            if at < 0:
                return -1, row, place, filled
        row += 1
        at = _behind(raw, at, end, _RIGHT_BRACKET)
        if at < 0:
            return -1, row, place, filled
        at = _token(raw, at, end)
        if at >= end:
            return -1, row, place, filled
        char = raw[np.uint64(at)]
        at += 1
        if char == _RIGHT_BRACKET:
            return at, row, place, filled
        if char != _COMMA:
            return -1, row, place, filled


@kernel(f"UniTuple(int64, 4)({BYTES}, int64[:, ::1], int64[::1], int64[::1], uint8[::1], int64[:, ::1])")
def walk(raw: Any, streams: Any, ts: Any, offsets: Any, lines: Any, pairs: Any) -> Any:
    """Streams, entries, metadata pairs and bytes of lines of a body; NOT_SURE for the streams where it is not.

    Of streams, entries and pairs as many are written as there is room for: where there was too little of it, the body
    is to be walked again with as much as is told.

    Args:
        raw: uint8[], the body.
        streams: int64[:, 3], gets where the object of each stream's labels begins and ends, and its entries.
        ts: int64[:], gets the ns of each entry.
        offsets: int64[as ts + 1], gets where each line begins in `lines`.
        lines: uint8[as raw + 8], gets the lines without escapes.
        pairs: int64[7, :], gets PAIR_ROW, and where each name and value begins and ends and its bytes without escapes.
    """
    refused = NOT_SURE, 0, 0, 0
    end = len(raw)
    stream = row = place = filled = 0
    offsets[0] = 0
    at = _behind(raw, 0, end, _LEFT_BRACE)
    if at >= 0:
        at = _behind(raw, at, end, _QUOTE)
    if at < 0 or not _is(raw, at, end, _STREAMS):
        return refused
    at = _behind(raw, at + len(_STREAMS), end, _COLON)
    if at >= 0:
        at = _behind(raw, at, end, _LEFT_BRACKET)
    if at < 0:
        return refused
    while True:
        at = _behind(raw, at, end, _LEFT_BRACE)
        if at < 0:
            return refused
        labels = labels_end = -1
        first, valued = row, False
        for part in range(2):
            if part == 1:
                at = _behind(raw, at, end, _COMMA)
            if at >= 0:
                at = _behind(raw, at, end, _QUOTE)
            if at < 0:
                return refused
            if labels < 0 and _is(raw, at, end, _STREAM):
                at = _behind(raw, at + len(_STREAM), end, _COLON)
                if at >= 0:
                    at = _behind(raw, at, end, _LEFT_BRACE)
                if at < 0:
                    return refused
                labels = at - 1
                labels_end = at = _labels_end(raw, at, end)
            elif not valued and _is(raw, at, end, _VALUES):
                valued = True
                at = _behind(raw, at + len(_VALUES), end, _COLON)
                if at >= 0:
                    at = _behind(raw, at, end, _LEFT_BRACKET)
                if at >= 0:
                    at, row, place, filled = _entries(raw, at, end, row, place, filled, ts, offsets, lines, pairs)
            else:
                return refused
            if at < 0:
                return refused
        if stream < len(streams):
            streams[stream, LABELS_START] = labels
            streams[stream, LABELS_END] = labels_end
            streams[stream, STREAM_ENTRIES] = row - first
        stream += 1
        at = _behind(raw, at, end, _RIGHT_BRACE)
        if at >= 0:
            at = _token(raw, at, end)
        if at < 0 or at >= end:
            return refused
        char = raw[np.uint64(at)]
        at += 1
        if char == _RIGHT_BRACKET:
            break
        if char != _COMMA:
            return refused
    at = _behind(raw, at, end, _RIGHT_BRACE)
    if at < 0 or _token(raw, at, end) != end:
        return refused
    return stream, row, place, filled


@kernel(f"void({BYTES}, {OFFSETS}, {OFFSETS}, {OFFSETS}, uint8[::1])")
def unescape(raw: Any, starts: Any, ends: Any, offsets: Any, out: Any) -> None:
    """Copies strings that `walk` is sure of, their escapes undone.

    Args:
        raw: uint8[], the body.
        starts: int64[k], where each begins.
        ends: int64[k], where it ends.
        offsets: int64[k + 1], where each goes.
        out: uint8[the last of these].
    """
    for i in range(len(starts)):
        at, end, filled = starts[i], ends[i], offsets[i]
        if offsets[i + 1] - filled == end - at:
            copy_bytes(out, filled, raw, at, end)
            continue
        source, last, target = np.uint64(at), np.uint64(end), np.uint64(filled)
        while source < last:
            byte = raw[source]
            source += _ONE
            if byte != _BACKSLASH:
                out[target] = byte
                target += _ONE
            else:
                char, behind = _escape(raw, np.int64(source), end)
                source = np.uint64(behind)
                target = np.uint64(_write(out, np.int64(target), char))
