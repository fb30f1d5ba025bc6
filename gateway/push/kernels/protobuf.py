"""The wire format of a protobuf push, walked straight into columns.

The protobuf library is the oracle and the fallback: `measure` vouches for a message only where the library would take
it and read the same, and says "not sure" otherwise. Sure are fields of the known numbers with the wire type they
should have, in any order and repeated (the last one counts, submessages merge), and fields of unknown numbers; all
with tags of one byte and lengths of at most four. So whatever is refused is refused by the library, in its place.

Positions are indices into the message. The shape of it is in gateway/push/push_messages.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.kernels.cache import BYTES, inner, kernel
from storage.kernels.spans import copy_bytes

NOT_SURE = -1
"""What `measure` has for the number of streams where the library is to decide."""

PAIR_ROW, NAME_START, NAME_END, VALUE_START, VALUE_END = range(5)
"""Rows of the array of metadata pairs."""

_SECOND = 1_000_000_000
_SECONDS_FIRST, _SECONDS_END = -62135596800, 253402300800

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_STREAMS, _LABELS, _ENTRIES = 0x0A, 0x0A, 0x12
_TIMESTAMP, _LINE, _METADATA = 0x0A, 0x12, 0x1A
_SECONDS, _NANOS = 0x08, 0x10
_NAME, _VALUE = 0x0A, 0x12


@inner
def read_length(raw: Any, at: Any, end: Any) -> Any:
    """The length at `at` and where its bytes begin; (-1, at) where it is not sure or goes past `end`."""
    size = np.int64(0)
    for place in range(4):
        if at >= end:
            return -1, at
        byte = np.int64(raw[np.uint64(at)])
        at += 1
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return (size, at) if size <= end - at else (-1, at)
    return -1, at


@inner
def read_varint(raw: Any, at: Any, end: Any) -> Any:
    """The value at `at`, its 64 bits taken as signed, and where it ends; -1 for the end where it is not sure."""
    value = np.int64(0)
    for place in range(10):
        if at >= end:
            return value, -1
        byte = np.int64(raw[np.uint64(at)])
        at += 1
        if place == 9 and byte > 1:
            return value, -1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    return value, -1


@inner
def after_unknown(raw: Any, tag: Any, at: Any, end: Any, known: Any) -> Any:
    """Where the field behind `tag` ends; -1 where it is not sure, as for the fields 1 to `known`."""
    if tag >= 0x80 or tag >> 3 <= known:
        return -1
    kind = tag & 7
    if kind == _VARINT:
        return read_varint(raw, at, end)[1]
    if kind == _BYTES:
        size, at = read_length(raw, at, end)
        return -1 if size < 0 else at + size
    if kind in (_FIXED64, _FIXED32):
        at += 8 if kind == _FIXED64 else 4
        return at if at <= end else -1
    return -1


@inner
def _time(raw: Any, at: Any, end: Any, seconds: Any, nanos: Any) -> Any:
    """A Timestamp merged into `seconds` and `nanos`, and whether it is sure."""
    while at < end:
        tag = raw[np.uint64(at)]
        at += 1
        if tag == _SECONDS:
            seconds, at = read_varint(raw, at, end)
        elif tag == _NANOS:
            nanos, at = read_varint(raw, at, end)
        else:
            at = after_unknown(raw, tag, at, end, 2)
        if at < 0:
            return seconds, nanos, False
    return seconds, nanos, True


@inner
def _nanoseconds(seconds: Any, nanos: Any) -> Any:
    """gateway.push.times.nanoseconds of a time that is valid: int64 wraps around by itself."""
    return seconds * _SECOND + nanos


@inner
def _pair(raw: Any, at: Any, end: Any) -> Any:
    """Where name and value of a pair begin and end, and whether it is sure. An absent one is empty."""
    name = name_end = value = value_end = at
    while at < end:
        tag = raw[np.uint64(at)]
        at += 1
        if tag in (_NAME, _VALUE):
            size, at = read_length(raw, at, end)
            if size < 0:
                return name, name_end, value, value_end, False
            if tag == _NAME:
                name, name_end = at, at + size
            else:
                value, value_end = at, at + size
            at += size
        else:
            at = after_unknown(raw, tag, at, end, 2)
            if at < 0:
                return name, name_end, value, value_end, False
    return name, name_end, value, value_end, True


@inner
def _measure_entry(raw: Any, at: Any, end: Any) -> Any:
    """Bytes of an entry's line and its pairs; -1 for the line where it is not sure."""
    line = pairs = 0
    seconds = nanos = np.int64(0)
    while at < end:
        tag = raw[np.uint64(at)]
        at += 1
        if tag in (_TIMESTAMP, _LINE, _METADATA):
            size, at = read_length(raw, at, end)
            if size < 0:
                return -1, 0
            sure = True
            if tag == _LINE:
                line = size
            elif tag == _TIMESTAMP:
                seconds, nanos, sure = _time(raw, at, at + size, seconds, nanos)
            else:
                sure = _pair(raw, at, at + size)[4]
                pairs += 1
            if not sure:
                return -1, 0
            at += size
        else:
            at = after_unknown(raw, tag, at, end, 3)
            if at < 0:
                return -1, 0
    if not (_SECONDS_FIRST <= seconds < _SECONDS_END and 0 <= nanos < _SECOND):
        return -1, 0
    return line, pairs


@kernel(f"UniTuple(int64, 4)({BYTES})")
def measure(raw: Any) -> Any:
    """Streams, entries, bytes of lines and metadata pairs of a message; NOT_SURE for the streams where it is not.

    Args:
        raw: uint8[], the message.
    """
    streams = entries = line_bytes = pairs = 0
    at, end = 0, len(raw)
    while at < end:
        tag = raw[np.uint64(at)]
        at += 1
        if tag != _STREAMS:
            at = after_unknown(raw, tag, at, end, 1)
            if at < 0:
                return NOT_SURE, 0, 0, 0
            continue
        size, at = read_length(raw, at, end)
        if size < 0:
            return NOT_SURE, 0, 0, 0
        streams += 1
        stop = at + size
        while at < stop:
            tag = raw[np.uint64(at)]
            at += 1
            if tag in (_LABELS, _ENTRIES):
                size, at = read_length(raw, at, stop)
                if size < 0:
                    return NOT_SURE, 0, 0, 0
                if tag == _ENTRIES:
                    line, own = _measure_entry(raw, at, at + size)
                    if line < 0:
                        return NOT_SURE, 0, 0, 0
                    entries += 1
                    line_bytes += line
                    pairs += own
                at += size
            else:
                at = after_unknown(raw, tag, at, stop, 2)
                if at < 0:
                    return NOT_SURE, 0, 0, 0
    return streams, entries, line_bytes, pairs


@inner
def _fill_entry(raw: Any, at: Any, end: Any, no_time: Any, row: Any, place: Any, pairs: Any) -> Any:
    """Writes the pairs of a measured entry from `place` on.

    Its time, where its line begins and ends, and the place behind its pairs.
    """
    line = line_end = at
    seconds = nanos = np.int64(0)
    timed = False
    while at < end:
        tag = raw[np.uint64(at)]
        at += 1
        if tag not in (_TIMESTAMP, _LINE, _METADATA):
            at = after_unknown(raw, tag, at, end, 3)
            continue
        size, at = read_length(raw, at, end)
        stop = at + size
        if tag == _LINE:
            line, line_end = at, stop
        elif tag == _TIMESTAMP:
            timed = True
            seconds, nanos, _ = _time(raw, at, stop, seconds, nanos)
        else:
            name, name_end, value, value_end, _ = _pair(raw, at, stop)
            pairs[PAIR_ROW, place] = row
            pairs[NAME_START, place] = name
            pairs[NAME_END, place] = name_end
            pairs[VALUE_START, place] = value
            pairs[VALUE_END, place] = value_end
            place += 1
        at = stop
    return (_nanoseconds(seconds, nanos) if timed else no_time), line, line_end, place


@kernel(
    f"void({BYTES}, int64, int64[:, ::1], int32[::1], int64[::1], int64[::1], uint8[::1], uint32[::1], int64[:, ::1])"
)
def fill(
    raw: Any,
    no_time: Any,
    labels: Any,
    stream: Any,
    ts: Any,
    line_offsets: Any,
    line_data: Any,
    gaps: Any,
    pairs: Any,
) -> None:
    """Writes the columns of a message that `measure` is sure of.

    Args:
        raw: uint8[], the message.
        no_time: ns, the time of an entry that has none.
        labels: int64[streams, 2], gets where the text of each stream's labels begins and ends.
        stream: int32[entries].
        ts: int64[entries], gets ns.
        line_offsets: int64[entries + 1].
        line_data: uint8[bytes of lines].
        gaps: uint32[entries or none], gets the bytes between the end of the line before and each line.
        pairs: int64[5, pairs], gets PAIR_ROW and where each name and value begin and end.
    """
    number = row = place = size = filled = last = 0
    line_offsets[0] = 0
    at, end = 0, len(raw)
    while at < end:
        tag = raw[np.uint64(at)]
        at += 1
        if tag != _STREAMS:
            at = after_unknown(raw, tag, at, end, 1)
            continue
        size, at = read_length(raw, at, end)
        stop = at + size
        labels[number, 0] = labels[number, 1] = at
        while at < stop:
            tag = raw[np.uint64(at)]
            at += 1
            if tag not in (_LABELS, _ENTRIES):
                at = after_unknown(raw, tag, at, stop, 2)
                continue
            size, at = read_length(raw, at, stop)
            if tag == _LABELS:
                labels[number, 0] = at
                labels[number, 1] = at + size
            else:
                ts[row], line, line_end, place = _fill_entry(raw, at, at + size, no_time, row, place, pairs)
                stream[row] = number
                copy_bytes(line_data, filled, raw, line, line_end)
                filled += line_end - line
                if row < len(gaps):
                    gaps[row] = line - last
                last = line_end
                row += 1
                line_offsets[row] = filled
            at += size
        number += 1
