"""The entries of a push as protobuf: `Entry { Timestamp timestamp = 1; bytes line = 2; Pair metadata = 3; }`.

Each is field 2 of its stream.

The metadata of an entry comes as bytes that are written already; most entries share theirs with others.
"""

from __future__ import annotations

from typing import Any

from gateway.query.kernels.escapes import put
from storage.kernels.cache import BYTES, OFFSETS, inlined, kernel

_NS = 1_000_000_000
_COLUMNS = f"{OFFSETS}, {OFFSETS}, {OFFSETS}, {OFFSETS}, {OFFSETS}"
"""Of both kernels: ts, lines, line, third, thirds."""


@inlined
def _varint_size(value: Any) -> Any:
    size = 1
    while value > 127:
        value >>= 7
        size += 1
    return size


@inlined
def _seconds_size(seconds: Any) -> Any:
    """Of an int64 as a varint: ten bytes for one below 0, none for 0, which is not written."""
    if seconds < 0:
        return 11
    return 0 if seconds == 0 else 1 + _varint_size(seconds)


@inlined
def _put_varint(value: Any, out: Any, at: Any) -> Any:
    while value > 127:
        out[at] = (value & 0x7F) | 0x80
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


@inlined
def _put_seconds(seconds: Any, out: Any, at: Any) -> Any:
    out[at] = 0x08
    at += 1
    if seconds >= 0:
        return _put_varint(seconds, out, at)
    for _ in range(9):
        out[at] = (seconds & 0x7F) | 0x80
        seconds >>= 7
        at += 1
    out[at] = 1
    return at + 1


@kernel(f"void({_COLUMNS}, int64[::1], int64[::1])")
def entry_sizes(ts: Any, lines: Any, line: Any, third: Any, thirds: Any, inside: Any, whole: Any) -> None:
    """Writes the bytes that each entry takes.

    Args:
        ts: int64[n], ns.
        lines: int64[m + 1], where each line begins.
        line: int64[n], which line.
        third: int64[n], which metadata; -1 for none.
        thirds: int64[k + 1], where each begins.
        inside: int64[n], gets the sizes without tag and length.
        whole: int64[n], gets the sizes with them.
    """
    for i in range(len(ts)):
        seconds = ts[i] // _NS
        nanos = ts[i] - seconds * _NS
        stamp = _seconds_size(seconds) + (0 if nanos == 0 else 1 + _varint_size(nanos))
        length = lines[line[i] + 1] - lines[line[i]]
        size = 2 + stamp
        if length:
            size += 1 + _varint_size(length) + length
        if third[i] >= 0:
            size += thirds[third[i] + 1] - thirds[third[i]]
        inside[i] = size
        whole[i] = 1 + _varint_size(size) + size


@kernel(f"void({_COLUMNS}, {OFFSETS}, {BYTES}, {BYTES}, {OFFSETS}, uint8[::1])")
def write_entries(
    ts: Any,
    lines: Any,
    line: Any,
    third: Any,
    thirds: Any,
    inside: Any,
    data: Any,
    third_data: Any,
    places: Any,
    out: Any,
) -> None:
    """Writes the entries.

    Args as of `entry_sizes`, and:
        data: uint8[], the lines.
        third_data: uint8[], the metadata.
        places: int64[n], where each entry begins in `out`.
        out: uint8[], gets them.
    """
    for i in range(len(ts)):
        at = places[i]
        out[at] = 0x12
        at = _put_varint(inside[i], out, at + 1)
        seconds = ts[i] // _NS
        nanos = ts[i] - seconds * _NS
        out[at] = 0x0A
        stamp = at + 1
        at += 2
        if seconds != 0:
            at = _put_seconds(seconds, out, at)
        if nanos:
            out[at] = 0x10
            at = _put_varint(nanos, out, at + 1)
        out[stamp] = at - stamp - 1
        length = lines[line[i] + 1] - lines[line[i]]
        if length:
            out[at] = 0x12
            at = _put_varint(length, out, at + 1)
            at = put(data, lines[line[i]], lines[line[i] + 1], out, at)
        if third[i] >= 0:
            put(third_data, thirds[third[i]], thirds[third[i] + 1], out, at)
