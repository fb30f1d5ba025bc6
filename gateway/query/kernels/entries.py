"""The entries of a log query's answer as JSON: `["<ts>","<line>"]`, with a third element where labels are categorized.

Each entry is led by a text: a comma, or the end of one stream and the head of the next. A piece of an answer is then
one run over consecutive entries, wherever streams begin and end.
"""

from __future__ import annotations

from typing import Any

from gateway.query.kernels.escapes import digits, escaped_size, magnitude, put, put_digits, put_escaped
from storage.kernels.cache import BYTES, OFFSETS, kernel

_FRAME = 7
"""Bytes of `["`, `","`, `"` and `]` around the time and the line."""

_COLUMNS = f"{OFFSETS}, {BYTES}, {OFFSETS}, {OFFSETS}, {OFFSETS}"
"""Of both kernels: ts, data, lines, line, lead."""


@kernel(f"void({_COLUMNS}, {OFFSETS}, {OFFSETS}, {OFFSETS}, int64[::1])")
def entry_sizes(
    ts: Any, data: Any, lines: Any, line: Any, lead: Any, leads: Any, third: Any, thirds: Any, out: Any
) -> None:
    """Writes the bytes that each entry takes.

    Args:
        ts: int64[n], ns.
        data: uint8[], the line buffer.
        lines: int64[m + 1], where each line begins.
        line: int64[n], which line.
        lead: int64[n], which text stands before.
        leads: int64[k + 1], where each such text begins.
        third: int64[n], which JSON text is the third element; -1 for none.
        thirds: int64[j + 1], where each such text begins.
        out: int64[n], gets the sizes.
    """
    for i in range(len(ts)):
        size = _FRAME + leads[lead[i] + 1] - leads[lead[i]] + digits(magnitude(ts[i])) + (ts[i] < 0)
        size += escaped_size(data, lines[line[i]], lines[line[i] + 1])
        if third[i] >= 0:
            size += 1 + thirds[third[i] + 1] - thirds[third[i]]
        out[i] = size


@kernel(f"void({_COLUMNS}, {BYTES}, {OFFSETS}, {OFFSETS}, {BYTES}, {OFFSETS}, uint8[::1])")
def write_entries(
    ts: Any,
    data: Any,
    lines: Any,
    line: Any,
    lead: Any,
    lead_data: Any,
    leads: Any,
    third: Any,
    third_data: Any,
    thirds: Any,
    out: Any,
) -> None:
    """Writes entries one after the other.

    Args as of `entry_sizes`; `lead_data` and `third_data` are uint8[], `out` has exactly the room that all take.
    """
    at = 0
    for i in range(len(ts)):
        at = put(lead_data, leads[lead[i]], leads[lead[i] + 1], out, at)
        out[at] = 0x5B
        out[at + 1] = 0x22
        at += 2
        if ts[i] < 0:
            out[at] = 0x2D
            at += 1
        value = magnitude(ts[i])
        at = put_digits(value, digits(value), out, at)
        out[at] = 0x22
        out[at + 1] = 0x2C
        out[at + 2] = 0x22
        at = put_escaped(data, lines[line[i]], lines[line[i] + 1], out, at + 3)
        out[at] = 0x22
        at += 1
        if third[i] >= 0:
            out[at] = 0x2C
            at = put(third_data, thirds[third[i]], thirds[third[i] + 1], out, at + 1)
        out[at] = 0x5D
        at += 1
