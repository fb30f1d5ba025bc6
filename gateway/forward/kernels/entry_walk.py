"""Concatenated Forward entries, walked once into times and cells.

A cell is a leaf of an entry's record or of its metadata: where its value lies, and the path of keys that leads there.
Paths are numbered, so that what is to become of a value is decided once a path and not once a value. Maps are entered
MAX_FLAT deep; what is below, and every array, is one cell whose value is read as JSON.

An entry is `[time, record]` or, as Fluent Bit 5 writes it, `[[time, metadata], record]`. Fluent Bit wraps entries of
one OpenTelemetry scope in markers, entries whose seconds are 0xFFFFFFFF (begin, with a record that holds for the
entries behind it) and 0xFFFFFFFE (end).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.forward.kernels.entry_heads import (
    ARRAY,
    BOOL,
    CUT_SHORT,
    EMPTY,
    EXT,
    FLOAT,
    INT,
    MALFORMED,
    MAP,
    MAX_NESTING,
    NIL,
    STR,
    TOO_DEEP,
    UINT,
    after,
    big_endian,
    double,
    head,
    whole_number,
)
from gateway.forward.kernels.entry_heads import BIN as _BIN
from storage.kernels.cache import BYTES, bare, inlined, kernel
from storage.kernels.spans import same_bytes, span_hash

CELL_ROW, CELL_PATH, CELL_AT, CELL_START, CELL_END, CELL_KIND = range(6)
"""Rows of the array of cells. CELL_AT is where the head of the value is, START and END are those of its bytes; the row
of a cell of group g is -1 - g."""
PATH_PARENT, PATH_KIND, PATH_START, PATH_END, _PATH_NEXT = range(5)
"""Rows of the array of paths: the last key of each, as its bytes (STR) or else as the whole object it is."""
COUNT_ROWS, COUNT_CELLS, COUNT_PATHS, COUNT_FLOATS, COUNT_GROUPS, COUNT_RENDERED, FULL, NEXT_AT, GROUP_AT = range(9)
"""What `walk` counts, and where it came to. RENDERED are the cells that are no text. FULL is 1 where there was no room
for the entry at NEXT_AT; GROUP_AT is where the marker is of the group that this one is in, -1 for none."""
BAD_MALFORMED, BAD_CUT_SHORT, BAD_DEEP, BAD_ENTRY, BAD_RECORD, BAD_TIME, BAD_KINDS = range(7)
"""Kinds of bad entries: see gateway.forward.entries.REASONS."""

RECORD, METADATA, GROUP = 0, 1, 2
"""The first three paths: the roots of all others."""
MAX_FLAT = 16
MAX_ROW_CELLS = 1 << 14
"""Cells of one record, or of one metadata map: a cell takes 24 times the bytes of the shortest leaf."""
MAX_PATHS = 4096
"""Paths of one message. A leaf that is one too many, or whose path is, has no cell; its row says so."""

LOG, TRUE, FALSE = b"log", b"true", b"false"
TAIL = LOG + TRUE + FALSE
"""What has to follow the entries in the buffer: texts that cells may point to."""
_TRUE_AT, _FALSE_AT = len(LOG), len(LOG) + len(TRUE)

_TIMED, _NOW, _BAD_TIME, _BEGIN, _END = range(5)
_SECOND = 1_000_000_000
_GROUP_BEGIN, _GROUP_END = 0xFFFFFFFF, 0xFFFFFFFE
_LAST_NANOS = 9_200_000_000_000_000_000


@bare
def _scaled(size: Any) -> Any:
    """Ns in the unit that a number of this size is in: seconds until the year 5138, else ms, us, ns."""
    if size < 1e11:
        return _SECOND
    if size < 1e14:
        return 1_000_000
    return 1_000 if size < 1e17 else 1


@bare
def _entry_time(raw: Any, at: Any, end: Any, bits: Any) -> Any:
    """Time (ns) of the object at `at`, and what that is."""
    kind, size, body = head(raw, at, end)
    if kind == NIL:
        return 0, _NOW
    if kind in (UINT, INT):
        value = whole_number(raw, at)
        if value == 0:
            return 0, _NOW
        if value < 0:
            return 0, _BAD_TIME
        scale = _scaled(np.float64(value))
        if value > _LAST_NANOS // scale:
            return 0, _BAD_TIME
        return value * scale, _TIMED
    if kind == FLOAT:
        number = double(raw, at, bits)
        if number == 0:
            return 0, _NOW
        if not 0 < number < 9.2e18:
            return 0, _BAD_TIME
        scale = _scaled(number)
        if not number * scale < 9.2e18:
            return 0, _BAD_TIME
        whole = np.floor(number)
        nanos = np.int64(whole) * scale + np.int64(np.floor((number - whole) * scale + 0.5))
        return nanos, (_TIMED if nanos else _NOW)
    if kind != EXT:
        return 0, _BAD_TIME
    name = raw[np.uint64(body - 1)]
    seconds = nanos = np.int64(0)
    if name == 0 and size == 8:
        seconds = np.int64(big_endian(raw, body, 4))
        nanos = np.int64(big_endian(raw, body + 4, 4))
        if nanos == 0 and seconds == _GROUP_BEGIN:
            return 0, _BEGIN
        if nanos == 0 and seconds == _GROUP_END:
            return 0, _END
    elif name == 0xFF and size == 4:  # msgpack's own timestamp, of three widths
        seconds = np.int64(big_endian(raw, body, 4))
    elif name == 0xFF and size == 8:
        both = big_endian(raw, body, 8)
        nanos = np.int64(both >> np.uint64(34))
        seconds = np.int64(both & np.uint64((1 << 34) - 1))
    elif name == 0xFF and size == 12:
        nanos = np.int64(big_endian(raw, body, 4))
        seconds = np.int64(big_endian(raw, body + 4, 8))
    else:
        return 0, _BAD_TIME
    if not (0 <= seconds < 9_200_000_000 and nanos < _SECOND):
        return 0, _BAD_TIME
    nanos += seconds * _SECOND
    return nanos, (_TIMED if nanos else _NOW)


@bare
def _step_over(raw: Any, at: Any, end: Any, counts: Any, floats: Any, numbers: Any, bits: Any, stack: Any) -> Any:
    """Where the object at `at` ends, or what is wrong with it. Notes the floats in it."""
    depth = 0
    stack[0] = 1
    while depth >= 0:
        if stack[depth] == 0:
            depth -= 1
            continue
        stack[depth] -= 1
        start = at
        kind, size, at = head(raw, at, end)
        if kind < 0:
            return np.int64(kind)
        if kind in (MAP, ARRAY):
            if size > end - at:
                return np.int64(CUT_SHORT)
            if depth == MAX_NESTING:
                return np.int64(TOO_DEEP)
            depth += 1
            stack[depth] = 2 * size if kind == MAP else size
        elif kind == FLOAT:
            _note_float(raw, start, counts, floats, numbers, bits)
        elif kind in (STR, _BIN, EXT):
            at += size
    return at


@bare
def _note_float(raw: Any, at: Any, counts: Any, floats: Any, numbers: Any, bits: Any) -> None:
    place = counts[COUNT_FLOATS]
    if place == len(numbers):
        counts[FULL] = 1
        return
    floats[place] = at
    numbers[place] = double(raw, at, bits)
    counts[COUNT_FLOATS] = place + 1


@inlined
def _short_text(raw: Any, at: Any, end: Any) -> Any:
    """Where the STR at `at` begins and its bytes, if it has a head of one or two bytes; -1 bytes for anything else."""
    if end - at < 2:
        return at, -1
    byte = np.int64(raw[np.uint64(at)])
    if 0xA0 <= byte < 0xC0:
        size = byte - 0xA0
        at += 1
    elif byte == 0xD9:
        size = np.int64(raw[np.uint64(at + 1)])
        at += 2
    else:
        return at, -1
    return at, (size if size <= end - at else -1)


@inlined
def _same_key(raw: Any, start: Any, other: Any, size: Any) -> Any:
    """same_bytes for a few bytes: keys are too short to be looked at many at once."""
    for place in range(size):  # noqa: SIM110 - numba has no all()
        if raw[np.uint64(start + place)] != raw[np.uint64(other + place)]:
            return False
    return True


@bare
def _path(
    raw: Any, parent: Any, kind: Any, start: Any, end: Any, before: Any, seed: Any, counts: Any, paths: Any, table: Any
) -> Any:
    """The number of a path, -1 where there are too many. `before` is the path met before it: records are alike."""
    guess = paths[before, _PATH_NEXT]
    if (
        guess >= 0
        and paths[guess, PATH_PARENT] == parent
        and paths[guess, PATH_END] - paths[guess, PATH_START] == end - start
        and (paths[guess, PATH_KIND] == STR) == (kind == STR)
        and same_bytes(raw, paths[guess, PATH_START], start, end - start)
    ):
        return guess
    mask = np.uint64(len(table) - 1)
    slot = (span_hash(raw, start, end, seed ^ np.uint64(parent)) + np.uint64(kind == STR)) & mask
    while True:
        number = np.int64(table[slot])
        if number < 0:
            number = counts[COUNT_PATHS]
            if number == paths.shape[0]:
                return np.int64(-1)
            counts[COUNT_PATHS] = number + 1
            table[slot] = number
            paths[number, PATH_PARENT] = parent
            paths[number, PATH_KIND] = kind
            paths[number, PATH_START] = start
            paths[number, PATH_END] = end
            paths[number, _PATH_NEXT] = -1
            break
        if (
            paths[number, PATH_PARENT] == parent
            and paths[number, PATH_END] - paths[number, PATH_START] == end - start
            and (paths[number, PATH_KIND] == STR) == (kind == STR)
            and same_bytes(raw, paths[number, PATH_START], start, end - start)
        ):
            break
        slot = (slot + np.uint64(1)) & mask
    paths[before, _PATH_NEXT] = number
    return number


@bare
def _put_cell(row: Any, path: Any, kind: Any, at: Any, start: Any, end: Any, counts: Any, cells: Any) -> None:
    place = counts[COUNT_CELLS]
    if place == cells.shape[0]:
        counts[FULL] = 1
        return
    cells[place, CELL_ROW] = row
    cells[place, CELL_PATH] = path
    cells[place, CELL_AT] = at
    cells[place, CELL_START] = start
    cells[place, CELL_END] = end
    cells[place, CELL_KIND] = kind
    counts[COUNT_CELLS] = place + 1
    if kind > BOOL:
        counts[COUNT_RENDERED] += 1


@bare
def _leaf(
    raw: Any,
    at: Any,
    end: Any,
    row: Any,
    path: Any,
    counts: Any,
    cells: Any,
    floats: Any,
    numbers: Any,
    bits: Any,
    stack: Any,
) -> Any:
    """Makes a cell of the object at `at`, unless `path` is -1; where it ends, or what is wrong."""
    kind, size, body = head(raw, at, end)
    if kind < 0:
        return np.int64(kind)
    start, stop = at, body
    if kind in (STR, _BIN, EXT):
        start = body
        stop = body + size
    elif kind in (ARRAY, MAP):
        kind = ARRAY
        stop = _step_over(raw, at, end, counts, floats, numbers, bits, stack)
        if stop < 0:
            return stop
    elif kind == FLOAT:
        _note_float(raw, at, counts, floats, numbers, bits)
    if path < 0:
        return stop
    if kind == BOOL:
        start = end + _TRUE_AT if raw[np.uint64(at)] == 0xC3 else end + _FALSE_AT
        size = len(TRUE) if raw[np.uint64(at)] == 0xC3 else len(FALSE)
        _put_cell(row, path, kind, at, start, start + size, counts, cells)
    else:
        _put_cell(row, path, kind, at, start, stop, counts, cells)
    return stop


@bare
def _flatten(
    raw: Any,
    at: Any,
    end: Any,
    root: Any,
    row: Any,
    seed: Any,
    counts: Any,
    cells: Any,
    paths: Any,
    table: Any,
    floats: Any,
    numbers: Any,
    bits: Any,
    stack: Any,
    left: Any,
    parents: Any,
) -> Any:
    """Makes cells below the path `root` of the map at `at`.

    Where it ends, or what is wrong; and whether a path was missing.
    """
    kind, size, at = head(raw, at, end)
    if size > end - at:
        return np.int64(CUT_SHORT), False
    depth = 0
    first = counts[COUNT_CELLS]
    left[0] = size
    parents[0] = before = np.int64(root)
    wide = False
    while depth >= 0:
        if left[depth] == 0:
            depth -= 1
            continue
        left[depth] -= 1
        begun = at
        # Nearly all members are this: a short key that came behind the same one in the record before. No calls.
        start, size = _short_text(raw, at, end)
        path = np.int64(-1)
        if size >= 0:
            path = paths[before, _PATH_NEXT]
            if path >= 0 and not (
                paths[path, PATH_PARENT] == parents[depth]
                and paths[path, PATH_KIND] == STR
                and paths[path, PATH_END] - paths[path, PATH_START] == size
                and _same_key(raw, paths[path, PATH_START], start, size)
            ):
                path = np.int64(-1)
        if path >= 0:
            at = start + size
        else:
            kind, size, at = head(raw, at, end)
            if kind < 0:
                return np.int64(kind), wide
            start = begun
            if kind in (STR, _BIN):
                start = at
                at += size
                kind = STR
            elif kind in (ARRAY, MAP, EXT, FLOAT):
                at = _step_over(raw, begun, end, counts, floats, numbers, bits, stack)
                if at < 0:
                    return at, wide
            if parents[depth] >= 0:
                path = _path(raw, parents[depth], kind, start, at, before, seed, counts, paths, table)
        if counts[COUNT_CELLS] - first >= MAX_ROW_CELLS:
            path = np.int64(-1)
        if path < 0:
            wide = True
        else:
            before = path
        start, size = _short_text(raw, at, end)
        if size >= 0:
            if path >= 0:
                place = counts[COUNT_CELLS]
                if place == cells.shape[0]:
                    counts[FULL] = 1
                    return at, wide
                cells[place, CELL_ROW] = row
                cells[place, CELL_PATH] = path
                cells[place, CELL_AT] = at
                cells[place, CELL_START] = start
                cells[place, CELL_END] = start + size
                cells[place, CELL_KIND] = STR
                counts[COUNT_CELLS] = place + 1
            at = start + size
            continue
        kind, size, body = head(raw, at, end)
        if kind == MAP and depth < MAX_FLAT - 1:
            if size > end - body:
                return np.int64(CUT_SHORT), wide
            depth += 1
            left[depth] = size
            parents[depth] = path
            at = body
            continue
        at = _leaf(raw, at, end, row, path, counts, cells, floats, numbers, bits, stack)
        if at < 0:
            return at, wide
    return at, wide


@kernel(
    f"void({BYTES}, int64, int64, int64, int64, uint64, int64[::1], int64[::1], int64[::1], int64[:, ::1], "
    "int64[:, ::1], int64[:, ::1], int32[::1], int64[::1], float64[::1])"
)
def walk(
    raw: Any,
    begin: Any,
    group_at: Any,
    end: Any,
    now: Any,
    seed: Any,
    counts: Any,
    bad: Any,
    ts: Any,
    rows: Any,
    cells: Any,
    paths: Any,
    table: Any,
    floats: Any,
    numbers: Any,
) -> None:
    """Reads entries until their end, or the first one from where it is not known where the next begins.

    Args:
        raw: uint8[], the entries and TAIL.
        begin: where the first entry is.
        group_at: where the marker is of the group that it is in, -1 for none.
        end: bytes of the entries.
        now: ns, the time of entries that have none.
        seed: uint64, secret, for hashing keys.
        counts: int64[9], gets the COUNTs.
        bad: int64[BAD_KINDS], gets how many entries were bad in which way.
        ts: int64[room], gets each row's time, ns.
        rows: int64[room, 4], gets where each row's record begins and ends, its group (-1: none), and whether it has a
            leaf without a cell.
        cells: int64[room, 6], gets the CELLs.
        paths: int64[room >= 3, 5], gets the PATHs.
        table: int32[2^b >= 2 * room], scratch.
        floats: int64[room], gets where each float is, ascending.
        numbers: float64[room], gets the float.
    """
    counts[:] = 0
    bad[:] = 0
    table[:] = -1
    paths[:3, PATH_PARENT] = -1
    paths[:3, _PATH_NEXT] = -1
    paths[:3, PATH_KIND] = NIL
    paths[:3, PATH_START] = 0
    paths[:3, PATH_END] = 0
    counts[COUNT_PATHS] = 3
    whole = np.empty(1, np.uint64)
    bits = (whole, whole.view(np.float32), whole.view(np.float64))
    stack = np.empty(MAX_NESTING + 2, np.int64)
    left = np.empty(MAX_FLAT + 1, np.int64)
    parents = np.empty(MAX_FLAT + 1, np.int64)
    group = np.int64(-1)
    begin, marker = np.int64(begin), np.int64(group_at)
    at = marker if marker >= 0 else begin
    while at < end:
        begun = at
        first_cell, first_float, rendered = counts[COUNT_CELLS], counts[COUNT_FLOATS], counts[COUNT_RENDERED]
        row = counts[COUNT_ROWS]
        fault: Any = np.int64(-1)
        timing = np.int64(_TIMED)
        kind, members, at = head(raw, at, end)
        wrong = min(0, kind)
        if wrong < 0:
            pass
        elif kind != ARRAY or members < 2:
            fault = BAD_ENTRY
            wrong = after(raw, begun, end)
        else:
            time_at = at
            kind, size, body = head(raw, at, end)
            metadata = np.int64(-1)
            wrong = body
            if kind == EXT:
                wrong = body + size
            elif kind == ARRAY and size > 0:
                time_at = body
                wrong = after(raw, body, end)
                if size > 1:
                    metadata = wrong
                if size > 2 or wrong < 0 or raw[np.uint64(wrong)] != 0x80 or size < 2:  # not [time, {}]
                    wrong = after(raw, at, end)
                else:
                    wrong += 1
            elif kind > BOOL or kind in (STR, _BIN):
                wrong = after(raw, at, end)
            elif kind < 0:
                wrong = kind
            time = np.int64(0)
            if wrong >= 0:
                time, timing = _entry_time(raw, time_at, end, bits)
                at = wrong
            if wrong >= 0 and timing in (_BEGIN, _END):
                group = np.int64(-1)
                marker = np.int64(-1)
                kind, size, body = head(raw, at, end)
                if timing == _BEGIN and kind == MAP:
                    wrong, _ = _flatten(
                        raw, at, end, GROUP, -1 - counts[COUNT_GROUPS], seed, counts, cells, paths, table,
                        floats, numbers, bits, stack, left, parents,
                    )  # fmt: skip
                    if wrong >= 0 and not counts[FULL]:
                        marker = begun
                        group = counts[COUNT_GROUPS]
                        counts[COUNT_GROUPS] += 1
                else:
                    wrong = after(raw, at, end)
            elif wrong >= 0:
                wide = False
                if metadata >= 0 and head(raw, metadata, end)[0] == MAP:
                    # What metadata has too many paths for is not in the line either way.
                    wrong, _ = _flatten(
                        raw, metadata, end, METADATA, row, seed, counts, cells, paths, table,
                        floats, numbers, bits, stack, left, parents,
                    )  # fmt: skip
                record = at
                kind, size, body = head(raw, at, end)
                if wrong < 0:
                    pass
                elif kind == MAP:
                    wrong, wide = _flatten(
                        raw, at, end, RECORD, row, seed, counts, cells, paths, table,
                        floats, numbers, bits, stack, left, parents,
                    )  # fmt: skip
                elif kind == EMPTY:
                    wrong = body
                elif kind in (NIL, EXT):
                    fault = BAD_RECORD
                    wrong = after(raw, at, end)
                else:
                    path = _path(raw, RECORD, STR, end, end + len(LOG), RECORD, seed, counts, paths, table)
                    wrong = _leaf(raw, at, end, row, path, counts, cells, floats, numbers, bits, stack)
                if wrong >= 0 and fault < 0:
                    if row == len(ts):
                        counts[FULL] = 1
                    else:
                        ts[row] = now if timing in (_NOW, _BAD_TIME) else time
                        rows[row, 0] = record
                        rows[row, 1] = wrong
                        rows[row, 2] = group
                        rows[row, 3] = wide
                        counts[COUNT_ROWS] = row + 1
        if counts[FULL] or wrong < 0 or fault >= 0:
            counts[COUNT_CELLS], counts[COUNT_FLOATS], counts[COUNT_RENDERED] = first_cell, first_float, rendered
            counts[COUNT_ROWS] = row
        if counts[FULL]:
            counts[NEXT_AT] = max(begun, begin)
            counts[GROUP_AT] = marker
            return
        at = wrong
        if wrong < 0 or members > 2:
            at = after(raw, begun, end)
        if at < 0:
            bad[BAD_MALFORMED if at == MALFORMED else BAD_CUT_SHORT] += 1
            counts[COUNT_CELLS], counts[COUNT_FLOATS], counts[COUNT_RENDERED] = first_cell, first_float, rendered
            counts[COUNT_ROWS] = row
            return
        if wrong == TOO_DEEP:
            bad[BAD_DEEP] += 1
        elif fault >= 0:
            bad[fault] += 1
        elif timing == _BAD_TIME:
            bad[BAD_TIME] += 1
        if begun < begin:
            at = begin
