"""Packed lines, flat JSON objects of strings, by the rules of the scalar stage (logql/stages/unpack.py).

What a packer does not write, such as inner objects, escaped keys or broken JSON, makes a line UNSURE.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from logql.kernels.names import name_of
from logql.kernels.words import BLANK, ONE, QUOTE, TWO, backslash_at, begins, string_end
from storage.kernels.cache import BYTES, OFFSETS, inlined, kernel

PLAIN, ESCAPED = 1, 2
"""Kinds of values: strings without a backslash, and those with one."""

READ, FAILED, UNSURE = 0, 1, 2
"""States of lines; those of logql.columns.fields."""

_ENTRY = np.frombuffer(b"_entry", np.uint8)
_ENTRY_SIZE = np.uint64(len(_ENTRY))

_ESCAPES = np.zeros(256, np.uint8)
"""Byte behind the backslash -> what it stands for; 0 if that is not one byte."""
for _letter, _byte in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    _ESCAPES[_letter] = _byte
_HEX = np.full(256, 16, np.int64)
for _byte in b"0123456789abcdefABCDEF":
    _HEX[_byte] = int(chr(_byte), 16)

_ZERO, _SIX = np.uint64(0), np.uint64(6)
_OPEN, _CLOSE, _COLON, _COMMA = np.uint8(ord("{")), np.uint8(ord("}")), np.uint8(ord(":")), np.uint8(ord(","))
_SPACE, _TAB, _FEED, _RETURN = np.uint8(ord(" ")), np.uint8(ord("\t")), np.uint8(ord("\n")), np.uint8(ord("\r"))
_ASCII = np.uint8(0x80)
_UNICODE = np.uint8(ord("u"))


@inlined
def _token(data: Any, at: Any, stop: Any) -> Any:
    """Place of the first byte of data[at:stop] that is no JSON blank, else `stop`."""
    while at < stop:
        byte = data[at]
        if byte not in (_SPACE, _TAB, _FEED, _RETURN):
            break
        at += ONE
    return at


@inlined
def _code(data: Any, at: Any, stop: Any) -> Any:
    r"""The character of the `\u` at `at`, -1 if it is none or half of one."""
    if at + _SIX > stop:
        return np.int64(-1)
    code = np.int64(0)
    for place in range(TWO, _SIX):
        digit = _HEX[data[at + place]]
        if digit > 15:
            return np.int64(-1)
        code = code * 16 + digit
    return np.int64(-1) if 0xD800 <= code <= 0xDFFF else code


@inlined
def _plain_escapes(data: Any, at: Any, stop: Any) -> Any:
    """Whether all escapes of a string are such as `unpacked_lines` can undo."""
    while True:
        at = backslash_at(data, at, stop)
        if at >= stop:
            return True
        if _ESCAPES[data[at + ONE]]:  # no string ends with a lone backslash
            at += TWO
        elif data[at + ONE] == _UNICODE and _code(data, at, stop) >= 0:
            at += _SIX
        else:
            return False


@inlined
def _is_ascii(data: Any, at: Any, stop: Any) -> Any:
    seen = np.uint8(0)
    for place in range(stop - at):
        seen |= data[at + place]
    return seen < _ASCII


@kernel(
    f"void({BYTES}, {OFFSETS}, {OFFSETS}, {BYTES}, {OFFSETS}, {OFFSETS}, {OFFSETS}, {OFFSETS}, boolean, "
    "int64[:, ::1], int64[:, ::1], uint8[:, ::1], uint8[::1], int64[::1], int64[::1], uint8[::1])"
)
def unpack_fields(
    data: Any,
    offsets: Any,
    rows: Any,
    names: Any,
    bounds: Any,
    heads: Any,
    following: Any,
    needed: Any,
    everything: Any,
    starts: Any,
    stops: Any,
    kinds: Any,
    states: Any,
    firsts: Any,
    lasts: Any,
    entries: Any,
) -> None:
    """Finds the values of k names and the entries of m lines.

    Args:
        data: uint8[], the lines.
        offsets: int64[n + 1], where each begins.
        rows: int64[m], the lines to look at.
        names: uint8[], the names one after the other.
        bounds: int64[k + 1], where each begins.
        heads: int64[LENGTHS], see name_of.
        following: int64[k], see name_of.
        needed: int64[m], lines with 0 are passed over.
        everything: lines with a key whose sanitised form alone is a name are UNSURE; else it gives no label.
        starts: int64[k, m], gets where each value begins in `data`.
        stops: int64[k, m], gets where it ends.
        kinds: uint8[k, m], zeros; gets PLAIN or ESCAPED where there is a value.
        states: uint8[m], gets READ, FAILED or UNSURE.
        firsts: int64[m], gets where the line begins that the stage leaves.
        lasts: int64[m], gets where it ends.
        entries: uint8[m], zeros; gets PLAIN or ESCAPED where that is an entry.
    """
    for i in range(len(rows)):
        row = np.uint64(rows[i])
        at, stop = np.uint64(offsets[row]), np.uint64(offsets[row + ONE])
        firsts[i], lasts[i] = at, stop
        states[i] = READ
        if needed[i] <= 0 or at == stop:
            continue
        if data[at] != _OPEN:
            states[i] = FAILED
            continue
        states[i] = UNSURE
        entry, first, last = 0, at, at
        at += ONE
        while True:
            at = _token(data, at, stop)
            if at >= stop:
                break
            if data[at] == _CLOSE:  # a comma may stand before it
                states[i] = READ
                break
            if data[at] != QUOTE:
                break
            key = at + ONE
            end, escaped = string_end(data, key, stop)
            at = _token(data, end + ONE, stop)
            if escaped or end >= stop or at >= stop or data[at] != _COLON:
                break
            at = _token(data, at + ONE, stop)
            if at >= stop or data[at] != QUOTE:
                break
            start = at + ONE
            value_stop, escaped = string_end(data, start, stop)
            if value_stop >= stop:
                break
            kind = ESCAPED if escaped else PLAIN
            size = end - key
            if size == _ENTRY_SIZE and begins(data, key, _ENTRY, _ZERO, _ENTRY_SIZE):
                if escaped and not _plain_escapes(data, start, value_stop):
                    break
                entry, first, last = kind, start, value_stop
            elif size > _ZERO:
                if everything and (data[key] <= BLANK or data[end - ONE] <= BLANK or not _is_ascii(data, key, end)):
                    break
                name = name_of(data, key, end, names, bounds, heads, following)
                if name >= 0:
                    begin, close = np.uint64(bounds[name]), np.uint64(bounds[name + 1])
                    if close - begin != size or not begins(data, key, names, begin, close):
                        if everything:  # whether the label is renamed depends on the key as it stands
                            break
                        name = -1
                if name >= 0:
                    if kinds[name, i]:  # filters see each of its values
                        break
                    starts[name, i], stops[name, i] = start, value_stop
                    kinds[name, i] = kind
            at = _token(data, value_stop + ONE, stop)
            if at < stop and data[at] == _COMMA:
                at += ONE
            elif at >= stop or data[at] != _CLOSE:
                break
        if entry and states[i] == READ:
            firsts[i], lasts[i] = first, last
            entries[i] = entry
        else:
            for label in range(len(kinds)):
                kinds[label, i] = 0


@kernel(f"void({BYTES}, {OFFSETS}, {OFFSETS}, Array(uint8, 1, 'C', True), uint8[::1], int64[::1])")
def unpacked_lines(data: Any, firsts: Any, lasts: Any, entries: Any, out: Any, offsets: Any) -> None:
    """Writes the lines that the stage leaves.

    Args:
        data: uint8[].
        firsts: int64[m], where each line begins.
        lasts: int64[m], where it ends.
        entries: uint8[m], ESCAPED where escapes are to be undone; `unpack_fields` has checked them.
        out: uint8[sum of lasts - firsts], gets the lines one after the other.
        offsets: int64[m + 1], gets where each begins.
    """
    to = _ZERO
    for i in range(len(firsts)):
        offsets[i] = to
        at, stop = np.uint64(firsts[i]), np.uint64(lasts[i])
        while True:
            size = (backslash_at(data, at, stop) if entries[i] == ESCAPED else stop) - at
            for place in range(size):
                out[to + place] = data[at + place]
            at += size
            to += size
            if at >= stop:
                break
            byte = data[at + ONE]
            if byte != _UNICODE:
                out[to] = _ESCAPES[byte]
                to += ONE
                at += TWO
                continue
            code = _code(data, at, stop)
            at += _SIX
            if code < 0x80:
                out[to] = code
            elif code < 0x800:
                out[to] = 0xC0 | code >> 6
                to += ONE
                out[to] = 0x80 | code & 0x3F
            else:
                out[to] = 0xE0 | code >> 12
                out[to + ONE] = 0x80 | code >> 6 & 0x3F
                to += TWO
                out[to] = 0x80 | code & 0x3F
            to += ONE
    offsets[len(firsts)] = to
