"""Heads of msgpack objects (msgpack specification, "Formats"), and stepping over objects.

Positions are indices into a buffer of which only the bytes before `end` belong to the entries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import bare, inlined

MALFORMED, CUT_SHORT, TOO_DEEP = -1, -2, -3
"""What stands for a kind, or for a position: 0xC1 is no object; the object goes past the end; it nests too deep."""
NIL, EMPTY, STR, BIN, BOOL, UINT, INT, FLOAT, ARRAY, EXT, MAP = range(11)
"""Kinds of objects; EMPTY is a map without members."""

MAX_NESTING = 64
"""Containers within containers that are stepped into below a value; deeper ones make an entry unusable. Senders nest
some ten deep, and a writer of JSON should not need a stack without bound."""


@inlined
def big_endian(raw: Any, at: Any, size: Any) -> Any:
    """The `size` <= 8 bytes at `at` as a uint64."""
    value = np.uint64(0)
    for place in range(size):
        value = (value << np.uint64(8)) | np.uint64(raw[np.uint64(at + place)])
    return value


@inlined
def head(raw: Any, at: Any, end: Any) -> Any:
    """Kind of the object at `at`, its size, and where what is behind the head begins.

    The size is bytes for STR, BIN and EXT (the type of an EXT is the byte before its first), members for ARRAY and
    MAP; numbers, nil and booleans end where the head does. The bytes of a STR, BIN or EXT lie before `end`.
    """
    if at >= end:
        return CUT_SHORT, 0, at
    byte = np.int64(raw[np.uint64(at)])
    at += 1
    if byte < 0x80:
        return UINT, 0, at
    if byte < 0x90:
        return (MAP if byte > 0x80 else EMPTY), byte - 0x80, at
    if byte < 0xA0:
        return ARRAY, byte - 0x90, at
    if byte < 0xC0:
        size = byte - 0xA0
        return (STR if size <= end - at else CUT_SHORT), size, at
    if byte >= 0xE0:
        return INT, 0, at
    if byte == 0xC0:
        return NIL, 0, at
    if byte == 0xC1:
        return MALFORMED, 0, at
    if byte <= 0xC3:
        return BOOL, 0, at
    if 0xCA <= byte <= 0xD3:
        if byte <= 0xCB:
            kind, width = FLOAT, 4 << (byte - 0xCA)
        elif byte <= 0xCF:
            kind, width = UINT, 1 << (byte - 0xCC)
        else:
            kind, width = INT, 1 << (byte - 0xD0)
        return (kind if width <= end - at else CUT_SHORT), 0, at + width
    if 0xD4 <= byte <= 0xD8:
        size = np.int64(1) << (byte - 0xD4)
        return (EXT if size < end - at else CUT_SHORT), size, at + 1
    if byte <= 0xC6:
        kind, width = BIN, 1 << (byte - 0xC4)
    elif byte <= 0xC9:
        kind, width = EXT, 1 << (byte - 0xC7)
    elif byte <= 0xDB:
        kind, width = STR, 1 << (byte - 0xD9)
    elif byte <= 0xDD:
        kind, width = ARRAY, 2 << (byte - 0xDC)
    else:
        kind, width = MAP, 2 << (byte - 0xDE)
    if width > end - at:
        return CUT_SHORT, 0, at
    size = np.int64(big_endian(raw, at, width))
    at += width
    if kind == MAP:
        return (MAP if size else EMPTY), size, at
    if kind == ARRAY:
        return kind, size, at
    if kind == EXT:
        at += 1
    return (kind if size <= end - at else CUT_SHORT), size, at


@bare
def whole_number(raw: Any, at: Any) -> Any:
    """The UINT or INT whose head is at `at`, its 64 bits taken as signed."""
    byte = np.int64(raw[np.uint64(at)])
    if byte < 0x80:
        return byte
    if byte >= 0xE0:
        return byte - 0x100
    if byte <= 0xCF:
        return np.int64(big_endian(raw, at + 1, 1 << (byte - 0xCC)))
    width = 1 << (byte - 0xD0)
    lifted = big_endian(raw, at + 1, width) << np.uint64(64 - 8 * width)
    return np.int64(lifted) >> np.int64(64 - 8 * width)


@bare
def double(raw: Any, at: Any, bits: Any) -> Any:
    """The FLOAT whose head is at `at`.

    Args:
        raw: uint8[].
        at: where its head is.
        bits: scratch: uint64[1], the same memory as float32[2] and as float64[1].
    """
    whole, singles, doubles = bits
    if raw[np.uint64(at)] == 0xCA:
        whole[0] = big_endian(raw, at + 1, 4)
        return np.float64(singles[0])  # the machine is little-endian, as every one that numba knows
    whole[0] = big_endian(raw, at + 1, 8)
    return doubles[0]


@bare
def after(raw: Any, at: Any, end: Any) -> Any:
    """Where the object at `at` ends, however deep; MALFORMED or CUT_SHORT where it does not."""
    todo = np.int64(1)
    while todo > 0:
        if todo > end - at:  # each takes a byte at least
            return np.int64(CUT_SHORT)
        kind, size, at = head(raw, at, end)
        if kind < 0:
            return np.int64(kind)
        todo -= 1
        if kind == MAP:
            todo += 2 * size
        elif kind == ARRAY:
            todo += size
        elif kind in (STR, BIN, EXT):
            at += size
    return at
