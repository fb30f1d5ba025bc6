"""What becomes of cells: labels, the line, structured metadata. And the distinct label sets among rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.forward.kernels.entry_heads import EMPTY
from gateway.forward.kernels.entry_walk import CELL_END, CELL_KIND, CELL_PATH, CELL_ROW, CELL_START, RECORD
from storage.kernels.cache import BYTES, bare, kernel
from storage.kernels.spans import same_bytes, span_hash, table_size

PLAN_ROOT, PLAN_LINE, PLAN_NAME, PLAN_EXPLICIT, PLAN_SLASH, PLAN_DROPPED, PLAN_SLOTS = range(7)
"""Rows of a plan, by path: its root; its rank as the line, best is 0 (-1: never); the number of its name as metadata
(-1: never); whether it is metadata although the line has the record; whether a leading slash is cut off its value;
whether it is removed; and where its slots begin."""

LINE_TEXT, LINE_JSON, LINE_WHOLE, LINE_PAIRS = range(4)
"""What a row's line is: one cell, JSON of the record without the taken cells, JSON of the record without what is to be
removed, or pairs of key and value."""


@kernel(
    f"UniTuple(int64, 2)({BYTES}, int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64, boolean, int64, "
    "int64, int64, int64[:, ::1], int64[::1], int64[::1], boolean[::1], int64[::1], int64[::1], int64[::1], int32[::1])"
)
def assign(
    data: Any,
    rows: Any,
    cells: Any,
    plan: Any,
    slots: Any,
    form: Any,
    keep_labels: Any,
    max_label: Any,
    max_pairs: Any,
    max_bytes: Any,
    slot_cells: Any,
    line_cells: Any,
    forms: Any,
    taken: Any,
    pair_rows: Any,
    starts: Any,
    ends: Any,
    keys: Any,
) -> Any:
    """Decides about every cell. How many pairs of metadata there are, and how many did not fit.

    Of several cells for one label, or for the line, the one of the best rank counts, of equal ones the last. A row
    with more metadata than fits has none of its record: its line is the record (LINE_WHOLE).

    Args:
        data: uint8[], what the cells' texts lie in.
        rows: int64[n, 4], as `walk` made them.
        cells: int64[c, 6], ascending by row. Slashes are cut off.
        plan: int64[7, p + 1], the PLAN of each path; the last column only ends PLAN_SLOTS.
        slots: int64[2, s], which label (or the tenant) a path is for, and with which rank.
        form: LINE_TEXT, LINE_JSON or LINE_PAIRS.
        keep_labels: whether values that became labels stay in the line, or in metadata, too.
        max_label: bytes; a longer value becomes no label.
        max_pairs: metadata pairs of a row at most.
        max_bytes: bytes of metadata of a row at most.
        slot_cells: int64[n, slots], gets the cell of each label, -1 for none.
        line_cells: int64[n], gets the cell that is the line, -1 for none.
        forms: int64[n], gets the LINE forms.
        taken: bool[c], gets which cells are not in the line where that is JSON or pairs.
        pair_rows: int64[c], gets the row of each pair of metadata.
        starts: int64[c], gets where its value begins.
        ends: int64[c], gets where that ends.
        keys: int32[c], gets the number of its name.
    """
    many = cells.shape[0]
    slot_cells[:] = -1
    line_cells[:] = -1
    taken[:] = False
    count = cut = 0
    first = np.int64(0)
    ranks = np.empty(slot_cells.shape[1], np.int64)
    for row in range(rows.shape[0]):
        last = first
        ranks[:] = 1 << 30
        line_rank = 1 << 30
        while last < many and cells[last, CELL_ROW] == row:
            path = cells[last, CELL_PATH]
            kind = cells[last, CELL_KIND]
            start, end = cells[last, CELL_START], cells[last, CELL_END]
            if kind <= EMPTY:  # nil is one of them
                taken[last] = plan[PLAN_DROPPED, path] != 0
                last += 1
                continue
            if plan[PLAN_SLASH, path] and end > start and data[np.uint64(start)] == 0x2F:
                start += 1
                cells[last, CELL_START] = start
            if start < end and end - start <= max_label:
                for slot in range(plan[PLAN_SLOTS, path], plan[PLAN_SLOTS, path + 1]):
                    label = slots[0, slot]
                    if slots[1, slot] <= ranks[label]:
                        ranks[label] = slots[1, slot]
                        slot_cells[row, label] = last
            rank = plan[PLAN_LINE, path]
            if 0 <= rank <= line_rank:
                line_rank = rank
                line_cells[row] = last
            last += 1
        if not keep_labels:
            for label in range(slot_cells.shape[1]):
                if slot_cells[row, label] >= 0:
                    taken[slot_cells[row, label]] = True
        own = form
        if own == LINE_TEXT and line_cells[row] < 0:
            own = LINE_JSON
        if rows[row, 3] and own != LINE_TEXT:
            own = LINE_WHOLE
        for attempt in range(2):
            begun, size = count, np.int64(0)
            fits = True
            for cell in range(first, last):
                path = cells[cell, CELL_PATH]
                name = plan[PLAN_NAME, path]
                start, end = cells[cell, CELL_START], cells[cell, CELL_END]
                is_record = plan[PLAN_ROOT, path] == RECORD
                if name < 0 or taken[cell] or start == end or cells[cell, CELL_KIND] <= EMPTY:
                    continue
                if cell == line_cells[row] and own == LINE_TEXT:
                    continue
                if is_record and own != LINE_TEXT and (own == LINE_WHOLE or not plan[PLAN_EXPLICIT, path]):
                    continue
                if count - begun == max_pairs or size + end - start > max_bytes:
                    fits = False
                    if attempt == 0:
                        break
                    cut += 1
                    continue
                pair_rows[count] = row
                starts[count] = start
                ends[count] = end
                keys[count] = name
                count += 1
                size += end - start
            wide = rows[row, 3] and own == LINE_TEXT
            if attempt == 0 and (wide or not fits):
                count = begun
                own = LINE_WHOLE
                continue
            break
        for cell in range(first, last):
            path = cells[cell, CELL_PATH]
            if plan[PLAN_DROPPED, path] or own == LINE_WHOLE:
                taken[cell] = plan[PLAN_DROPPED, path] != 0
            elif plan[PLAN_EXPLICIT, path] and own != LINE_TEXT:
                taken[cell] |= cells[cell, CELL_KIND] > EMPTY and cells[cell, CELL_START] < cells[cell, CELL_END]
        forms[row] = own
        first = last
    return count, cut


@bare
def _row_hash(data: Any, cells: Any, slot_cells: Any, row: Any, seed: Any) -> Any:
    found = seed
    for label in range(slot_cells.shape[1]):
        cell = slot_cells[row, label]
        if cell >= 0:
            found = span_hash(data, cells[cell, CELL_START], cells[cell, CELL_END], found + np.uint64(label + 1))
    return found


@bare
def _same_row(data: Any, cells: Any, slot_cells: Any, row: Any, other: Any) -> Any:
    for label in range(slot_cells.shape[1]):
        left, right = slot_cells[row, label], slot_cells[other, label]
        if (left < 0) != (right < 0):
            return False
        if left < 0:
            continue
        size = cells[left, CELL_END] - cells[left, CELL_START]
        if cells[right, CELL_END] - cells[right, CELL_START] != size:
            return False
        if not same_bytes(data, cells[left, CELL_START], cells[right, CELL_START], size):
            return False
    return True


@kernel(f"int64({BYTES}, int64[:, ::1], int64[:, ::1], uint64, int32[::1], int64[::1])")
def distinct_rows(data: Any, cells: Any, slot_cells: Any, seed: Any, numbers: Any, firsts: Any) -> Any:
    """Numbers the distinct label sets in order of appearance; how many there are.

    Args:
        data: uint8[].
        cells: int64[c, 6].
        slot_cells: int64[n, slots], the cell of each label of each row.
        seed: uint64, secret.
        numbers: int32[n], gets the number of each row.
        firsts: int64[n], gets the first row of each set.
    """
    rows = len(numbers)
    size = table_size(rows)
    table = np.empty(size, np.int32)
    table[:] = -1
    hashes = np.empty(rows, np.uint64)
    mask = np.uint64(size - 1)
    count = 0
    for row in range(rows):
        if row > 0 and _same_row(data, cells, slot_cells, row, firsts[numbers[row - 1]]):
            numbers[row] = numbers[row - 1]
            continue
        hashed = _row_hash(data, cells, slot_cells, row, seed)
        slot = hashed & mask
        while True:
            number: Any = np.int64(table[slot])
            if number < 0:
                number = count
                table[slot] = number
                firsts[number] = row
                hashes[number] = hashed
                count += 1
                break
            if hashes[number] == hashed and _same_row(data, cells, slot_cells, row, firsts[number]):
                break
            slot = (slot + np.uint64(1)) & mask
        numbers[row] = number
    return count
