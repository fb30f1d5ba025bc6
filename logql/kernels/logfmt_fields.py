"""Finding the values of wanted labels in logfmt lines, by the rules of the scalar stage (logql/stages/logfmt.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from logql.kernels.names import name_of
from logql.kernels.words import (
    BLANK,
    EQUALS,
    ONE,
    QUOTE,
    TWO,
    backslash_at,
    blank_at,
    key_end,
    string_end,
    value_end,
)
from storage.kernels.cache import BYTES, OFFSETS, inlined, kernel

PLAIN, ESCAPED = 1, 2
"""Kinds of values: as they stand, and those whose escapes are to be undone."""

READ, FAILED, UNSURE = 0, 1, 2
"""States of lines; those of logql.columns.fields."""

_SIMPLE = np.zeros(256, np.bool_)
for _byte in b"\"\\/bfnrt'":
    _SIMPLE[_byte] = True
_HEX = np.zeros(256, np.bool_)
for _byte in b"0123456789abcdefABCDEF":
    _HEX[_byte] = True

_SIX = np.uint64(6)
_UNICODE = np.uint8(ord("u"))


@inlined
def _good_escapes(data: Any, at: Any, stop: Any) -> Any:
    """Whether all escapes of a quoted value are known ones. Half a surrogate pair is."""
    while True:
        at = backslash_at(data, at, stop)
        if at >= stop:
            return True
        code = data[at + ONE]  # no value ends with a lone backslash
        if _SIMPLE[code]:
            at += TWO
            continue
        if code != _UNICODE or at + _SIX > stop:
            return False
        for place in range(TWO, _SIX):
            if not _HEX[data[at + place]]:
                return False
        at += _SIX


@kernel(
    f"void({BYTES}, {OFFSETS}, {OFFSETS}, {BYTES}, {OFFSETS}, {OFFSETS}, {OFFSETS}, {OFFSETS}, {OFFSETS}, "
    "boolean, boolean, boolean, int64[:, ::1], int64[:, ::1], uint8[:, ::1], uint8[::1])"
)
def logfmt_fields(
    data: Any,
    offsets: Any,
    rows: Any,
    names: Any,
    bounds: Any,
    heads: Any,
    following: Any,
    labels: Any,
    needed: Any,
    strict: Any,
    keep_empty: Any,
    last_counts: Any,
    starts: Any,
    stops: Any,
    kinds: Any,
    states: Any,
) -> None:
    """Finds the values of k labels in m lines.

    Args:
        data: uint8[], the lines.
        offsets: int64[n + 1], where each begins.
        rows: int64[m], the lines to look at.
        names: uint8[], the names of keys one after the other.
        bounds: int64[j + 1], where each begins.
        heads: int64[LENGTHS], first name of each length, -1 if there is none.
        following: int64[j], the next name that stands with it, -1 behind the last.
        labels: int64[j], the label of each name.
        needed: int64[m], values after which a line is done.
        strict: the first fault ends a line.
        keep_empty: keys without a value have an empty one.
        last_counts: of several values of a label, and lines are read to their ends; else the first.
        starts: int64[k, m], gets where each value begins in `data`.
        stops: int64[k, m], gets where it ends.
        kinds: uint8[k, m], gets PLAIN or ESCAPED where there is a value; zeros, where the first counts.
        states: uint8[m], gets READ, FAILED or UNSURE.
    """
    most = np.int64(len(following))
    for i in range(len(rows)):
        row = np.uint64(rows[i])
        at, stop = np.uint64(offsets[row]), np.uint64(offsets[row + ONE])
        # Where no fault matters, nothing does after the last of the names.
        left = needed[i] if strict else min(needed[i], most)
        state = READ
        while left > 0:
            while at < stop and data[at] <= BLANK:
                at += ONE
            if at >= stop:
                break
            start = at
            at, high = key_end(data, at, stop)
            mark = data[at] if at < stop else BLANK
            if mark == QUOTE or (mark == EQUALS and at == start):
                if strict:
                    state = FAILED
                    break
                at = blank_at(data, at, stop)
                continue
            if high:
                # Not ASCII: a key or a fault, which tells where to go on. Alone it is nothing in either case.
                if strict or keep_empty or mark == EQUALS:
                    state = UNSURE
                    break
                continue
            name = name_of(data, start, at, names, bounds, heads, following)
            label = np.int64(-1)
            if name >= 0:
                label = labels[name]
            wanted = label >= 0 and (last_counts or kinds[label, i] == 0)
            first = last = at
            escaped = False
            if mark == EQUALS:
                at += ONE
                first = at
                if at < stop and data[at] == QUOTE:
                    first += ONE
                    last, escaped = string_end(data, first, stop)
                    if last >= stop:
                        state = FAILED if strict else READ
                        break
                    at = last + ONE
                    if escaped and (strict or wanted) and not _good_escapes(data, first, last):
                        if strict:
                            state = FAILED
                            break
                        continue
                elif wanted or strict:
                    last = at = value_end(data, at, stop)
                    if at < stop and data[at] > BLANK:
                        if strict:
                            state = FAILED
                            break
                        at = blank_at(data, at, stop)
                        continue
                else:  # whether it is a fault or not, the next pair is behind the next blank
                    at = blank_at(data, at, stop)
            if not wanted or (first == last and not keep_empty):
                continue
            starts[label, i], stops[label, i] = first, last
            kinds[label, i] = ESCAPED if escaped else PLAIN
            if not last_counts:
                left -= 1
        states[i] = state
