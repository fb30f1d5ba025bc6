"""Where the entries records of a segment stand, and how much is in them: what is owed is counted, not read."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, slots=True)
class Mark:
    """One entries record.

    Attributes:
        seq: its number.
        offset, end: bytes of the segment between which it stands.
        rows: of all its sections.
        bytes: of their lines.
        at: ns, when it was written.
    """

    seq: int
    offset: int
    end: int
    rows: int
    bytes: int
    at: int


class Marks:
    """The marks of one segment, by number ascending. One thread adds, any reads: 48 bytes a record."""

    def __init__(self) -> None:
        self._seq = array("q")
        self._offset = array("q")
        self._end = array("q")
        self._rows = array("q", (0,))
        """Rows of all records before each, and of all."""
        self._bytes = array("q", (0,))
        self._at = array("q")

    def __len__(self) -> int:
        return len(self._seq)

    def __getitem__(self, number: int) -> Mark:
        return Mark(
            self._seq[number],
            self._offset[number],
            self._end[number],
            self._rows[number + 1] - self._rows[number],
            self._bytes[number + 1] - self._bytes[number],
            self._at[number],
        )

    def add(self, mark: Mark) -> None:
        """Adds the record after all others."""
        self._offset.append(mark.offset)
        self._end.append(mark.end)
        self._rows.append(self._rows[-1] + mark.rows)
        self._bytes.append(self._bytes[-1] + mark.bytes)
        self._at.append(mark.at)
        self._seq.append(mark.seq)  # last: who reads goes by it

    def find(self, seq: int) -> int:
        """The place of the first record of that number or a greater one; how many there are if there is none."""
        return bisect_left(self._seq, seq)

    def at(self, offset: int) -> int:
        """The place of the first record that stands at a byte or behind it."""
        return bisect_left(self._offset, offset)

    @property
    def last_seq(self) -> int:
        """Number of the last record; 0 if there is none."""
        return self._seq[-1] if self._seq else 0

    def columns(self) -> dict[str, bytes]:
        """What `of_columns` takes: i64[n] of each attribute of a mark, little-endian."""
        marks = [self[number] for number in range(len(self))]
        return {
            field.name: np.array([getattr(mark, field.name) for mark in marks], "<i8").tobytes()
            for field in fields(Mark)
        }

    @classmethod
    def of_columns(cls, columns: Mapping[str, bytes]) -> Marks:
        """Marks as they were. Raises KeyError, ValueError."""
        made = cls()
        for values in zip(*(np.frombuffer(columns[field.name], "<i8").tolist() for field in fields(Mark)), strict=True):
            made.add(Mark(*values))
        return made

    def behind(self, number: int) -> tuple[int, int, int]:
        """(rows, bytes of lines, bytes of the segment) of the records from the one at a place on."""
        count = len(self._seq)
        if number >= count:
            return 0, 0, 0
        size = self._end[count - 1] - self._offset[number]
        return self._rows[count] - self._rows[number], self._bytes[count] - self._bytes[number], size
