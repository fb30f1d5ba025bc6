"""The lines of entries: a value as its author wrote it, JSON of the record, or pairs of key and value."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.forward.kernels.entry_assign import LINE_JSON, LINE_PAIRS, LINE_TEXT, PLAN_ROOT
from gateway.forward.kernels.entry_heads import EMPTY
from gateway.forward.kernels.entry_json import JSON_MORE, JSON_ROOM, put_inside, put_json
from gateway.forward.kernels.entry_walk import CELL_END, CELL_KIND, CELL_PATH, CELL_ROW, CELL_START, RECORD
from storage.kernels.cache import BYTES, OFFSETS, inlined, kernel
from storage.kernels.spans import copy_bytes


@inlined
def _text_end(data: Any, start: Any, end: Any) -> Any:
    """Where a text ends without the line break at its end."""
    if end > start and data[np.uint64(end - 1)] == 0x0A:
        end -= 1
        if end > start and data[np.uint64(end - 1)] == 0x0D:
            end -= 1
    return end


@kernel(f"int64({BYTES}, int64[:, ::1], int64[:, ::1], int64[::1], int64[::1], {OFFSETS})")
def room_for_lines(data: Any, rows: Any, cells: Any, forms: Any, line_cells: Any, name_offsets: Any) -> Any:
    """Bytes that `fill_lines` may write at most; exactly what it will write where all lines are texts.

    A row whose names are many times its record becomes JSON: keys within a long key would name it again and again.
    """
    room = np.int64(0)
    cell = np.int64(0)
    for row in range(len(forms)):
        if forms[row] == LINE_TEXT:
            own = line_cells[row]
            room += _text_end(data, cells[own, CELL_START], cells[own, CELL_END]) - cells[own, CELL_START]
        elif forms[row] == LINE_PAIRS:
            names = own_room = np.int64(0)
            while cell < cells.shape[0] and cells[cell, CELL_ROW] <= row:
                if cells[cell, CELL_ROW] == row:
                    path = cells[cell, CELL_PATH]
                    names += name_offsets[path + 1] - name_offsets[path]
                    own_room += 6 * (cells[cell, CELL_END] - cells[cell, CELL_START]) + 8
                cell += 1
            if names > 16 * (rows[row, 1] - rows[row, 0]) + 1024:
                forms[row] = LINE_JSON
                room += JSON_ROOM * (rows[row, 1] - rows[row, 0]) + JSON_MORE
            else:
                room += names + own_room
        else:
            room += JSON_ROOM * (rows[row, 1] - rows[row, 0]) + JSON_MORE
    return room


@inlined
def _needs_quotes(data: Any, start: Any, end: Any) -> Any:
    if start == end:
        return True
    for at in range(start, end):
        byte = data[np.uint64(at)]
        if byte <= 0x20 or byte >= 0x7F or byte in (0x22, 0x3D, 0x5C):
            return True
    return False


@kernel(
    f"void({BYTES}, int64, int64[:, ::1], int64[:, ::1], int64[::1], int64[::1], boolean[::1], {OFFSETS}, {BYTES}, "
    f"{OFFSETS}, {BYTES}, {OFFSETS}, int64[:, ::1], uint8[::1], int64[::1])"
)
def fill_lines(
    data: Any,
    end: Any,
    rows: Any,
    cells: Any,
    forms: Any,
    line_cells: Any,
    taken: Any,
    floats: Any,
    float_data: Any,
    float_offsets: Any,
    name_data: Any,
    name_offsets: Any,
    plan: Any,
    out: Any,
    offsets: Any,
) -> None:
    """Writes the lines.

    Args:
        data: uint8[], the entries and what cells point to.
        end: bytes of the entries.
        rows: int64[n, 4].
        cells: int64[c, 6], ascending by row.
        forms: int64[n], the LINE forms.
        line_cells: int64[n].
        taken: bool[c].
        floats: int64[f + 1], where the floats are.
        float_data: uint8[], their texts.
        float_offsets: int64[f + 1].
        name_data: uint8[], the name of each path, for pairs.
        name_offsets: int64[p + 1].
        plan: int64[7, p + 1].
        out: uint8[room_for_lines].
        offsets: int64[n + 1], gets where each line begins.
    """
    place = np.zeros(1, np.int64)
    to = np.int64(0)
    cell = np.int64(0)
    many = cells.shape[0]
    offsets[0] = 0
    for row in range(len(forms)):
        while cell < many and cells[cell, CELL_ROW] < row:
            cell += 1
        form = forms[row]
        if form == LINE_TEXT:
            own = line_cells[row]
            start = cells[own, CELL_START]
            stop = _text_end(data, start, cells[own, CELL_END])
            copy_bytes(out, to, data, start, stop)
            to += stop - start
        elif form == LINE_PAIRS:
            begun = to
            while cell < many and cells[cell, CELL_ROW] == row:
                path = cells[cell, CELL_PATH]
                if plan[PLAN_ROOT, path] == RECORD and not taken[cell]:
                    if to > begun:
                        out[to] = 0x20
                        to += 1
                    copy_bytes(out, to, name_data, name_offsets[path], name_offsets[path + 1])
                    to += name_offsets[path + 1] - name_offsets[path]
                    out[to] = 0x3D
                    to += 1
                    start, stop = cells[cell, CELL_START], cells[cell, CELL_END]
                    if cells[cell, CELL_KIND] > EMPTY and _needs_quotes(data, start, stop):
                        out[to] = 0x22
                        to = put_inside(data, start, stop, out, to + 1)
                        out[to] = 0x22
                        to += 1
                    elif cells[cell, CELL_KIND] > EMPTY:
                        copy_bytes(out, to, data, start, stop)
                        to += stop - start
                cell += 1
        else:
            to = put_json(
                data, rows[row, 0], end, floats, float_data, float_offsets, place, cells, cell, many, taken, out, to
            )
        offsets[row + 1] = to
