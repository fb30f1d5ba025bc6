"""Numbering the distinct values of a label: most are short, few are distinct, and a value is looked at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from logql.kernels.lanes import AHEAD, soon, word_at
from storage.kernels.cache import BYTES, OFFSETS, inner, kernel
from storage.kernels.spans import same_bytes

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF, _WORD, _BYTE_BITS = np.uint64(32), np.uint64(8), np.uint64(8)
_EVERY = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_SLOTS = 1024
"""Of the hash table at first: it stays small, and in the CPU's cache, as long as the distinct values are few."""


@inner
def _head(data: Any, start: Any, size: Any) -> Any:
    """The first 8 bytes of a value as one integer, zeros behind a shorter one."""
    if start + _WORD <= np.uint64(len(data)):
        word = word_at(data, start)
        return word if size >= _WORD else word & ~(_EVERY << (size * _BYTE_BITS))
    word = _ZERO
    for place in range(min(size, _WORD)):
        word |= np.uint64(data[start + np.uint64(place)]) << (np.uint64(place) * _BYTE_BITS)
    return word


@inner
def _mixed(value: Any) -> Any:
    value = (value ^ (value >> _HALF)) * _MIX
    value = (value ^ (value >> _HALF)) * _MULTIPLIER
    return value ^ (value >> _HALF)


@kernel(f"int64({BYTES}, {OFFSETS}, {OFFSETS}, Array(uint8, 1, 'C', True), uint64, int32[::1], int64[::1])")
def value_codes(data: Any, starts: Any, stops: Any, kinds: Any, seed: Any, codes: Any, firsts: Any) -> Any:
    """Numbers the distinct values in order of appearance; how many there are. Equal bytes of two kinds are two values.

    Args:
        data: uint8[].
        starts: int64[m], where each value begins.
        stops: int64[m], behind its last byte.
        kinds: uint8[m], 0 where there is no value.
        seed: uint64, secret: it keeps whoever writes logs from choosing values whose hashes collide.
        codes: int32[m], gets the number of each value, -1 where there is none.
        firsts: int64[m], gets the row of each distinct value's first.
    """
    count = 0
    table = np.full(_SLOTS, -1, np.int32)
    mask = np.uint64(_SLOTS - 1)
    heads = np.empty(len(starts), np.uint64)
    hashes = np.empty(len(starts), np.uint64)
    rows = np.uint64(len(starts))
    for row in range(rows):
        if row + AHEAD < rows:
            soon(data, np.uint64(starts[row + AHEAD]))
        kind = kinds[row]
        if kind == 0:
            codes[row] = -1
            continue
        start = np.uint64(starts[row])
        size = np.uint64(stops[row]) - start
        head = _head(data, start, size)
        hashed = _mixed(head ^ seed ^ (size << _BYTE_BITS) ^ np.uint64(kind))
        if size > _WORD:
            last = start + size - _WORD
            at = start + _WORD
            while at < last:
                hashed = _mixed((hashed ^ word_at(data, at)) + seed)
                at += _WORD
            hashed = _mixed((hashed ^ word_at(data, last)) + seed)
        slot = hashed & mask
        while True:
            number = table[slot]
            if number < 0:
                number = np.int32(count)
                table[slot] = number
                firsts[number], heads[number], hashes[number] = row, head, hashed
                count += 1
                if 2 * count > len(table):
                    table = np.full(4 * len(table), -1, np.int32)
                    mask = np.uint64(len(table) - 1)
                    for other in range(np.uint64(count)):
                        slot = hashes[other] & mask
                        while table[slot] >= 0:
                            slot = (slot + _ONE) & mask
                        table[slot] = np.int32(other)
                break
            if hashes[np.uint64(number)] == hashed and heads[np.uint64(number)] == head:
                first = np.uint64(firsts[np.uint64(number)])
                begin = np.uint64(starts[first])
                same = kinds[first] == kind and np.uint64(stops[first]) - begin == size
                if same and (size <= _WORD or same_bytes(data, begin, start, size)):
                    break
            slot = (slot + _ONE) & mask
        codes[row] = number
    return count
