"""The detected_level of a whole batch: `detect_level` of gateway/push/levels.py over columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from config.limits import LEVEL_FIELDS
from gateway.push.kernels.codes import close_gaps
from gateway.push.kernels.levels import line_levels
from gateway.push.levels import (
    DETECTED_LEVEL,
    LEVELS,
    SEVERITY_NUMBER,
    normalise_level,
    severity_level,
)
from gateway.push.metadata import take_column
from storage.batch import I32, I64, Batch, Column, Labels, Mask, Texts, texts

_NO_LEVEL = -1


def labels_tell_level(streams: Sequence[Labels], fields: Sequence[str] = ()) -> bool:
    """Whether one of the label sets has one of the names that hold a level (none: Loki's list)."""
    wanted = frozenset(fields or LEVEL_FIELDS)
    return any(name in wanted for labels in streams for name, _ in labels)


def level_column(
    batch: Batch, fields: Sequence[str] = (), max_depth: int = 2, *, labels_tell: bool = True
) -> Column | None:
    """The `detected_level` of every entry that gets one; None where none does.

    Args:
        batch: metadata names already sanitised, values that are empty still there: an empty level is none.
        fields: names that hold a level, best first; none: Loki's list.
        max_depth: nested objects searched in a JSON line, the root counting; 0: all.
        labels_tell: whether one of the batch's label sets may say a level; see `labels_tell_level`.
    """
    if not len(batch):
        return None
    names = tuple(fields) or LEVEL_FIELDS
    found = _Found(len(batch))
    if batch.metadata or batch.rest is not None:
        found.from_column(take_column(batch, DETECTED_LEVEL), normalise_level)
    if labels_tell:
        found.from_streams(batch, names)
    if batch.metadata or batch.rest is not None:
        for name in names:
            if name in batch.metadata or batch.rest is not None:
                found.from_column(take_column(batch, name), normalise_level)
        found.from_column(take_column(batch, SEVERITY_NUMBER), severity_level, skip_empty=True)
    found.from_lines(batch.lines, names, max_depth)
    return found.column()


class _Found:
    """Codes of entries whose level is known, and which are still to be found."""

    def __init__(self, n: int) -> None:
        self._codes: I32 | None = None  # None: no level is known
        self._rows = n
        self._pending: Mask | None = None  # None: every entry
        self._values: dict[bytes, int] = {level: code for code, level in enumerate(LEVELS)}

    def _code(self, level: bytes) -> int:
        """The code of a level; an empty one is none, and ends the search all the same."""
        return self._values.setdefault(level, len(self._values)) if level else _NO_LEVEL

    def _settle(self, rows: Mask, codes: I32) -> None:
        if self._pending is None or self._codes is None:
            self._pending = np.ones(self._rows, np.bool_)
            self._codes = np.full(self._rows, _NO_LEVEL, np.int32)
        rows &= self._pending
        self._codes[rows] = codes[rows]
        self._pending &= ~rows

    def from_streams(self, batch: Batch, names: Sequence[str]) -> None:
        wanted = frozenset(names)
        levels = [_level_label(labels, names, wanted) for labels in batch.streams]
        if levels.count(None) == len(levels):
            return
        known = np.array([level is not None for level in levels], np.bool_)
        codes = np.array([_NO_LEVEL if level is None else self._code(level) for level in levels], np.int32)
        self._settle(known[batch.stream], codes[batch.stream])

    def from_column(
        self, column: Column | None, level_of: Callable[[bytes], bytes], *, skip_empty: bool = False
    ) -> None:
        if column is None:
            return
        values = column.values.tolist()
        codes = np.array([*(self._code(level_of(value)) for value in values), _NO_LEVEL], np.int32)
        counts = np.array([*(bool(value) or not skip_empty for value in values), False], np.bool_)
        self._settle((column.codes >= 0) & counts[column.codes], codes[column.codes])

    def from_lines(self, lines: Texts, names: tuple[str, ...], max_depth: int) -> None:
        rows: I64 = np.arange(len(lines), dtype=np.int64) if self._pending is None else np.flatnonzero(self._pending)
        if not len(rows):
            return
        codes = np.empty(len(rows), np.int8)
        wanted = _as_texts(names)
        offsets = np.ascontiguousarray(lines.offsets)
        line_levels(lines.data, offsets, rows, wanted.data, wanted.offsets, max_depth, codes)
        if self._codes is None:
            self._codes = codes.astype(np.int32)
        else:
            self._codes[rows] = codes

    def column(self) -> Column | None:
        """The column, with only the levels that occur; None where none does."""
        assert self._codes is not None  # from_lines was called, and there is a row
        occurring = np.empty(len(self._values), np.int32)
        count = close_gaps(self._codes, occurring)
        if not count:
            return None
        if len(self._values) == len(LEVELS):
            return Column(self._codes, _dictionary(tuple(occurring[:count].tolist())))
        levels = list(self._values)  # clients' own words among them: not to be remembered
        return Column(self._codes, texts([levels[code] for code in occurring[:count].tolist()]))


@lru_cache(maxsize=256)
def _dictionary(codes: tuple[int, ...]) -> Texts:
    """The levels of these codes: one object for all batches that have the same, and never written to."""
    return texts(LEVELS[code] for code in codes)


@lru_cache(maxsize=256)
def _as_texts(names: tuple[str, ...]) -> Texts:
    return texts(name.encode("utf-8", "surrogateescape") for name in names)


def _level_label(labels: Labels, names: Sequence[str], wanted: frozenset[str]) -> bytes | None:
    for name, _ in labels:
        if name in wanted:
            break
    else:
        return None
    found = dict(labels)
    for name in names:
        if name in found:
            return normalise_level(found[name].encode("utf-8", "surrogateescape"))
    return None
