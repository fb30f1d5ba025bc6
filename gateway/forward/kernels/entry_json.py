r"""msgpack objects as text: JSON (RFC 8259), compact, members in the order in which they came, UTF-8 not escaped.

`"`, `\` and control bytes are escaped; each byte that is not of valid UTF-8 becomes U+FFFD. What JSON has no word for:
a number that is none (NaN, infinity) is null, an ext type is its bytes in hex; a key that is no text is the text of
its JSON, or the hex of its bytes if it is a container.

All functions write where there is room: JSON_ROOM bytes for each byte of msgpack, and JSON_MORE.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.forward.kernels.entry_heads import (
    ARRAY,
    BIN,
    BOOL,
    EMPTY,
    EXT,
    FLOAT,
    INT,
    MAP,
    MAX_NESTING,
    NIL,
    STR,
    UINT,
    after,
    head,
    whole_number,
)
from gateway.forward.kernels.entry_walk import CELL_AT, CELL_END, CELL_KIND, CELL_PATH, CELL_START, MAX_FLAT, METADATA
from gateway.query.kernels.escapes import digits, magnitude, put_digits, rune_bytes
from storage.kernels.cache import BYTES, OFFSETS, inner, kernel
from storage.kernels.spans import copy_bytes

JSON_ROOM, JSON_MORE = 8, 32
"""The worst is a key `false` with the value nil: two bytes that become 13."""

_STACK = MAX_NESTING + MAX_FLAT + 4
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_PLAIN = np.ones(256, np.bool_)
_PLAIN[:0x20] = False
_PLAIN[0x80:] = False
_PLAIN[list(b'"\\')] = False
_SHORT = np.zeros(256, np.uint8)
for _byte, _letter in zip(b'"\\\n\r\t', b'"\\nrt', strict=True):
    _SHORT[_byte] = _letter


@inner
def put_hex(raw: Any, start: Any, end: Any, out: Any, to: Any) -> Any:
    """Writes raw[start:end] in hex to out[to:]; where it ends."""
    for at in range(start, end):
        byte = raw[at]
        out[to] = _HEX[byte >> 4]
        out[to + 1] = _HEX[byte & 15]
        to += 2
    return to


@inner
def put_inside(raw: Any, start: Any, end: Any, out: Any, to: Any) -> Any:
    """Writes raw[start:end] as the inside of a JSON string to out[to:]; where it ends."""
    at = start
    while at < end:
        run, stop = np.uint64(at), np.uint64(end)
        while run < stop and _PLAIN[raw[run]]:
            run += np.uint64(1)
        if run > np.uint64(at):
            copy_bytes(out, to, raw, at, run)
            to += np.int64(run) - at
            at = np.int64(run)
            if at == end:
                break
        byte = raw[np.uint64(at)]
        if byte >= 0x80:
            size = rune_bytes(raw, at, end)
            if size == 1:
                out[to] = 0xEF
                out[to + 1] = 0xBF
                out[to + 2] = 0xBD
                to += 3
            else:
                copy_bytes(out, to, raw, at, at + size)
                to += size
            at += size
        elif _SHORT[byte]:
            out[to] = 0x5C
            out[to + 1] = _SHORT[byte]
            to += 2
            at += 1
        else:
            copy_bytes(out, to, _UNICODE, 0, 4)
            to = put_hex(raw, at, at + 1, out, to + 4)
            at += 1
    return to


_UNICODE = np.frombuffer(b"\\u00", np.uint8)
_NULL = np.frombuffer(b"null", np.uint8)
_TRUE = np.frombuffer(b"true", np.uint8)
_FALSE = np.frombuffer(b"false", np.uint8)


@inner
def put_number(raw: Any, at: Any, out: Any, to: Any) -> Any:
    """Writes the UINT or INT at `at` in digits to out[to:]; where they end."""
    value = whole_number(raw, at)
    plain = np.uint64(value)
    byte = raw[np.uint64(at)]
    if value < 0 and byte != 0xCF:
        plain = magnitude(value)
        out[to] = 0x2D
        to += 1
    return put_digits(plain, digits(plain), out, to)


@inner
def put_float(at: Any, floats: Any, data: Any, offsets: Any, place: Any, out: Any, to: Any, json: Any) -> Any:
    """Writes the text of the float at `at` to out[to:], where there are floats from floats[place[0]] on; its end.

    Moves place[0]; null for what JSON cannot say where `json` is set.
    """
    number = place[0]
    if floats[number] > at:  # values are not read in the order in which they lie
        number = 0
    if floats[number] < at:
        number = np.searchsorted(floats, at) if floats[number + 1] != at else number + 1
    place[0] = number
    start, end = offsets[number], offsets[number + 1]
    last = data[end - 1]
    if json and (last in (0x6E, 0x66)):  # nan, inf
        copy_bytes(out, to, _NULL, 0, 4)
        return to + 4
    copy_bytes(out, to, data, start, end)
    return to + end - start


@inner
def _put_scalar(
    raw: Any,
    kind: Any,
    at: Any,
    body: Any,
    size: Any,
    floats: Any,
    data: Any,
    offsets: Any,
    place: Any,
    out: Any,
    to: Any,
) -> Any:
    """Writes the scalar at `at` as JSON, without the quotes of what is a string; where it ends."""
    if kind in (STR, BIN):
        return put_inside(raw, body, body + size, out, to)
    if kind in (UINT, INT):
        return put_number(raw, at, out, to)
    if kind == BOOL:
        if raw[np.uint64(at)] == 0xC3:
            copy_bytes(out, to, _TRUE, 0, 4)
            return to + 4
        copy_bytes(out, to, _FALSE, 0, 5)
        return to + 5
    if kind == NIL:
        copy_bytes(out, to, _NULL, 0, 4)
        return to + 4
    if kind == FLOAT:
        return put_float(at, floats, data, offsets, place, out, to, True)
    return put_hex(raw, body, body + size, out, to)


@inner
def put_json(
    raw: Any,
    at: Any,
    end: Any,
    floats: Any,
    data: Any,
    offsets: Any,
    place: Any,
    cells: Any,
    cell: Any,
    last_cell: Any,
    taken: Any,
    out: Any,
    to: Any,
) -> Any:
    """Writes the object at `at` to out[to:] without the members that are the values of taken cells; where it ends.

    Args:
        raw: uint8[].
        at: where a whole object begins.
        end: of the entries.
        floats: int64[f], where the floats are.
        data: uint8[], their texts.
        offsets: int64[f + 1], of those.
        place: int64[1], scratch.
        cells: int64[c, 6].
        cell: the first cell that may lie in the object.
        last_cell: the one behind the last.
        taken: bool[c].
        out: uint8[].
        to: where to write.
    """
    left = np.empty(_STACK, np.int64)
    is_map = np.empty(_STACK, np.bool_)
    fresh = np.empty(_STACK, np.bool_)
    depth = 0
    left[0] = 1
    is_map[0] = False
    fresh[0] = True
    while True:
        if left[depth] == 0:
            if depth == 0:
                return to
            out[to] = 0x7D if is_map[depth] else 0x5D
            to += 1
            depth -= 1
            continue
        left[depth] -= 1
        if is_map[depth]:
            key = at
            kind, size, body = head(raw, at, end)
            is_container = kind in (ARRAY, MAP, EMPTY)
            if is_container:
                at = after(raw, key, end)
            elif kind in (STR, BIN, EXT):
                at = body + size
            else:
                at = body
            while cell < last_cell and cells[cell, CELL_AT] < at:
                cell += 1
            if cell < last_cell and cells[cell, CELL_AT] == at and taken[cell]:
                at = after(raw, at, end)
                continue
            if not fresh[depth]:
                out[to] = 0x2C
                to += 1
            fresh[depth] = False
            out[to] = 0x22
            to += 1
            if is_container:
                to = put_hex(raw, key, at, out, to)
            else:
                to = _put_scalar(raw, kind, key, body, size, floats, data, offsets, place, out, to)
            out[to] = 0x22
            out[to + 1] = 0x3A
            to += 2
        else:
            if not fresh[depth]:
                out[to] = 0x2C
                to += 1
            fresh[depth] = False
        begun = at
        kind, size, at = head(raw, at, end)
        if kind in (MAP, ARRAY):
            out[to] = 0x7B if kind == MAP else 0x5B
            to += 1
            depth += 1
            left[depth] = size
            is_map[depth] = kind == MAP
            fresh[depth] = True
        elif kind == EMPTY:
            out[to] = 0x7B
            out[to + 1] = 0x7D
            to += 2
        elif kind in (STR, BIN, EXT):
            out[to] = 0x22
            to = _put_scalar(raw, kind, begun, at, size, floats, data, offsets, place, out, to + 1)
            out[to] = 0x22
            to += 1
            at += size
        else:
            to = _put_scalar(raw, kind, begun, at, size, floats, data, offsets, place, out, to)


@kernel(
    f"int64({BYTES}, int64, int64[::1], {OFFSETS}, {BYTES}, {OFFSETS}, int64[:, ::1], int64[::1], int64, uint8[::1])"
)
def render(
    raw: Any, end: Any, wanted: Any, floats: Any, data: Any, offsets: Any, cells: Any, roots: Any, base: Any, out: Any
) -> Any:
    """Writes the texts of cells that are none; bytes written.

    Numbers in digits, arrays as JSON, ext types in hex; and in hex what is binary in metadata, where that is an id.

    Args:
        raw: uint8[], the entries.
        end: their bytes.
        wanted: int64[k], the cells.
        floats: int64[f + 1], where the floats are; the last is behind them all.
        data: uint8[], their texts.
        offsets: int64[f + 1], of those.
        cells: int64[c, 6]; START and END of those cells become base + where the text is.
        roots: int64[p], the root of each path.
        base: added to them.
        out: uint8[], JSON_ROOM times the bytes of the cells and JSON_MORE for each.
    """
    place = np.zeros(1, np.int64)
    none = np.empty(0, np.bool_)
    to = np.int64(0)
    for cell in wanted:
        kind, at = cells[cell, CELL_KIND], cells[cell, CELL_AT]
        start, stop = cells[cell, CELL_START], cells[cell, CELL_END]
        begun = to
        if kind in (UINT, INT):
            to = put_number(raw, at, out, to)
        elif kind == FLOAT:
            to = put_float(at, floats, data, offsets, place, out, to, False)
        elif kind == ARRAY:
            to = put_json(raw, at, end, floats, data, offsets, place, cells, 0, 0, none, out, to)
        elif kind == EXT or (kind == BIN and roots[cells[cell, CELL_PATH]] >= METADATA):
            to = put_hex(raw, start, stop, out, to)
        else:
            continue
        cells[cell, CELL_START] = base + begun
        cells[cell, CELL_END] = base + to
    return to
