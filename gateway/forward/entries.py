"""Entries as they came, concatenated msgpack, walked into times and cells (kernels/entry_walk.py)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgpack
import numpy as np
import pyarrow as pa

from gateway.forward.kernels.entry_heads import BIN, BOOL, STR
from gateway.forward.kernels.entry_json import JSON_MORE, JSON_ROOM, render
from gateway.forward.kernels.entry_walk import (
    BAD_KINDS,
    CELL_END,
    CELL_KIND,
    CELL_PATH,
    CELL_ROW,
    CELL_START,
    COUNT_CELLS,
    COUNT_FLOATS,
    COUNT_GROUPS,
    COUNT_PATHS,
    COUNT_RENDERED,
    COUNT_ROWS,
    FULL,
    GROUP_AT,
    LOG,
    MAX_PATHS,
    NEXT_AT,
    RECORD,
    TAIL,
    walk,
)
from gateway.forward.wire import Buffer
from storage.batch import I32, I64, U8, Texts, texts_from_arrow
from storage.build import SEED

REASONS = ("malformed", "cut_short", "too_deep", "not_an_entry", "no_record", "bad_time")
"""What may be wrong with an entry, in the kernel's order. After the first two nothing more of a message can be read; an
entry with a bad time is stored with the time of its arrival."""
GROUP_TOO_LARGE = "group_too_large"
"""An entry did not get what its OpenTelemetry group says: it would have been many times the bytes of the message."""

_ROOTS = 3


Paths: TypeAlias = tuple[tuple[int, tuple[str, ...]], ...]
"""By number of the path: the number of its root, and the keys below that."""


@dataclass(frozen=True, slots=True, eq=False)
class Walked:
    """Entries of one message as columns.

    Attributes:
        data: uint8[], the entries, then what else cells point to.
        end: bytes of the entries.
        ts: int64[n], ns.
        rows: int64[n, 4], see `walk`.
        cells: int64[c, 6], see `walk`, ascending by row; those of a row's group come before its own.
        paths: the path of each path number: its root's number and its keys.
        floats: int64[f + 1], where the floats are; the last is behind them all.
        float_texts: f texts.
        bad: reason -> entries.
    """

    data: U8
    end: int
    ts: I64
    rows: I64
    cells: I64
    paths: Paths
    floats: I64
    float_texts: Texts
    bad: Mapping[str, int]


def walk_entries(entries: Buffer, now: int) -> Iterator[Walked]:
    """The columns of concatenated entries, in pieces: large ones would take many times their bytes at once.

    What a piece holds is written over when the next one is asked for.

    Args:
        entries: as they came.
        now: ns, the time of entries that have none.
    """
    size = len(entries)
    room = min(size // _USUAL, _MOST_CELLS) + 16
    at, group_at = 0, -1
    while True:
        scratch = _scratch(size, room)
        counts, data = scratch.counts, scratch.data
        data[:size] = np.frombuffer(entries, np.uint8)
        data[size : size + len(TAIL)] = _TAIL
        walk(
            data,
            at,
            group_at,
            size,
            now,
            SEED,
            counts,
            scratch.bad,
            scratch.ts,
            scratch.rows,
            scratch.cells,
            scratch.paths,
            scratch.table,
            scratch.floats,
            scratch.numbers,
        )
        if counts[FULL]:
            most = size if counts[NEXT_AT] == at else min(size, _MOST_CELLS)  # one entry is never cut
            if len(scratch.ts) < most:
                room = min(8 * len(scratch.ts), most)
                continue
        yield _walked(entries, scratch)
        if not counts[FULL]:
            return
        at, group_at = int(counts[NEXT_AT]), int(counts[GROUP_AT])


def _walked(entries: Buffer, scratch: _Scratch) -> Walked:
    size, data = len(entries), scratch.data
    found = scratch.counts.tolist()
    n, floating = found[COUNT_ROWS], found[COUNT_FLOATS]
    cells, rows = scratch.cells[: found[COUNT_CELLS]], scratch.rows[:n]
    wrong = {reason: count for reason, count in zip(REASONS, scratch.bad.tolist(), strict=True) if count}
    places = scratch.floats[: floating + 1]
    places[floating] = size + 1
    texts = float_texts(scratch.numbers[:floating])
    decoded = _decode_paths(entries, scratch.paths[: found[COUNT_PATHS]])
    roots = [root for root, _ in decoded]
    if found[COUNT_RENDERED] or any(roots[_ROOTS:]):
        root_of: I64 = np.array(roots, np.int64)
        kinds = cells[:, CELL_KIND]
        binary = (kinds == BIN) & (root_of[cells[:, CELL_PATH]] != RECORD)
        at = np.flatnonzero((kinds > BOOL) | binary)
        data = _rendered(data[: size + len(TAIL)], size, cells, root_of, at, places, texts)
    if found[COUNT_GROUPS]:
        cells, cut = _with_groups(cells, rows, found[COUNT_GROUPS], size)
        if cut:
            wrong[GROUP_TOO_LARGE] = cut
    return Walked(data, size, scratch.ts[:n].copy(), rows, cells, decoded, places, texts, wrong)


class _Scratch:
    """Arrays for a piece of a message. A thread keeps its own, as new memory costs more than what is done with it."""

    def __init__(self, size: int, room: int) -> None:
        """`size` is bytes of entries, `room` is for rows and cells."""
        self.size, self.room = size, room
        self.data: U8 = np.empty(size + len(TAIL), np.uint8)
        self.counts: I64 = np.empty(GROUP_AT + 1, np.int64)
        self.bad: I64 = np.empty(BAD_KINDS, np.int64)
        self.ts: I64 = np.empty(room, np.int64)
        self.rows: I64 = np.empty((room, 4), np.int64)
        self.cells: I64 = np.empty((room, 6), np.int64)
        self.floats: I64 = np.empty(room + 1, np.int64)
        self.numbers = np.empty(room, np.float64)
        self.paths: I64 = np.empty((min(MAX_PATHS, size // 2 + _ROOTS), 5), np.int64)
        self.table: I32 = np.empty(1 << (2 * len(self.paths)).bit_length(), np.int32)


_kept = threading.local()


def _scratch(size: int, room: int) -> _Scratch:
    found: _Scratch | None = getattr(_kept, "scratch", None)
    if found is not None and found.size >= size and found.room >= room and found.room <= 16 * room + _SMALL:
        return found
    made = _Scratch(max(size, _SMALL), max(room, _SMALL))
    if size <= _KEPT_BYTES and room <= _KEPT_ROOM:
        _kept.scratch = made
    return made


_USUAL = 24
"""Bytes that a cell of a usual entry takes at least; where it is less, a message is walked again with more room."""
_MOST_CELLS = 1 << 18
"""Cells of a piece, 48 bytes each."""
_SMALL = 1 << 10
_KEPT_BYTES, _KEPT_ROOM = 4 << 20, 1 << 17
_TAIL = np.frombuffer(TAIL, np.uint8)


def float_texts(numbers: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Texts:
    """The shortest decimal text of each number that reads back as the same; nan, inf and -inf."""
    if not len(numbers):
        return _NO_TEXTS
    return texts_from_arrow(pa.array(numbers, pa.float64()).cast(pa.string()))


_NO_TEXTS = Texts(np.zeros(0, np.uint8), np.zeros(1, np.int64))


def _rendered(data: U8, size: int, cells: I64, roots: I64, wanted: I64, floats: I64, texts: Texts) -> U8:
    """`data` and behind it the texts of cells that are none."""
    lengths = (cells[:, CELL_END] - cells[:, CELL_START])[wanted]
    out: U8 = np.empty(JSON_ROOM * int(lengths.sum()) + JSON_MORE * len(wanted), np.uint8)
    offsets = np.ascontiguousarray(texts.offsets)
    used = render(data, size, wanted, floats, texts.data, offsets, cells, roots, len(data), out)
    return np.concatenate([data, out[:used]])


def _decode_paths(raw: Buffer, paths: I64) -> Paths:
    decoded: list[tuple[int, tuple[str, ...]]] = [(0, ()), (1, ()), (2, ())]
    for parent, kind, start, end, _ in paths[_ROOTS:].tolist():
        root, keys = decoded[parent]
        own = bytes(raw[start:end]) if start < len(raw) else LOG
        decoded.append((root, (*keys, own.decode("utf-8", "replace") if kind == STR else key_text(own))))
    return tuple(decoded)


def key_text(packed: bytes) -> str:
    """The text of a key that is none, as in JSON lines: that of its JSON, the hex of a container or an ext type."""
    first = packed[0]
    if first in _CONTAINERS or 0x80 <= first < 0xA0:
        return packed.hex()
    if first in _EXTS:
        return packed[_EXTS[first] :].hex()
    value = msgpack.unpackb(packed)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = float_texts(np.array([value]))[0].decode()
        return "null" if text[-1] in "nf" else text
    return str(value)


_CONTAINERS = frozenset((0xDC, 0xDD, 0xDE, 0xDF))
_EXTS = {0xC7: 3, 0xC8: 4, 0xC9: 6, 0xD4: 2, 0xD5: 2, 0xD6: 2, 0xD7: 2, 0xD8: 2}
"""Bytes before the contents of an ext type, by its first byte."""


def _with_groups(cells: I64, rows: I64, groups: int, size: int) -> tuple[I64, int]:
    """The cells with those of each row's group before its own, and of how many rows they were too many.

    Too many are more, over all rows, than the bytes of the message: a group of a thousand values before a million small
    entries would take gigabytes.
    """
    of_group = cells[:, CELL_ROW] < 0
    own, shared = cells[~of_group], cells[of_group]
    of_cell = -1 - shared[:, CELL_ROW]  # ascending, as groups come one after the other
    sizes = np.bincount(of_cell, minlength=groups)
    begins = np.cumsum(sizes) - sizes
    member = np.flatnonzero(rows[:, 2] >= 0)
    group = rows[member, 2]
    counts = sizes[group]
    fits = np.cumsum(counts) <= size
    cut = int(len(member) - np.count_nonzero(fits))
    member, group, counts = member[fits], group[fits], counts[fits]
    at = np.repeat(begins[group] - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
    copied = shared[at]
    copied[:, CELL_ROW] = np.repeat(member, counts)
    both = np.concatenate([copied, own])
    return both[np.argsort(both[:, CELL_ROW], kind="stable")], cut
