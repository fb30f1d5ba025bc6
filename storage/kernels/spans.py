"""Byte strings that lie anywhere in a buffer (spans): copying them, and numbering the distinct ones.

Indices are made unsigned in the inner loops: numba asks of a signed one whether it counts from the end, and the
question costs twenty times what the copy does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, OFFSETS, inner, kernel

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_EIGHT, _HALF = np.uint64(8), np.uint64(32)
_SHIFTS = tuple(np.uint64(8 * place) for place in range(8))


@inner
def copy_bytes(out: Any, to: Any, data: Any, start: Any, end: Any) -> None:
    """Copies data[start:end] to out[to:]."""
    source, target, size = np.uint64(start), np.uint64(to), np.uint64(end - start)
    for i in range(size):
        out[target + i] = data[source + i]


@inner
def span_hash(data: Any, start: Any, end: Any, seed: Any) -> Any:
    """A hash (uint64) of data[start:end] that nobody can foresee who does not know the seed (uint64)."""
    at, size = np.uint64(start), np.uint64(end - start)
    found = (seed ^ size) * _MULTIPLIER
    words = size // _EIGHT
    for _ in range(words):
        word = (
            np.uint64(data[at])
            | (np.uint64(data[at + np.uint64(1)]) << _SHIFTS[1])
            | (np.uint64(data[at + np.uint64(2)]) << _SHIFTS[2])
            | (np.uint64(data[at + np.uint64(3)]) << _SHIFTS[3])
            | (np.uint64(data[at + np.uint64(4)]) << _SHIFTS[4])
            | (np.uint64(data[at + np.uint64(5)]) << _SHIFTS[5])
            | (np.uint64(data[at + np.uint64(6)]) << _SHIFTS[6])
            | (np.uint64(data[at + np.uint64(7)]) << _SHIFTS[7])
        )
        found = _mixed(found ^ word, seed)
        at += _EIGHT
    word = np.uint64(0)
    for _ in range(size - words * _EIGHT):
        word = (word << _SHIFTS[1]) | np.uint64(data[at])
        at += np.uint64(1)
    return _mixed(found ^ word, seed)


@inner
def _mixed(value: Any, seed: Any) -> Any:
    value = (value ^ (value >> _HALF)) * _MIX
    value = (value ^ (value >> _HALF)) * _MULTIPLIER
    return (value ^ (value >> _HALF)) + seed


@inner
def same_bytes(data: Any, start: Any, other: Any, size: Any) -> Any:
    """Whether the `size` bytes at `start` and at `other` are equal."""
    left, right, count = np.uint64(start), np.uint64(other), np.uint64(size)
    same = True
    for i in range(count):
        same &= data[left + i] == data[right + i]
    return same


@inner
def number_spans(
    data: Any,
    starts: Any,
    ends: Any,
    places: Any,
    seed: Any,
    most: Any,
    numbers: Any,
    firsts: Any,
    hashes: Any,
    table: Any,
) -> Any:
    """Numbers the distinct ones among the spans at `places`, in order of appearance; how many there are.

    Stops, with `most` + 1, at the first one too many.

    Args:
        data: uint8[].
        starts: int64[m], where each span begins.
        ends: int64[m].
        places: int64[k], the spans to be looked at.
        seed: uint64, of the hash.
        most: distinct ones wanted at most.
        numbers: int32[>= k], gets the number of each.
        firsts: int64[>= min(k, most + 1)], gets the first place of each distinct one.
        hashes: uint64[as firsts], scratch.
        table: int32[2^b >= 2k], scratch.
    """
    mask = np.uint64(len(table) - 1)
    table[:] = -1
    count = 0
    for i in range(len(places)):
        place = places[i]
        start, size = starts[place], ends[place] - starts[place]
        hashed = span_hash(data, start, start + size, seed)
        slot = hashed & mask
        while True:
            number = table[slot]
            if number < 0:
                if count == most:
                    return count + 1
                table[slot] = number = count
                firsts[count] = place
                hashes[count] = hashed
                count += 1
                break
            first = firsts[number]
            if (
                hashes[number] == hashed
                and ends[first] - starts[first] == size
                and same_bytes(data, starts[first], start, size)
            ):
                break
            slot = (slot + np.uint64(1)) & mask
        numbers[i] = number
    return count


@inner
def table_size(spans: Any) -> Any:
    """The length of a hash table for so many spans: a power of two, at most half full."""
    size = 8
    while size < 2 * spans:
        size *= 2
    return size


@kernel(f"int64({BYTES}, {OFFSETS}, {OFFSETS}, uint64, int32[::1], int64[::1])")
def distinct(data: Any, starts: Any, ends: Any, seed: Any, numbers: Any, firsts: Any) -> Any:
    """Numbers the distinct spans in order of appearance; how many there are.

    Args:
        data: uint8[].
        starts: int64[m], where each span begins.
        ends: int64[m], where it ends.
        seed: uint64, secret: it keeps a client from choosing spans whose hashes collide.
        numbers: int32[m], gets the number of each span.
        firsts: int64[m], gets the first place of each distinct one.
    """
    spans = len(starts)
    hashes = np.empty(spans, np.uint64)
    table = np.empty(table_size(spans), np.int32)
    return int(number_spans(data, starts, ends, np.arange(spans), seed, spans, numbers, firsts, hashes, table))


@kernel(f"void({BYTES}, {OFFSETS}, {OFFSETS}, {OFFSETS}, uint8[::1])")
def gather(data: Any, starts: Any, ends: Any, places: Any, out: Any) -> None:
    """Copies the spans at `places` (int64[k]) one after the other to `out` (uint8[their bytes])."""
    filled = 0
    for place in places:
        copy_bytes(out, filled, data, starts[place], ends[place])
        filled += ends[place] - starts[place]
