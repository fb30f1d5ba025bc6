"""`| unpack` by columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logql.columns.fields import Fields
from logql.columns.names import by_length
from logql.kernels.unpack_fields import unpack_fields, unpacked_lines
from logql.literals import to_bytes
from logql.stages.extracted import JSON_ERROR
from logql.stages.json_stage import string_text
from storage.batch import I64, Texts, texts

UNPACKED = "_entry"
"""The key of the line that was packed, which gives no label."""


@dataclass(frozen=True, slots=True, eq=False)
class Unpacked:
    """What the stage makes of m lines.

    Attributes:
        fields: the labels.
        lines: m lines as the stage leaves them: the entries, where there are any. Of UNSURE lines they mean nothing.
    """

    fields: Fields
    lines: Texts


@dataclass(frozen=True, slots=True)
class UnpackFields:
    """A FieldParser that changes lines too. Only flat objects of strings, as packers write them, are not UNSURE."""

    @property
    def error(self) -> str:
        """As FieldParser's."""
        return JSON_ERROR

    def fields(self, lines: Texts, rows: I64, names: Sequence[str], needed: I64, *, everything: bool) -> Fields:
        """As FieldParser's. For pipelines in which nothing reads the line afterwards."""
        return self._read(lines, rows, names, needed, everything=everything)[0]

    def unpacked(self, lines: Texts, rows: I64, names: Sequence[str], needed: I64, *, everything: bool) -> Unpacked:
        """The labels as `fields` gives them, and the lines that go on."""
        found, firsts, lasts, entries = self._read(lines, rows, names, needed, everything=everything)
        out = np.empty(int((lasts - firsts).sum()), np.uint8)
        offsets: I64 = np.zeros(len(rows) + 1, np.int64)
        unpacked_lines(lines.data, firsts, lasts, entries, out, offsets)
        return Unpacked(found, Texts(out[: int(offsets[-1])], offsets))

    def text(self, raw: bytes, kind: int) -> str:
        """As FieldParser's."""
        del kind
        return string_text(raw)

    def _read(
        self, lines: Texts, rows: I64, names: Sequence[str], needed: I64, *, everything: bool
    ) -> tuple[Fields, I64, I64, NDArray[np.uint8]]:
        """(the labels; int64[m] and int64[m], where the lines that go on begin and end; uint8[m], their kinds)."""
        shape = (len(names), len(rows))
        starts, stops = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        found = Fields(lines.data, starts, stops, np.zeros(shape, np.uint8), np.zeros(len(rows), np.uint8))
        firsts, lasts = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        entries = np.zeros(len(rows), np.uint8)
        wanted = texts(map(to_bytes, names))
        heads, following = by_length(wanted)
        unpack_fields(
            lines.data,
            lines.offsets,
            rows,
            wanted.data,
            wanted.offsets,
            heads,
            following,
            needed,
            everything,
            starts,
            stops,
            found.kinds,
            found.states,
            firsts,
            lasts,
            entries,
        )
        return found, firsts, lasts, entries
