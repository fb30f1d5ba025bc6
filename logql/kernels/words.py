"""Looking for the ends of short tokens: eight bytes at a time in a register, the last of them one by one.

The place of a hit is not computed from the register: the CPU foresees short loops over lines that look alike, and need
not wait for the sum. Places are uint64; nothing outside data[at:stop] is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from logql.kernels.lanes import LANES, equal_lanes, lowest
from storage.kernels.cache import inlined

ONE, TWO, EIGHT = np.uint64(1), np.uint64(2), np.uint64(8)
BLANK, QUOTE, EQUALS, BACKSLASH = np.uint8(0x20), np.uint8(0x22), np.uint8(0x3D), np.uint8(0x5C)
_ASCII = np.uint8(0x80)

_SHIFTS = tuple(np.uint64(8 * place) for place in range(8))
_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_BLANKS = np.uint64(0x21) * _ONES
_QUOTES = np.uint64(0x22) * _ONES
_EQUALS = np.uint64(0x3D) * _ONES
_BACKSLASHES = np.uint64(0x5C) * _ONES

_ENDS = np.zeros(256, np.bool_)
"""Bytes that end a token: blanks, which are all up to 0x20, = and the quote."""
_ENDS[:0x21] = _ENDS[ord("=")] = _ENDS[ord('"')] = True


@inlined
def word(data: Any, at: Any) -> Any:
    """data[at:at + 8] as one uint64, the first byte lowest."""
    return (
        np.uint64(data[at])
        | (np.uint64(data[at + np.uint64(1)]) << _SHIFTS[1])
        | (np.uint64(data[at + np.uint64(2)]) << _SHIFTS[2])
        | (np.uint64(data[at + np.uint64(3)]) << _SHIFTS[3])
        | (np.uint64(data[at + np.uint64(4)]) << _SHIFTS[4])
        | (np.uint64(data[at + np.uint64(5)]) << _SHIFTS[5])
        | (np.uint64(data[at + np.uint64(6)]) << _SHIFTS[6])
        | (np.uint64(data[at + np.uint64(7)]) << _SHIFTS[7])
    )


@inlined
def _has(value: Any, pattern: Any) -> Any:
    """Not 0 if one of the bytes of a word is that of the pattern."""
    differing = value ^ pattern
    return (differing - _ONES) & ~differing & _HIGHS


@inlined
def _has_blank(value: Any) -> Any:
    return (value - _BLANKS) & ~value & _HIGHS


@inlined
def key_end(data: Any, at: Any, stop: Any) -> Any:
    """(place of the first of blank, = and " in data[at:stop], else `stop`; whether a byte before it is not ASCII)."""
    seen = np.uint8(0)
    while at < stop:
        byte = data[at]
        if _ENDS[byte]:
            break
        seen |= byte
        at += ONE
    return at, seen >= _ASCII


@inlined
def value_end(data: Any, at: Any, stop: Any) -> Any:
    """Place of the first of blank, = and " in data[at:stop], else `stop`."""
    while at + EIGHT <= stop:
        value = word(data, at)
        if _has_blank(value) | _has(value, _EQUALS) | _has(value, _QUOTES):
            break
        at += EIGHT
    while at < stop and not _ENDS[data[at]]:
        at += ONE
    return at


@inlined
def blank_at(data: Any, at: Any, stop: Any) -> Any:
    """Place of the first blank in data[at:stop], else `stop`."""
    while at + EIGHT <= stop and not _has_blank(word(data, at)):
        at += EIGHT
    while at < stop and data[at] > BLANK:
        at += ONE
    return at


@inlined
def string_end(data: Any, at: Any, stop: Any) -> Any:
    """(place of the quote that ends a string in data[at:stop], else `stop`; whether there is a backslash before it)."""
    escaped = False
    while at < stop:
        while at + EIGHT <= stop:
            value = word(data, at)
            if _has(value, _QUOTES) | _has(value, _BACKSLASHES):
                break
            at += EIGHT
        while at < stop and data[at] != QUOTE and data[at] != BACKSLASH:
            at += ONE
        if at >= stop or data[at] == QUOTE:
            break
        escaped = True
        at += TWO
    return min(at, stop), escaped


@inlined
def backslash_at(data: Any, at: Any, stop: Any) -> Any:
    """Place of the first backslash in data[at:stop], else `stop`."""
    while at + EIGHT <= stop and not _has(word(data, at), _BACKSLASHES):
        at += EIGHT
    while at < stop and data[at] != BACKSLASH:
        at += ONE
    return at


@inlined
def literal_at(data: Any, at: Any, stop: Any, literals: Any, start: Any, end: Any) -> Any:
    """Place of the first literals[start:end], which is not empty, in data[at:stop]; else `stop`."""
    first, second = literals[start], literals[min(start + ONE, end - ONE)]
    length = end - start
    is_longer = length > ONE
    last = np.int64(len(data)) - np.int64(LANES) - 1
    while at + length <= stop:
        if np.int64(at) <= last:
            # Unlike those of tokens, lengths up to a literal differ from line to line: here the place is computed.
            bits = equal_lanes(data, at, (first,))
            if is_longer:
                bits &= equal_lanes(data, at + ONE, (second,))
            while bits:
                place = at + np.uint64(lowest(bits))
                if place + length > stop:
                    return stop
                if length <= TWO or begins(data, place, literals, start, end):
                    return place
                bits &= bits - ONE
            at += np.uint64(LANES)
        else:
            if begins(data, at, literals, start, end):
                return at
            at += ONE
    return stop


@inlined
def begins(data: Any, at: Any, literals: Any, start: Any, end: Any) -> Any:
    """Whether data[at:] begins with literals[start:end]; there is room for it."""
    same = True
    for place in range(end - start):
        if data[at + place] != literals[start + place]:
            same = False
            break
    return same
