"""Chosen places of JSON lines, found where and as the scalar `| json a="b.c"` finds them.

The walk is that of logql.stages.jsonkeys: keys are compared with the last ones seen at each depth, arrays that no path
goes into are skipped. A line with an array that a path does go into, or with an escape in a key, is told to be UNSURE.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from logql.kernels.json_scan import (
    BRACE,
    BRACE_END,
    BRACKET,
    BRACKET_END,
    COLON,
    DELIMITERS,
    FAILED,
    NOT_SET,
    QUOTE,
    READ,
    STRING,
    UNSURE,
    WRITTEN,
    block_end,
    byte_at,
    simple_kind,
    string_end,
    token_from,
)
from logql.kernels.lanes import find_byte
from storage.kernels.cache import BYTES, OFFSETS, bare, inlined, kernel

_MARKS = (QUOTE, BRACE, BRACE_END, BRACKET, BRACKET_END)


@bare
def _value(data: Any, at: Any, end: Any) -> Any:
    """Kind, place and end of the value at the first token from `at`; NOT_SET if it cannot be read."""
    start = token_from(data, at, end)
    if start == end:
        return NOT_SET, start, start
    first = byte_at(data, start)
    if first == QUOTE:
        stop, _ = string_end(data, start + 1, end)
        return (STRING if stop >= 0 else NOT_SET), start + 1, stop
    if first in (BRACE, BRACKET):
        stop = block_end(data, start, end)
        kind = WRITTEN if first == BRACE else STRING  # escapes in arrays are undone as in strings
        return (kind if stop >= 0 else NOT_SET), start, stop
    stop = find_byte(data, start, end, DELIMITERS)
    good, kind = simple_kind(data, start, stop)
    if good and kind == NOT_SET:  # null
        stop = start
    return (STRING if good else NOT_SET), start, stop


@inlined
def _is_key(data: Any, key: Any, stop: Any, parts: Any, bounds: Any, part: Any) -> Any:
    start = bounds[part]
    if stop - key != bounds[part + 1] - start:
        return False
    same = True
    for place in range(stop - key):
        same &= byte_at(data, key + place) == byte_at(parts, start + place)
    return same


@bare
def _is_at(data: Any, seen: Any, level: Any, parts: Any, bounds: Any, first: Any) -> Any:
    """Whether the keys last seen at the first `level` depths are the parts of a path from `first` on."""
    keys, stops = seen
    same = True
    for depth in range(level):
        same = same and _is_key(data, keys[depth], stops[depth], parts, bounds, first + depth)
    return same


@bare
def _walk(
    data: Any,
    at: Any,
    end: Any,
    paths: Any,
    labels: Any,
    row: Any,
    seen: Any,
    closed: Any,
    starts: Any,
    stops: Any,
    kinds: Any,
) -> Any:
    """The state of the line data[at:end], and the number of values read; they go to column `row`."""
    parts, bounds, firsts, indexed = paths
    keys, key_stops = seen
    keys[:] = 0
    key_stops[:] = 0
    closed[:] = False
    open_paths = len(labels)
    state, level, count = READ, 0, 0
    while True:
        at = find_byte(data, at, end, _MARKS)
        if at == end:
            return state, count
        mark = byte_at(data, at)
        if mark == QUOTE:
            key = at + 1
            stop, escaped = string_end(data, key, end)
            at = token_from(data, stop + 1, end) if stop >= 0 else end
            if at == end:
                return state, count
            if byte_at(data, at) != COLON:
                continue
            if escaped:
                return UNSURE, count
            at += 1
            if level > len(keys):
                continue
            if level < 1:
                return FAILED, count
            keys[level - 1], key_stops[level - 1] = key, stop
            for number in range(len(labels)):
                first = firsts[number]
                if (
                    not closed[number]
                    and firsts[number + 1] - first == level
                    and _is_key(data, key, stop, parts, bounds, first + level - 1)
                    and _is_at(data, seen, level - 1, parts, bounds, first)
                ):
                    closed[number] = True
                    open_paths -= 1
                    kind, start, value_stop = _value(data, at, end)
                    if kind == NOT_SET:
                        state = FAILED
                    else:
                        count += 1
                        label = labels[number]
                        if label >= 0:
                            starts[label, row], stops[label, row], kinds[label, row] = start, value_stop, kind
            if open_paths == 0:
                return state, count
        elif mark == BRACKET:
            if level < 0:
                return FAILED, count
            for number in range(len(labels)):
                first = firsts[number]
                if (
                    not closed[number]
                    and firsts[number + 1] - first > level
                    and indexed[first + level]
                    and _is_at(data, seen, level, parts, bounds, first)
                ):
                    return UNSURE, count
            at = block_end(data, at, end)
            if at < 0:
                return state, count
        else:
            level += 1 if mark == BRACE else -1
            at += 1


@bare
def _walk_all(
    data: Any,
    offsets: Any,
    rows: Any,
    paths: Any,
    labels: Any,
    needed: Any,
    seen: Any,
    closed: Any,
    starts: Any,
    stops: Any,
    kinds: Any,
    states: Any,
) -> None:
    for row in range(len(rows)):
        start, end = offsets[rows[row]], offsets[rows[row] + 1]
        states[row] = READ
        if needed[row] <= 0 or start == end:
            continue
        if byte_at(data, start) not in (BRACE, BRACKET, QUOTE):
            states[row] = FAILED
            continue
        state, count = _walk(data, start, end, paths, labels, row, seen, closed, starts, stops, kinds)
        states[row] = state
        if count < len(labels):
            for label in labels:
                if label >= 0 and kinds[label, row] == NOT_SET:  # nothing there: the label is empty
                    starts[label, row], stops[label, row], kinds[label, row] = start, start, STRING


_VALUES = "int64[:, ::1]"


@kernel(
    f"void({BYTES}, {OFFSETS}, {OFFSETS}, {BYTES}, {OFFSETS}, {OFFSETS}, boolean[::1], {OFFSETS}, {OFFSETS},"
    f" {_VALUES}, {_VALUES}, uint8[:, ::1], uint8[::1])"
)
def json_paths(
    data: Any,
    offsets: Any,
    rows: Any,
    parts: Any,
    bounds: Any,
    firsts: Any,
    indexed: Any,
    labels: Any,
    needed: Any,
    starts: Any,
    stops: Any,
    kinds: Any,
    states: Any,
) -> None:
    """Finds what stands at p paths in m lines, for k labels.

    Args:
        data: uint8[].
        offsets: int64[n + 1], where lines begin.
        rows: int64[m], lines to look at.
        parts: uint8[], the parts of the paths, one after the other.
        bounds: int64[q + 1], where each part begins.
        firsts: int64[p + 1], the first part of each path.
        indexed: bool[q], whether a part is an element of an array.
        labels: int64[p], the label of each path, -1 for one that nobody asks for.
        needed: int64[m], 0 for a line that need not be read.
        starts: int64[k, m], gets where each value begins in `data`.
        stops: int64[k, m], gets where it ends.
        kinds: uint8[k, m], zeros; gets the kinds of values.
        states: uint8[m], gets the states of lines.
    """
    longest = 0
    for number in range(len(labels)):
        longest = max(longest, firsts[number + 1] - firsts[number])
    seen = np.empty(longest, np.int64), np.empty(longest, np.int64)
    closed = np.empty(len(labels), np.bool_)
    paths = parts, bounds, firsts, indexed
    _walk_all(data, offsets, rows, paths, labels, needed, seen, closed, starts, stops, kinds, states)
