"""Shapes of lines: lines that differ only in words with digits are told apart from all others by one pass over each.

A shape is a hash of a line's words and delimiters, its variable words left out, and of the stream and level that it is
of. Shapes that are known are found in a table of open addressing. logql.patterns.words is the short form.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, OFFSETS, kernel

SPACE = b" \t\n\v\f\r"
PUNCTUATION = b"!\"#%&'()*,;=?@[\\]{}"
MAX_LINE = 3000
"""Bytes of a line that gets a pattern (Loki's max_allowed_line_length)."""
MIN_TOKENS = 4
"""Words and punctuation marks of a line that gets a pattern."""
MAX_WORDS = 80
"""Words of a line that gets a pattern."""
MAX_VARIABLE = 16
"""Variable words of a line of which it is known whether they ever differed; further ones are taken as such that do."""
BUCKET = 10_000_000_000
"""ns that are counted together."""
UNKNOWN, NO_SHAPE, LATE = -1, -2, -3
"""Instead of a place: a shape that is not in the table; a line without a pattern; one that came too late."""
PROBES = 32
"""Places of the table in which a key may stand, one after the other."""

_WORD, _VARIABLE, _PUNCTUATION, _SPACE = 0, 1, 2, 3
_KIND = np.zeros(256, np.uint8)
_KIND[list(b"0123456789<")] = _VARIABLE
_KIND[list(PUNCTUATION)] = _PUNCTUATION
_KIND[list(SPACE)] = _SPACE

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_START = np.uint64(0xCBF29CE484222325)
_FACTOR = np.uint64(0x100000001B3)
_MASKED = np.uint64(0x51ED270B0A1F39C1)
_GAP = np.uint64(256)


@kernel(
    f"int64({BYTES}, {OFFSETS}, int64[::1], int32[::1], int64[::1], int8[::1], boolean, uint64, int64[::1], "
    "uint64[::1], uint32[::1], uint8[::1], uint16[::1], int64[::1], uint64[::1], int64[::1], int64[::1])"
)
def find_shapes(
    data: Any,
    offsets: Any,
    rows: Any,
    stream: Any,
    ts: Any,
    level: Any,
    in_order: Any,
    seed: Any,
    newest: Any,
    keys: Any,
    seen: Any,
    fresh: Any,
    differ: Any,
    places: Any,
    hashes: Any,
    buckets: Any,
    changed: Any,
) -> Any:
    """Looks some lines up in the table of shapes.

    Args:
        data: uint8[], all lines.
        offsets: int64[n + 1], where they begin.
        rows: int64[m], lines that are looked at, in order of arrival.
        stream: int32[m], number of the stream of each.
        ts: int64[m], ns.
        level: int8[m], code of the level.
        in_order: whether lines older than the newest of their stream, bucket by bucket, are passed over.
        seed: what keeps apart what is not of one tenant.
        newest: int64[streams], the newest bucket of each; raised where `in_order`.
        keys: uint64[size], a power of 2: hashes of known shapes, 0 where there is none.
        seen: uint32[size * MAX_VARIABLE], hashes of the variable words of the first line of each.
        fresh: uint8[size], 1 where no line has set `seen` yet.
        differ: uint16[size], bit k: lines differ in their k-th variable word.
        places: int64[m], set: place in the table, or UNKNOWN, NO_SHAPE, LATE.
        hashes: uint64[m], set: keys of shapes, where there is one.
        buckets: int64[m], set: ts in units of BUCKET.
        changed: int64[m], set: places whose `differ` changed, some twice.

    Returns:
        How many of `changed` are set.
    """
    mask = np.uint64(len(keys) - 1)
    variable = np.zeros(MAX_VARIABLE, np.uint32)
    start = (seed ^ (seed >> np.uint64(32))) * _PRIME
    start ^= start >> np.uint64(29)
    count = 0
    for nth in range(len(rows)):
        bucket = ts[nth] // BUCKET
        buckets[nth] = bucket
        whose = stream[nth]
        if bucket < 0:
            places[nth] = NO_SHAPE
            continue
        if in_order:
            if bucket < newest[whose]:
                places[nth] = LATE
                continue
            newest[whose] = bucket
        first, end = offsets[rows[nth]], offsets[rows[nth] + 1]
        if end - first > MAX_LINE:
            places[nth] = NO_SHAPE
            continue
        found = (start ^ np.uint64(whose)) * _PRIME
        found ^= found >> np.uint64(29)
        found = (found ^ np.uint64(level[nth])) * _PRIME
        found ^= found >> np.uint64(32)
        words = tokens = variables = 0
        word, kinds, open_word = _START, np.uint8(0), False
        for at in range(np.uint64(first), np.uint64(end) + np.uint64(1)):
            byte, kind = np.uint8(32), np.uint8(_SPACE)  # after the end, which closes the last word
            if at < np.uint64(end):
                byte = data[at]
                kind = _KIND[byte]
            if kind <= _VARIABLE:
                word = (word ^ np.uint64(byte)) * _FACTOR
                kinds |= kind
                open_word = True
                continue
            if open_word:
                words += 1
                value = word
                if kinds != 0:
                    value = _MASKED
                    if variables < MAX_VARIABLE:
                        variable[variables] = np.uint32((word ^ (word >> np.uint64(32))) & np.uint64(0xFFFFFFFF))
                        variables += 1
                found = (found ^ value) * _PRIME
                found ^= found >> np.uint64(32)
                word, kinds, open_word = _START, np.uint8(0), False
            if at < np.uint64(end):
                tokens += kind == _PUNCTUATION
                found = (found ^ (np.uint64(byte) + _GAP)) * _PRIME
                found ^= found >> np.uint64(32)
        if words + tokens < MIN_TOKENS or words == 0 or words > MAX_WORDS:
            places[nth] = NO_SHAPE
            continue
        found |= np.uint64(1)  # 0 is an empty place
        hashes[nth] = found
        place = np.int64(UNKNOWN)
        for probe in range(np.uint64(PROBES)):
            here = (found + np.uint64(probe)) & mask
            if keys[here] == found:
                place = np.int64(here)
                break
            if keys[here] == 0:
                break
        places[nth] = place
        if place < 0:
            continue
        base = np.uint64(place) * np.uint64(MAX_VARIABLE)
        if fresh[np.uint64(place)] != 0:
            fresh[np.uint64(place)] = 0
            for which in range(np.uint64(variables)):
                seen[base + which] = variable[which]
            continue
        bits = differ[np.uint64(place)]
        for which in range(np.uint64(variables)):
            if seen[base + which] != variable[which]:
                bits |= np.uint16(1 << which)
        if bits != differ[np.uint64(place)]:
            differ[np.uint64(place)] = bits
            changed[count] = place
            count += 1
    return count
