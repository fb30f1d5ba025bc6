"""Wanted members of JSON lines, found where and as the scalar `| json` finds them.

The rules are those of logql.stages.jsonscan (how far a line is read), json_stage (what is gone into, when the stage
stops) and extracted (names). Strings and blocks are skipped 32 bytes at a time. A line that would need more than
that, one with an escape in a key or very deep objects, is told to be UNSURE.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from logql.kernels.json_scan import (
    BACKSLASH,
    BRACE,
    BRACE_END,
    BRACKET,
    COLON,
    COMMA,
    DELIMITERS,
    FAILED,
    NINE,
    NOT_SET,
    QUOTE,
    READ,
    SPACE,
    STRING,
    UNDERLINE,
    UNSURE,
    block_end,
    byte_at,
    is_digit,
    simple_kind,
    string_end,
    token_from,
)
from logql.kernels.lanes import LANES, equal_lanes, find_byte, high_lanes, lowest
from storage.kernels.cache import BYTES, OFFSETS, bare, inlined, kernel

_MOST_DEPTH = 64
"""Objects in each other that are gone into. Each is looked through for its end first, so depth costs time."""

_IN_NAME = np.array([byte if chr(byte).isalnum() and byte < 128 else 95 for byte in range(256)], np.uint8)
"""What stands in a label's name for each byte of a key."""


_PLAIN, _ODD, _WITH_ESCAPES = 0, 1, 2
"""What a key is: as long as its part of the name, a byte of which depends on the byte of the key alone; to be looked at
more closely, as for white space at an end, a digit at the first place, bytes that are no ASCII; with escapes."""


@inlined
def _key_end(data: Any, at: Any, end: Any) -> Any:
    """Place of the quote that closes the key whose text begins at `at`, -1 if none does; what the key is."""
    if at + LANES <= len(data):
        quotes = equal_lanes(data, at, (QUOTE,))
        before = (quotes - np.uint64(1)) & ~quotes
        if quotes != 0 and (equal_lanes(data, at, (BACKSLASH,)) | high_lanes(data, at)) & before == 0:
            stop = at + lowest(quotes)
            plain = byte_at(data, at) > NINE and byte_at(data, stop - 1) > SPACE
            return (stop if stop < end else np.int64(-1)), (_PLAIN if plain else _ODD)
    stop, escaped = string_end(data, at, end)
    return stop, (_WITH_ESCAPES if escaped else _ODD)


@bare
def _follows(data: Any, at: Any, stop: Any, count: Any) -> Any:
    """The bits of the `count` bytes that follow the first of a character, -1 if they are none of UTF-8's."""
    if stop - at < count:
        return np.int64(-1)
    code = np.int64(0)
    for place in range(at, at + count):
        byte = byte_at(data, place)
        if byte & 0xC0 != 0x80:
            return np.int64(-1)
        code = code << 6 | np.int64(byte & 0x3F)
    return code


@bare
def _character(data: Any, at: Any, stop: Any) -> Any:
    """Bytes of the character at a place, and whether it is white space to Go. What is not UTF-8 is a byte long."""
    first = np.int64(byte_at(data, at))
    if first < 0x80:
        return 1, first == 32 or 9 <= first <= 13
    count = 1 if first < 0xE0 else 2 if first < 0xF0 else 3
    rest = _follows(data, at + 1, stop, count)
    if first < 0xC2 or first > 0xF4 or rest < 0:
        return 1, False
    if count == 1:
        return 2, first == 0xC2 and rest in (0x05, 0x20)  # U+0085, U+00A0
    if count == 3:
        code = (first & 7) << 18 | rest
        return (4 if 0x10000 <= code <= 0x10FFFF else 1), False
    code = (first & 15) << 12 | rest
    if code < 0x800 or 0xD800 <= code <= 0xDFFF:
        return 1, False
    return 3, 0x2000 <= code <= 0x200A or code in (0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)


@bare
def _join(data: Any, at: Any, stop: Any, path: Any, size: Any) -> Any:
    """Puts the key data[at:stop] behind the first `size` bytes of `path`; the name's bytes, which may not all fit."""
    most = len(path)
    to = written = size
    begun = False
    while at < stop:
        width, blank = _character(data, at, stop)
        byte = byte_at(data, at)
        if begun or not blank:
            if not begun:
                begun = True
                if size > 0 or is_digit(byte):
                    if to < most:
                        path[np.uint64(to)] = UNDERLINE
                    to += 1
            if to < most:
                path[np.uint64(to)] = _IN_NAME[byte]
            to += 1
            if not blank:
                written = to
        at += width
    return written


@bare
def _begins(names: Any, start: Any, path: Any, size: Any) -> Any:
    """Whether names[start:] begins with path[:size]."""
    same = True
    for place in range(size):
        same &= byte_at(names, start + place) == byte_at(path, place)
    return same


@bare
def _wants_prefix(names: Any, bounds: Any, path: Any, size: Any) -> Any:
    for number in range(len(bounds) - 1):
        if bounds[number + 1] - bounds[number] >= size and _begins(names, bounds[number], path, size):
            return True
    return False


@inlined
def _length_bit(size: Any) -> Any:
    return np.uint64(1) << np.uint64(min(size, 63))


@bare
def _number(data: Any, key: Any, stop: Any, look: Any, path: Any, outer: Any, names: Any, bounds: Any) -> Any:
    """The number of the wanted name that a key has in an object whose own name is path[:outer], -1 if it has none.

    Args:
        data: uint8[].
        key: where the key begins.
        stop: behind its last byte.
        look: what the key is.
        path: uint8[], the names of the objects around; what is behind `outer` is overwritten.
        outer: bytes of it.
        names: uint8[], the wanted names.
        bounds: int64[k + 1], where each begins.
    """
    if look != _PLAIN:
        size = _join(data, key, stop, path, outer)
        if size > 0:
            for number in range(len(bounds) - 1):
                if bounds[number + 1] - bounds[number] == size and _begins(names, bounds[number], path, size):
                    return number
        return -1
    inside = outer + (outer > 0)
    size = inside + stop - key
    for number in range(len(bounds) - 1):
        start = bounds[number]
        if bounds[number + 1] - start == size:
            at = start + inside
            same = True
            for place in range(key, stop):
                if _IN_NAME[byte_at(data, place)] != byte_at(names, at):
                    same = False
                    break
                at += 1
            if outer > 0:
                same = same and byte_at(names, start + outer) == UNDERLINE and _begins(names, start, path, outer)
            if same:
                return number
    return -1


@bare
def _read(
    data: Any,
    at: Any,
    end: Any,
    names: Any,
    bounds: Any,
    lengths: Any,
    needed: Any,
    everything: Any,
    row: Any,
    path: Any,
    stack: Any,
    starts: Any,
    stops: Any,
    kinds: Any,
) -> Any:
    """The state of the line data[at:end]; its values go to column `row` of starts, stops and kinds."""
    ends, outers = stack
    at = token_from(data, at, end)
    if at == end or byte_at(data, at) != BRACE:
        return FAILED
    at = token_from(data, at + 1, end)
    depth = 0
    outer = np.int64(0)  # bytes of `path` that name the object
    found = 0
    while at < end:  # at a key, or at the brace that ends the object
        if byte_at(data, at) == BRACE_END:
            if depth == 0:
                return READ
            at = end  # of the object, whatever else is in it
            depth -= 1
            end, outer = ends[depth], outers[depth]
        else:
            if byte_at(data, at) != QUOTE:
                return FAILED
            key = at + 1
            stop, look = _key_end(data, key, end)
            if stop < 0:
                return FAILED
            if look == _WITH_ESCAPES:
                return UNSURE
            at = token_from(data, stop + 1, end)
            if at == end or byte_at(data, at) != COLON:
                return FAILED
            start = token_from(data, at + 1, end)
            if start == end:
                return FAILED
            first = byte_at(data, start)
            if first == QUOTE:
                start += 1
                value_stop, _ = string_end(data, start, end)
                if value_stop < 0:
                    return FAILED
                kind = STRING
                at = value_stop + 1
            elif first in (BRACE, BRACKET):
                at = block_end(data, start, end)
                if at < 0:
                    return FAILED
                if first == BRACE:
                    size = _join(data, key, stop, path, outer)
                    if everything or size == outer or _wants_prefix(names, bounds, path, size):
                        if depth == _MOST_DEPTH:
                            return UNSURE
                        ends[depth], outers[depth] = end, outer
                        depth += 1
                        end, outer = at, size
                        at = token_from(data, start + 1, end)
                        continue
                kind = NOT_SET
                value_stop = at
            else:
                at = value_stop = find_byte(data, start, end, DELIMITERS)
                good, kind = simple_kind(data, start, at)
                if not good:
                    return FAILED
            size = outer + (outer > 0) + stop - key
            if kind != NOT_SET and (look != _PLAIN or lengths & _length_bit(size) != 0):
                number = _number(data, key, stop, look, path, outer, names, bounds)
                if number >= 0 and kinds[number, row] == NOT_SET:
                    starts[number, row], stops[number, row], kinds[number, row] = start, value_stop, kind
                    found += 1
                    if found >= needed:
                        return READ
        at = token_from(data, at, end)
        if at == end:
            return FAILED
        if byte_at(data, at) == COMMA:
            at = token_from(data, at + 1, end)
        elif byte_at(data, at) != BRACE_END:
            return FAILED
    return FAILED


@bare
def _read_all(
    data: Any,
    offsets: Any,
    rows: Any,
    names: Any,
    bounds: Any,
    lengths: Any,
    needed: Any,
    everything: Any,
    path: Any,
    stack: Any,
    starts: Any,
    stops: Any,
    kinds: Any,
    states: Any,
) -> None:
    for row in range(len(rows)):
        if needed[row] <= 0:
            states[row] = READ
            continue
        start, end = offsets[rows[row]], offsets[rows[row] + 1]
        states[row] = _read(
            data,
            start,
            end,
            names,
            bounds,
            lengths,
            needed[row],
            everything,
            row,
            path,
            stack,
            starts,
            stops,
            kinds,
        )


_VALUES = "int64[:, ::1]"


@kernel(
    f"void({BYTES}, {OFFSETS}, {OFFSETS}, {BYTES}, {OFFSETS}, {OFFSETS}, boolean,"
    f" {_VALUES}, {_VALUES}, uint8[:, ::1], uint8[::1])"
)
def json_fields(
    data: Any,
    offsets: Any,
    rows: Any,
    names: Any,
    bounds: Any,
    needed: Any,
    everything: Any,
    starts: Any,
    stops: Any,
    kinds: Any,
    states: Any,
) -> None:
    """Finds the values of k labels in m lines.

    Args:
        data: uint8[].
        offsets: int64[n + 1], where lines begin.
        rows: int64[m], lines to look at.
        names: uint8[], the labels, one after the other.
        bounds: int64[k + 1], where each begins.
        needed: int64[m], labels that must be found before a line is left; more than k: never.
        everything: all objects are gone into, and not those alone whose name a label begins with.
        starts: int64[k, m], gets where each value begins in `data`.
        stops: int64[k, m], gets where it ends.
        kinds: uint8[k, m], zeros; gets the kinds of values.
        states: uint8[m], gets the states of lines.
    """
    longest = 0
    lengths = np.uint64(0)
    for number in range(len(bounds) - 1):
        size = bounds[number + 1] - bounds[number]
        longest = max(longest, size)
        lengths |= _length_bit(size)
    path = np.empty(longest, np.uint8)
    ends = np.empty(_MOST_DEPTH, np.int64)
    outers = np.empty(_MOST_DEPTH, np.int64)
    stack = ends, outers
    _read_all(
        data, offsets, rows, names, bounds, lengths, needed, everything, path, stack, starts, stops, kinds, states
    )
