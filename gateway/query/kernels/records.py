"""Entries as records of an export: one JSON object a line, or one row of CSV.

A record is the time, a text that stands for all of the entry's labels and whatever else is between, the line, and an
end. Texts between are written once for each distinct set of labels.
"""

from __future__ import annotations

from typing import Any

from gateway.query.kernels.escapes import (
    digits,
    escaped_size,
    magnitude,
    put,
    put_digits,
    put_escaped,
    rune_bytes,
)
from storage.kernels.cache import BYTES, OFFSETS, inner, kernel

_COLUMNS = f"{OFFSETS}, {BYTES}, {OFFSETS}, {OFFSETS}, {OFFSETS}"
"""Of both kernels: ts, data, lines, line, between."""


@inner
def _doubled_size(data: Any, start: int, end: int) -> int:
    """Bytes of data[start:end] in a quoted cell of CSV: quotes twice, bytes that are not UTF-8 as U+FFFD."""
    size = end - start
    high = 0
    for at in range(start, end):
        byte = data[at]
        size += byte == 0x22
        high |= byte
    if high < 0x80:
        return size
    at = start
    while at < end:
        if data[at] < 0x80:
            at += 1
            continue
        length = rune_bytes(data, at, end)
        if length == 1:
            size += 2
        at += length
    return size


@inner
def _put_doubled(data: Any, start: int, end: int, out: Any, at: int) -> int:
    """Writes data[start:end] as `_doubled_size` has it to out[at:]; where it ends."""
    i = start
    while i < end:
        byte = data[i]
        if byte < 0x80:
            if byte == 0x22:
                out[at] = 0x22
                at += 1
            out[at] = byte
            at += 1
            i += 1
            continue
        length = rune_bytes(data, i, end)
        if length == 1:
            out[at] = 0xEF
            out[at + 1] = 0xBF
            out[at + 2] = 0xBD
            at += 3
        else:
            for j in range(length):
                out[at + j] = data[i + j]
            at += length
        i += length
    return at


@kernel(f"void({_COLUMNS}, {OFFSETS}, int64, boolean, int64[::1])")
def record_sizes(
    ts: Any, data: Any, lines: Any, line: Any, between: Any, betweens: Any, around: int, csv: Any, out: Any
) -> None:
    """Writes the bytes that each record takes.

    Args:
        ts: int64[n], ns.
        data: uint8[], the line buffer.
        lines: int64[m + 1], where each line begins.
        line: int64[n], which line.
        between: int64[n], which text stands between time and line.
        betweens: int64[k + 1], where each such text begins.
        around: bytes of the texts before the time and after the line.
        csv: whether lines are escaped for CSV, and not for JSON.
        out: int64[n], gets the sizes.
    """
    for i in range(len(ts)):
        size = around + betweens[between[i] + 1] - betweens[between[i]] + digits(magnitude(ts[i])) + (ts[i] < 0)
        if csv:
            size += _doubled_size(data, lines[line[i]], lines[line[i] + 1])
        else:
            size += escaped_size(data, lines[line[i]], lines[line[i] + 1])
        out[i] = size


@kernel(f"void({_COLUMNS}, {BYTES}, {OFFSETS}, {BYTES}, {BYTES}, boolean, uint8[::1])")
def write_records(
    ts: Any,
    data: Any,
    lines: Any,
    line: Any,
    between: Any,
    between_data: Any,
    betweens: Any,
    before: Any,
    behind: Any,
    csv: Any,
    out: Any,
) -> None:
    """Writes records one after the other.

    Args as of `record_sizes`; `between_data` is uint8[], `before` and `behind` uint8[] are the texts before the time
    and after the line, `out` has exactly the room that all take.
    """
    at = 0
    for i in range(len(ts)):
        at = put(before, 0, len(before), out, at)
        if ts[i] < 0:
            out[at] = 0x2D
            at += 1
        value = magnitude(ts[i])
        at = put_digits(value, digits(value), out, at)
        at = put(between_data, betweens[between[i]], betweens[between[i] + 1], out, at)
        if csv:
            at = _put_doubled(data, lines[line[i]], lines[line[i] + 1], out, at)
        else:
            at = put_escaped(data, lines[line[i]], lines[line[i] + 1], out, at)
        at = put(behind, 0, len(behind), out, at)
