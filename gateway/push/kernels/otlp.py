"""The wire format of an OTLP logs request, walked straight into columns.

The protobuf library is the oracle and the fallback: `measure` vouches for a request only where the library would take
it and read the same, and says "not sure" otherwise. Sure are fields of the known numbers with the wire type they
should have, in any order; what may come once comes once, apart from plain fields, of which the last counts; all with
tags of one byte and lengths of at most four. What lies inside resources, scopes and odd values is left to the library.

Numbers and ids are written as text behind the request, in one buffer with it: so every name, value and line is a span
of that buffer. Positions are indices into it. The messages are opentelemetry-proto's: gateway/push/otlp_messages.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.push.kernels.protobuf import after_unknown, read_length, read_varint
from storage.kernels.cache import BYTES, OFFSETS, inner, kernel
from storage.kernels.spans import number_spans, table_size

NOT_SURE = -1
"""What `measure` has for the number of resources where the library is to decide."""

PAIR_ROW, NAME_START, NAME_END, VALUE_START, VALUE_END = range(5)
"""Rows of the array of metadata pairs."""

ATTRIBUTE = 0
"""The kind of a pair whose name the client chose."""
FIELDS = (
    "",
    "observed_timestamp",
    "severity_number",
    "severity_text",
    "dropped_attributes_count",
    "flags",
    "trace_id",
    "span_id",
    "event_name",
)
"""By the kind of a pair: the name of the record's field it is of."""
_OBSERVED, _SEVERITY, _SEVERITY_TEXT, _DROPPED, _FLAGS, _TRACE, _SPAN, _EVENT = range(1, 9)

_LAST = (1 << 63) - 1
_TRACE_BYTES, _SPAN_BYTES = 16, 8
_INT_TEXT, _BOOL_TEXT, _NUMBER_TEXT = 20, 5, 10
"""Bytes that an int64, a bool and an unsigned 32-bit number take as text, at most."""

_BYTES = 2
_FIRST, _SECOND, _THIRD = 0x0A, 0x12, 0x1A
"""Tags of the submessages and texts 1 to 3 of a request, ResourceLogs, ScopeLogs and KeyValue."""

# AnyValue
_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _MAP, _RAW = 0x0A, 0x10, 0x18, 0x21, 0x2A, 0x32, 0x3A
# LogRecord
_R_TIME, _R_OBSERVED, _R_SEVERITY, _R_TEXT, _R_BODY, _R_ATTRIBUTE = 0x09, 0x59, 0x10, 0x1A, 0x2A, 0x32
_R_DROPPED, _R_FLAGS, _R_TRACE, _R_SPAN, _R_EVENT = 0x38, 0x45, 0x4A, 0x52, 0x62
_RECORD_FIELDS = 12

_IS_UNSURE, _IS_EMPTY, _IS_TEXT, _IS_BOOL, _IS_INT, _IS_DOUBLE, _IS_ODD, _IS_MAP = range(-1, 7)
"""What an AnyValue holds. Odd: what only Python puts into words."""


@inner
def _value(raw: Any, at: Any, end: Any) -> Any:
    """What an AnyValue holds, where its text begins and ends, and its number; of a double the bits."""
    kind, start, stop, number = _IS_EMPTY, at, at, np.int64(0)
    while at < end:
        tag = raw[at]
        at += 1
        if tag in (_STRING, _ARRAY, _MAP, _RAW):
            size, at = read_length(raw, at, end)
            if size < 0 or kind != _IS_EMPTY:
                return _IS_UNSURE, start, stop, number
            kind = _IS_TEXT if tag == _STRING else _IS_MAP if tag == _MAP else _IS_ODD
            start, stop = at, at + size
            at += size
        elif tag in (_BOOL, _INT):
            number, at = read_varint(raw, at, end)
            if at < 0 or kind != _IS_EMPTY:
                return _IS_UNSURE, start, stop, number
            kind = _IS_BOOL if tag == _BOOL else _IS_INT
        elif tag == _DOUBLE:
            if at + 8 > end or kind != _IS_EMPTY:
                return _IS_UNSURE, start, stop, number
            kind, number = _IS_DOUBLE, np.int64(_fixed(raw, at, 8))
            at += 8
        else:
            at = after_unknown(raw, tag, at, end, 7)
            if at < 0:
                return _IS_UNSURE, start, stop, number
    return kind, start, stop, number


@inner
def _attribute(raw: Any, at: Any, end: Any) -> Any:
    """Where name and value of a KeyValue begin and end, and whether it is sure. An absent one is empty."""
    name = name_end = value = value_end = at
    valued = False
    while at < end:
        tag = raw[at]
        at += 1
        if tag in (_FIRST, _SECOND):
            size, at = read_length(raw, at, end)
            if size < 0 or (tag == _SECOND and valued):
                return name, name_end, value, value_end, False
            if tag == _FIRST:
                name, name_end = at, at + size
            else:
                value, value_end = at, at + size
                valued = True
            at += size
        else:
            at = after_unknown(raw, tag, at, end, 2)
            if at < 0:
                return name, name_end, value, value_end, False
    return name, name_end, value, value_end, True


@inner
def _fixed(raw: Any, at: Any, size: Any) -> Any:
    """The little-endian number (uint64) of so many bytes."""
    value = np.uint64(0)
    for place in range(size):
        value |= np.uint64(raw[at + place]) << np.uint64(8 * place)
    return value


@inner
def _time(raw: Any, at: Any) -> Any:
    """A time in ns. What int64 cannot hold becomes its last."""
    value = _fixed(raw, at, 8)
    return _LAST if value > np.uint64(_LAST) else np.int64(value)


@inner
def _is_set(raw: Any, start: Any, end: Any) -> Any:
    """Whether an id has a byte that is not zero."""
    seen = np.uint8(0)
    for at in range(start, end):
        seen |= raw[at]
    return seen != 0


@inner
def _record(raw: Any, at: Any, end: Any, spans: Any, numbers: Any) -> Any:
    """Reads the fields of a LogRecord but for its attributes; whether it is sure.

    Args:
        raw: uint8[].
        at: where it begins.
        end: where it ends.
        spans: int64[5, 2], gets where severity text, body, trace id, span id and event name begin and end.
        numbers: int64[5], gets time, observed time, severity, dropped attributes, flags.
    """
    spans[:] = 0
    numbers[:] = 0
    body = False
    while at < end:
        tag = raw[at]
        at += 1
        if tag in (_R_TIME, _R_OBSERVED):
            if at + 8 > end:
                return False
            numbers[0 if tag == _R_TIME else 1] = _time(raw, at)
            at += 8
        elif tag == _R_FLAGS:
            if at + 4 > end:
                return False
            numbers[4] = np.int64(_fixed(raw, at, 4))
            at += 4
        elif tag in (_R_SEVERITY, _R_DROPPED):
            value, at = read_varint(raw, at, end)
            if at < 0 or value < 0 or value > (0x7FFFFFFF if tag == _R_SEVERITY else 0xFFFFFFFF):
                return False
            numbers[2 if tag == _R_SEVERITY else 3] = value
        elif tag in (_R_TEXT, _R_BODY, _R_ATTRIBUTE, _R_TRACE, _R_SPAN, _R_EVENT):
            size, at = read_length(raw, at, end)
            if size < 0 or (tag == _R_BODY and body):
                return False
            if tag == _R_TEXT:
                place = 0
            elif tag == _R_BODY:
                place = 1
                body = True
            elif tag == _R_TRACE:
                place = 2
            elif tag == _R_SPAN:
                place = 3
            else:
                place = 4
            if tag != _R_ATTRIBUTE:
                spans[place, 0] = at
                spans[place, 1] = at + size
            at += size
        else:
            at = after_unknown(raw, tag, at, end, _RECORD_FIELDS)
            if at < 0:
                return False
    trace, span = spans[2, 1] - spans[2, 0], spans[3, 1] - spans[3, 0]
    return (trace in (0, _TRACE_BYTES)) and (span in (0, _SPAN_BYTES))


@inner
def _measure_record(raw: Any, at: Any, end: Any, spans: Any, numbers: Any) -> Any:
    """Pairs, bytes of text to be written, odd values and attributes that are doubles of a LogRecord.

    -1 for the pairs where it is not sure.
    """
    if not _record(raw, at, end, spans, numbers):
        return -1, 0, 0, 0
    body = _value(raw, spans[1, 0], spans[1, 1])[0]
    if body == _IS_UNSURE:
        return -1, 0, 0, 0
    # Numbers and ids of a record take at most so much, whether they are there or not.
    written = _INT_TEXT + 3 * _NUMBER_TEXT + 2 * (_TRACE_BYTES + _SPAN_BYTES)
    pairs, odd, doubles = len(FIELDS) - 1, np.int64(body > _IS_TEXT), 0
    while at < end:
        tag = raw[at]
        at += 1
        if tag != _R_ATTRIBUTE:
            at = _after(raw, tag, at, end)
            continue
        size, at = read_length(raw, at, end)
        _, _, value, value_end, sure = _attribute(raw, at, at + size)
        if not sure:
            return -1, 0, 0, 0
        kind = _value(raw, value, value_end)[0]
        if kind in (_IS_UNSURE, _IS_MAP):  # a map is several pairs
            return -1, 0, 0, 0
        pairs += 1
        if kind == _IS_INT:
            written += _INT_TEXT
        elif kind == _IS_BOOL:
            written += _BOOL_TEXT
        odd += kind == _IS_ODD
        doubles += kind == _IS_DOUBLE
        at += size
    return pairs, written, odd, doubles


@inner
def _after(raw: Any, tag: Any, at: Any, end: Any) -> Any:
    """Where the field behind `tag` of a record ends that was found sure."""
    kind = tag & 7
    if kind == _BYTES:
        size, at = read_length(raw, at, end)
        return at + size
    if kind == 0:
        return read_varint(raw, at, end)[1]
    return at + (8 if kind == 1 else 4)


@kernel(f"UniTuple(int64, 7)({BYTES})")
def measure(raw: Any) -> Any:
    """Resources, scopes, records, pairs at most, bytes of text at most, odd values, attributes that are doubles.

    NOT_SURE for the resources where the library is to decide.

    Args:
        raw: uint8[], the request.
    """
    spans = np.empty((5, 2), np.int64)
    numbers = np.empty(5, np.int64)
    resources = scopes = records = pairs = written = odd = doubles = 0
    refused = NOT_SURE, 0, 0, 0, 0, 0, 0
    at, end = 0, len(raw)
    while at < end:
        tag = raw[at]
        at += 1
        if tag != _FIRST:
            at = after_unknown(raw, tag, at, end, 1)
            if at < 0:
                return refused
            continue
        size, at = read_length(raw, at, end)
        if size < 0:
            return refused
        resources += 1
        stop, named = at + size, False
        while at < stop:
            tag = raw[at]
            at += 1
            if tag not in (_FIRST, _SECOND, _THIRD):
                at = after_unknown(raw, tag, at, stop, 3)
                if at < 0:
                    return refused
                continue
            size, at = read_length(raw, at, stop)
            if size < 0 or (tag == _FIRST and named):
                return refused
            if tag == _FIRST:
                named = True
            if tag != _SECOND:
                at += size
                continue
            scopes += 1
            last, scoped = at + size, False
            while at < last:
                tag = raw[at]
                at += 1
                if tag not in (_FIRST, _SECOND, _THIRD):
                    at = after_unknown(raw, tag, at, last, 3)
                    if at < 0:
                        return refused
                    continue
                size, at = read_length(raw, at, last)
                if size < 0 or (tag == _FIRST and scoped):
                    return refused
                if tag == _FIRST:
                    scoped = True
                elif tag == _SECOND:
                    own, text, odd_ones, double_ones = _measure_record(raw, at, at + size, spans, numbers)
                    if own < 0:
                        return refused
                    records += 1
                    pairs += own
                    written += text
                    odd += odd_ones
                    doubles += double_ones
                at += size
    return resources, scopes, records, pairs, written, odd, doubles


@inner
def _write_number(out: Any, at: Any, value: Any) -> Any:
    """Writes an int64 in decimal; where it ends."""
    left = np.uint64(value)
    if value < 0:
        out[at] = 0x2D
        at += 1
        left = np.uint64(~value) + np.uint64(1)
    digits = 1
    rest = left // np.uint64(10)
    while rest:
        digits += 1
        rest //= np.uint64(10)
    for place in range(digits - 1, -1, -1):
        out[at + place] = np.uint8(0x30) + np.uint8(left % np.uint64(10))
        left //= np.uint64(10)
    return at + digits


@inner
def _write_hex(out: Any, at: Any, start: Any, end: Any) -> Any:
    """Writes the bytes start..end of `out` as hex digits; where they end."""
    source, target = np.uint64(start), np.uint64(at)
    for _ in range(end - start):
        high, low = out[source] >> 4, out[source] & 15
        out[target] = high + (0x30 if high < 10 else 0x57)
        out[target + np.uint64(1)] = low + (0x30 if low < 10 else 0x57)
        source += np.uint64(1)
        target += np.uint64(2)
    return np.int64(target)


@inner
def _write_bool(out: Any, at: Any, value: Any) -> Any:
    word = (0x74, 0x72, 0x75, 0x65, 0) if value else (0x66, 0x61, 0x6C, 0x73, 0x65)
    size = 4 if value else 5
    for place in range(size):
        out[at + place] = word[place]
    return at + size


@inner
def _put(pairs: Any, kinds: Any, place: Any, kind: Any, row: Any, start: Any, end: Any) -> Any:
    """Writes a pair of a record's own field; the place behind it."""
    pairs[PAIR_ROW, place] = row
    pairs[NAME_START, place] = pairs[NAME_END, place] = 0
    pairs[VALUE_START, place] = start
    pairs[VALUE_END, place] = end
    kinds[place] = kind
    return place + 1


@inner
def _fill_attributes(
    data: Any,
    at: Any,
    end: Any,
    row: Any,
    place: Any,
    filled: Any,
    pairs: Any,
    kinds: Any,
    odd: Any,
    odds: Any,
    doubles: Any,
    doubled: Any,
) -> Any:
    """Writes the attributes of a measured record; the place behind them, where texts, odd values and doubles end."""
    while at < end:
        tag = data[at]
        at += 1
        if tag != _R_ATTRIBUTE:
            at = _after(data, tag, at, end)
            continue
        size, at = read_length(data, at, end)
        name, name_end, start, stop, _ = _attribute(data, at, at + size)
        kind, text, text_end, number = _value(data, start, stop)
        if kind == _IS_INT:
            text, text_end = filled, _write_number(data, filled, number)
            filled = text_end
        elif kind == _IS_BOOL:
            text, text_end = filled, _write_bool(data, filled, number != 0)
            filled = text_end
        elif kind == _IS_ODD:
            odd[odds, 0], odd[odds, 1], odd[odds, 2] = place, start, stop
            odds += 1
        elif kind == _IS_DOUBLE:
            doubles[doubled, 0], doubles[doubled, 1] = place, number
            doubled += 1
        pairs[PAIR_ROW, place] = row
        pairs[NAME_START, place] = name
        pairs[NAME_END, place] = name_end
        pairs[VALUE_START, place] = text
        pairs[VALUE_END, place] = text_end
        kinds[place] = ATTRIBUTE
        place += 1
        at += size
    return place, filled, odds, doubled


@kernel(
    "int64(uint8[::1], int64, int64, int64[:, ::1], int64[:, ::1], int32[::1], int32[::1], int64[::1], "
    "int64[:, ::1], int64[:, ::1], int32[::1], int64[:, ::1], int64[:, ::1])"
)
def fill(
    data: Any,
    size: Any,
    now: Any,
    resources: Any,
    scopes: Any,
    resource_of: Any,
    scope: Any,
    ts: Any,
    lines: Any,
    pairs: Any,
    kinds: Any,
    odd: Any,
    doubles: Any,
) -> Any:
    """Writes the columns of a request that `measure` is sure of; how many pairs there are.

    Args:
        data: uint8[size + bytes of text], the request; gets the texts behind it.
        size: bytes of the request.
        now: ns, the time of a record that has none.
        resources: int64[resources, 2], gets where each Resource begins and ends.
        scopes: int64[scopes, 2], gets where each InstrumentationScope does.
        resource_of: int32[scopes], gets the resource of each.
        scope: int32[records], gets the scope of each.
        ts: int64[records], gets ns.
        lines: int64[2, records], gets where each line begins and ends.
        pairs: int64[5, pairs at most], gets PAIR_ROW and where each name and value begin and end.
        kinds: int32[pairs at most], gets ATTRIBUTE or which of FIELDS each pair is.
        odd: int64[odd values, 3], gets the pair that each belongs to, or -1 - record for a body, and where its
            AnyValue begins and ends.
        doubles: int64[doubles, 2], gets the pair that each belongs to, and its bits.
    """
    spans = np.empty((5, 2), np.int64)
    numbers = np.empty(5, np.int64)
    resource = number = row = place = odds = doubled = 0
    filled = size
    at, end = 0, size
    while at < end:
        tag = data[at]
        at += 1
        if tag != _FIRST:
            at = after_unknown(data, tag, at, end, 1)
            continue
        length, at = read_length(data, at, end)
        stop = at + length
        resources[resource, 0] = resources[resource, 1] = at
        while at < stop:
            tag = data[at]
            at += 1
            if tag not in (_FIRST, _SECOND, _THIRD):
                at = after_unknown(data, tag, at, stop, 3)
                continue
            length, at = read_length(data, at, stop)
            if tag != _SECOND:
                if tag == _FIRST:
                    resources[resource, 0], resources[resource, 1] = at, at + length
                at += length
                continue
            last = at + length
            scopes[number, 0] = scopes[number, 1] = at
            resource_of[number] = resource
            while at < last:
                tag = data[at]
                at += 1
                if tag not in (_FIRST, _SECOND, _THIRD):
                    at = after_unknown(data, tag, at, last, 3)
                    continue
                length, at = read_length(data, at, last)
                if tag == _FIRST:
                    scopes[number, 0], scopes[number, 1] = at, at + length
                elif tag == _SECOND:
                    _record(data, at, at + length, spans, numbers)
                    scope[row] = number
                    ts[row] = numbers[0] or numbers[1] or now
                    kind, lines[0, row], lines[1, row], _ = _value(data, spans[1, 0], spans[1, 1])
                    if kind > _IS_TEXT:
                        odd[odds, 0], odd[odds, 1], odd[odds, 2] = -1 - row, spans[1, 0], spans[1, 1]
                        odds += 1
                    place, filled, odds, doubled = _fill_attributes(
                        data, at, at + length, row, place, filled, pairs, kinds, odd, odds, doubles, doubled
                    )
                    if numbers[0] and numbers[1]:
                        first, filled = filled, _write_number(data, filled, numbers[1])
                        place = _put(pairs, kinds, place, _OBSERVED, row, first, filled)
                    if numbers[2]:
                        first, filled = filled, _write_number(data, filled, numbers[2])
                        place = _put(pairs, kinds, place, _SEVERITY, row, first, filled)
                    if spans[0, 1] > spans[0, 0]:
                        place = _put(pairs, kinds, place, _SEVERITY_TEXT, row, spans[0, 0], spans[0, 1])
                    if numbers[3]:
                        first, filled = filled, _write_number(data, filled, numbers[3])
                        place = _put(pairs, kinds, place, _DROPPED, row, first, filled)
                    if numbers[4]:
                        first, filled = filled, _write_number(data, filled, numbers[4])
                        place = _put(pairs, kinds, place, _FLAGS, row, first, filled)
                    if _is_set(data, spans[2, 0], spans[2, 1]):
                        first, filled = filled, _write_hex(data, filled, spans[2, 0], spans[2, 1])
                        place = _put(pairs, kinds, place, _TRACE, row, first, filled)
                    if _is_set(data, spans[3, 0], spans[3, 1]):
                        first, filled = filled, _write_hex(data, filled, spans[3, 0], spans[3, 1])
                        place = _put(pairs, kinds, place, _SPAN, row, first, filled)
                    if spans[4, 1] > spans[4, 0]:
                        place = _put(pairs, kinds, place, _EVENT, row, spans[4, 0], spans[4, 1])
                    row += 1
                at += length
            number += 1
        resource += 1
    return place


@kernel(f"int64({BYTES}, {OFFSETS}, {OFFSETS}, int32[::1], uint64, int32[::1], int64[::1])")
def number_names(data: Any, starts: Any, ends: Any, kinds: Any, seed: Any, keys: Any, firsts: Any) -> Any:
    """Numbers the distinct names of the attributes among pairs, in order of appearance; how many there are.

    Args:
        data: uint8[].
        starts: int64[m], where each pair's name begins.
        ends: int64[m], where it ends.
        kinds: int32[m], of each pair.
        seed: uint64, secret, for hashing.
        keys: int32[m], gets len(FIELDS) + the number of the name; for a record's own field its kind.
        firsts: int64[m], gets the first pair of each name.
    """
    places = np.empty(len(kinds), np.int64)
    count = 0
    for pair in range(len(kinds)):
        keys[pair] = kinds[pair]
        if kinds[pair] == ATTRIBUTE:
            places[count] = pair
            count += 1
    places = places[:count]
    numbers = np.empty(count, np.int32)
    hashes = np.empty(count, np.uint64)
    table = np.empty(table_size(count), np.int32)
    names = int(number_spans(data, starts, ends, places, seed, count, numbers, firsts, hashes, table))
    for i in range(count):
        keys[places[i]] = len(FIELDS) + numbers[i]
    return names
