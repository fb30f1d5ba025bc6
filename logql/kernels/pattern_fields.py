"""Patterns of literals and captures in many lines: what captures take, and which lines have a pattern's shape.

The rules are those of logql/stages/pattern_parser.py and of logql/pattern.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from logql.kernels.words import ONE, begins, literal_at
from storage.kernels.cache import BYTES, OFFSETS, kernel

CAPTURED = 1
"""Kind of every value."""
UNNAMED, END = -1, -2
"""Targets of captures: one whose value is not wanted, and one behind the last that is."""


@kernel(
    f"void({BYTES}, {OFFSETS}, {OFFSETS}, {BYTES}, {OFFSETS}, {OFFSETS}, {OFFSETS}, "
    "int64[:, ::1], int64[:, ::1], uint8[:, ::1])"
)
def pattern_fields(
    data: Any,
    offsets: Any,
    rows: Any,
    literals: Any,
    bounds: Any,
    targets: Any,
    needed: Any,
    starts: Any,
    stops: Any,
    kinds: Any,
) -> None:
    """Finds what the captures of a pattern take in m lines.

    Args:
        data: uint8[], the lines.
        offsets: int64[n + 1], where each begins.
        rows: int64[m], the lines to look at.
        literals: uint8[], the literals before, between and behind the captures.
        bounds: int64[c + 2], where each literal begins; only the first and the last may be empty.
        targets: int64[c], place of each capture's values in the results, UNNAMED or END.
        needed: int64[m], lines with 0 are passed over.
        starts: int64[k, m], gets where each value begins in `data`.
        stops: int64[k, m], gets where it ends.
        kinds: uint8[k, m], zeros; gets CAPTURED where there is a value.
    """
    captures = len(targets)
    head = np.uint64(bounds[1])
    for i in range(len(rows)):
        row = np.uint64(rows[i])
        at, stop = np.uint64(offsets[row]), np.uint64(offsets[row + ONE])
        if needed[i] <= 0 or at == stop:
            continue
        if at + head > stop or not begins(data, at, literals, np.uint64(0), head):
            continue
        at += head
        for capture in range(captures):
            target = targets[capture]
            if target == END:
                break
            start, end = np.uint64(bounds[capture + 1]), np.uint64(bounds[capture + 2])
            length = end - start
            found = stop
            if length > 0:
                found = literal_at(data, at, stop, literals, start, end)
            if target >= 0:
                starts[target, i], stops[target, i] = at, found
                kinds[target, i] = CAPTURED
            if found == stop:
                break
            at = found + length


@kernel(f"void({BYTES}, {OFFSETS}, {OFFSETS}, {BYTES}, {OFFSETS}, boolean, boolean, boolean[::1])")
def pattern_shapes(
    data: Any, offsets: Any, rows: Any, literals: Any, bounds: Any, opens: Any, closes: Any, found: Any
) -> None:
    """Marks the lines that have the shape of a line filter's pattern, which has a literal.

    Args:
        data: uint8[], the lines.
        offsets: int64[n + 1], where each begins.
        rows: int64[m], the lines to look at.
        literals: uint8[], the pattern's literals.
        bounds: int64[c + 1], where each begins; none is empty.
        opens: a capture stands before the first literal.
        closes: a capture stands behind the last.
        found: bool[n], set True where a line has the shape, else left.
    """
    for i in range(len(rows)):
        row = np.uint64(rows[i])
        at, stop = np.uint64(offsets[row]), np.uint64(offsets[row + ONE])
        free = not opens  # the next literal may stand right here
        shaped = True
        for literal in range(len(bounds) - 1):
            start, end = np.uint64(bounds[literal]), np.uint64(bounds[literal + 1])
            place = literal_at(data, at, stop, literals, start, end)
            if place == stop or (place == at and not free):
                shaped = False
                break
            at = place + (end - start)
            free = False
        if shaped and (at < stop) == closes:
            found[row] = True
