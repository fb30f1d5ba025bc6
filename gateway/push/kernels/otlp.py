"""The wire format of an OTLP logs request, walked straight into columns.

The protobuf library is the oracle and the fallback: `walk` vouches for a request only where the library would take it
and read the same, and says "not sure" otherwise. Sure are fields of the known numbers with the wire type they
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
"""What `walk` has for the number of resources where the library is to decide."""

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

_TRACE_BYTES, _SPAN_BYTES = 16, 8
_INT_TEXT, _BOOL_TEXT = 20, 5
"""Bytes that a whole number and a boolean take as text, at most."""

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
        tag = raw[np.uint64(at)]
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
        tag = raw[np.uint64(at)]
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
        value |= np.uint64(raw[np.uint64(at + place)]) << np.uint64(8 * place)
    return value


@inner
def _time(raw: Any, at: Any) -> Any:
    """A time in ns, uint64 taken for int64, as Loki takes it."""
    return np.int64(_fixed(raw, at, 8))


@inner
def _is_set(raw: Any, start: Any, end: Any) -> Any:
    """Whether an id has a byte that is not zero."""
    seen = np.uint8(0)
    for at in range(start, end):
        seen |= raw[np.uint64(at)]
    return seen != 0


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
    """Writes a pair of a record's own field, if there is room; the place behind it."""
    if place < len(kinds):
        at = np.uint64(place)
        pairs[PAIR_ROW, at] = row
        pairs[NAME_START, at] = pairs[NAME_END, at] = 0
        pairs[VALUE_START, at] = start
        pairs[VALUE_END, at] = end
        kinds[at] = kind
    return place + 1


@inner
def _number(data: Any, filled: Any, value: Any) -> Any:
    """Writes a number, if there is room; where it ends."""
    return _write_number(data, filled, value) if filled + _INT_TEXT <= len(data) else filled + _INT_TEXT


@inner
def _id(data: Any, filled: Any, start: Any, end: Any) -> Any:
    """Writes an id, if there is room; where it ends."""
    size = 2 * (end - start)
    return _write_hex(data, filled, start, end) if filled + size <= len(data) else filled + size


@inner
def _bool(data: Any, filled: Any, value: Any) -> Any:
    """Writes a boolean, if there is room; where it ends."""
    return _write_bool(data, filled, value) if filled + _BOOL_TEXT <= len(data) else filled + _BOOL_TEXT


@inner
def _put_odd(odd: Any, odds: Any, place: Any, start: Any, stop: Any) -> Any:
    """Notes a value that only Python puts into words, if there is room; where the next one goes."""
    if odds < len(odd):
        odd[odds, 0] = place
        odd[odds, 1] = start
        odd[odds, 2] = stop
    return odds + 1


@inner
def _record(
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
    spans: Any,
    numbers: Any,
) -> Any:
    """Writes the pairs of a LogRecord: its attributes in their order, then its own fields.

    Args:
        data: as walk's, like the other arrays that are not said.
        at: where it begins.
        end: where it ends.
        row: its number.
        place: where its pairs go.
        filled: where its texts go.
        pairs: gets its pairs.
        kinds: gets their kinds.
        odd: gets its odd values.
        odds: where these go.
        doubles: gets its doubles.
        doubled: where these go.
        spans: int64[5, 2], gets where severity text, body, trace id, span id and event name begin and end.
        numbers: int64[5], gets time, observed time, severity, dropped attributes, flags.

    Returns:
        Where pairs, texts, odd values and doubles end; -1 for the pairs where it is not sure.
    """
    spans[:] = 0
    numbers[:] = 0
    body = False
    while at < end:
        tag = data[np.uint64(at)]
        at += 1
        if tag in (_R_TIME, _R_OBSERVED):
            if at + 8 > end:
                return -1, filled, odds, doubled
            numbers[0 if tag == _R_TIME else 1] = _time(data, at)
            at += 8
        elif tag == _R_FLAGS:
            if at + 4 > end:
                return -1, filled, odds, doubled
            numbers[4] = np.int64(_fixed(data, at, 4))
            at += 4
        elif tag in (_R_SEVERITY, _R_DROPPED):
            value, at = read_varint(data, at, end)
            if at < 0 or value < 0 or value > (0x7FFFFFFF if tag == _R_SEVERITY else 0xFFFFFFFF):
                return -1, filled, odds, doubled
            numbers[2 if tag == _R_SEVERITY else 3] = value
        elif tag == _R_ATTRIBUTE:
            size, at = read_length(data, at, end)
            if size < 0:
                return -1, filled, odds, doubled
            name, name_end, start, stop, sure = _attribute(data, at, at + size)
            if not sure:
                return -1, filled, odds, doubled
            kind, text, text_end, number = _value(data, start, stop)
            if kind in (_IS_UNSURE, _IS_MAP):  # a map is several pairs
                return -1, filled, odds, doubled
            if kind == _IS_INT:
                text = filled
                text_end = filled = _number(data, filled, number)
            elif kind == _IS_BOOL:
                text = filled
                text_end = filled = _bool(data, filled, number != 0)
            elif kind == _IS_ODD:
                odds = _put_odd(odd, odds, place, start, stop)
            elif kind == _IS_DOUBLE:
                if doubled < len(doubles):
                    doubles[doubled, 0] = place
                    doubles[doubled, 1] = number
                doubled += 1
            if place < len(kinds):
                slot = np.uint64(place)
                pairs[PAIR_ROW, slot] = row
                pairs[NAME_START, slot] = name
                pairs[NAME_END, slot] = name_end
                pairs[VALUE_START, slot] = text
                pairs[VALUE_END, slot] = text_end
                kinds[slot] = ATTRIBUTE
            place += 1
            at += size
        elif tag in (_R_TEXT, _R_BODY, _R_TRACE, _R_SPAN, _R_EVENT):
            size, at = read_length(data, at, end)
            if size < 0 or (tag == _R_BODY and body):
                return -1, filled, odds, doubled
            if tag == _R_TEXT:
                field = 0
            elif tag == _R_BODY:
                field = 1
                body = True
            elif tag == _R_TRACE:
                field = 2
            elif tag == _R_SPAN:
                field = 3
            else:
                field = 4
            spans[field, 0] = at
            spans[field, 1] = at + size
            at += size
        else:
            at = after_unknown(data, tag, at, end, _RECORD_FIELDS)
            if at < 0:
                return -1, filled, odds, doubled
    trace, span = spans[2, 1] - spans[2, 0], spans[3, 1] - spans[3, 0]
    if trace not in (0, _TRACE_BYTES) or span not in (0, _SPAN_BYTES):
        return -1, filled, odds, doubled
    for kind in range(_OBSERVED, len(FIELDS)):
        first, last = np.int64(0), np.int64(0)
        if kind == _SEVERITY_TEXT:
            first, last = spans[0, 0], spans[0, 1]
        elif kind == _EVENT:
            first, last = spans[4, 0], spans[4, 1]
        elif kind in (_TRACE, _SPAN):
            field = 2 if kind == _TRACE else 3
            if _is_set(data, spans[field, 0], spans[field, 1]):
                first = filled
                last = filled = _id(data, filled, spans[field, 0], spans[field, 1])
        else:
            field = 1 if kind == _OBSERVED else 2 if kind == _SEVERITY else 3 if kind == _DROPPED else 4
            if numbers[field] and (field > 1 or numbers[0]):
                first = filled
                last = filled = _number(data, filled, numbers[field])
        if last > first:
            place = _put(pairs, kinds, place, kind, row, first, last)
    return place, filled, odds, doubled


@kernel(
    "UniTuple(int64, 7)(uint8[::1], int64, int64, int64[:, ::1], int64[:, ::1], int32[::1], int32[::1], int64[::1], "
    "int64[:, ::1], int64[:, ::1], int32[::1], int64[:, ::1], int64[:, ::1])"
)
def walk(
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
    """Writes the columns of a request.

    Of each kind as much is written as there is room for: where there was too little of it, the request is to be walked
    again with as much as is told.

    Args:
        data: uint8[size + room for text], the request; gets the texts behind it.
        size: bytes of the request.
        now: ns, the time of a record that has none.
        resources: int64[:, 2], gets where each Resource begins and ends.
        scopes: int64[:, 2], gets where each InstrumentationScope does.
        resource_of: int32[as scopes], gets the resource of each.
        scope: int32[:], gets the scope of each record.
        ts: int64[as scope], gets ns.
        lines: int64[2, as scope], gets where each line begins and ends.
        pairs: int64[5, :], gets PAIR_ROW and where each name and value begin and end.
        kinds: int32[as pairs], gets ATTRIBUTE or which of FIELDS each pair is.
        odd: int64[:, 3], gets the pair that each odd value belongs to, or -1 - record for a body, and where its
            AnyValue begins and ends.
        doubles: int64[:, 2], gets the pair that each double belongs to, and its bits.

    Returns:
        Resources, scopes, records, pairs, bytes of text at most, odd values, attributes that are doubles. NOT_SURE for
        the resources where the library is to decide.
    """
    spans = np.empty((5, 2), np.int64)
    numbers = np.empty(5, np.int64)
    refused = NOT_SURE, 0, 0, 0, 0, 0, 0
    resources_seen = scopes_seen = row = place = odds = doubled = 0
    filled = size
    at, end = 0, size
    while at < end:
        tag = data[np.uint64(at)]
        at += 1
        if tag != _FIRST:
            at = after_unknown(data, tag, at, end, 1)
            if at < 0:
                return refused
            continue
        length, at = read_length(data, at, end)
        if length < 0:
            return refused
        stop, named = at + length, False
        resource = resources_seen
        resources_seen += 1
        if resource < len(resources):
            resources[resource, 0] = resources[resource, 1] = at
        while at < stop:
            tag = data[np.uint64(at)]
            at += 1
            if tag not in (_FIRST, _SECOND, _THIRD):
                at = after_unknown(data, tag, at, stop, 3)
                if at < 0:
                    return refused
                continue
            length, at = read_length(data, at, stop)
            if length < 0 or (tag == _FIRST and named):
                return refused
            if tag != _SECOND:
                if tag == _FIRST:
                    named = True
                    if resource < len(resources):
                        resources[resource, 0] = at
                        resources[resource, 1] = at + length
                at += length
                continue
            last, scoped = at + length, False
            number = scopes_seen
            scopes_seen += 1
            if number < len(scopes):
                scopes[number, 0] = scopes[number, 1] = at
                resource_of[number] = resource
            while at < last:
                tag = data[np.uint64(at)]
                at += 1
                if tag not in (_FIRST, _SECOND, _THIRD):
                    at = after_unknown(data, tag, at, last, 3)
                    if at < 0:
                        return refused
                    continue
                length, at = read_length(data, at, last)
                if length < 0 or (tag == _FIRST and scoped):
                    return refused
                if tag == _FIRST:
                    scoped = True
                    if number < len(scopes):
                        scopes[number, 0] = at
                        scopes[number, 1] = at + length
                elif tag == _SECOND:
                    place, filled, odds, doubled = _record(
                        data,
                        at,
                        at + length,
                        row,
                        place,
                        filled,
                        pairs,
                        kinds,
                        odd,
                        odds,
                        doubles,
                        doubled,
                        spans,
                        numbers,
                    )
                    if place < 0:
                        return refused
                    kind, line, line_end, _ = _value(data, spans[1, 0], spans[1, 1])
                    if kind == _IS_UNSURE:
                        return refused
                    if kind > _IS_TEXT:
                        odds = _put_odd(odd, odds, -1 - row, spans[1, 0], spans[1, 1])
                    if row < len(scope):
                        scope[row] = number
                        ts[row] = numbers[0] or numbers[1] or now
                        lines[0, row] = line
                        lines[1, row] = line_end
                    row += 1
                at += length
    return resources_seen, scopes_seen, row, place, filled - size, odds, doubled


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
