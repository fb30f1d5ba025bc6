"""Entries as NDJSON or CSV, and the marks between them that say how far an export is.

Lines are written by kernels. Bytes that are not UTF-8 become U+FFFD, one by one, in both forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np

from gateway.query.kernels.records import record_sizes, write_records
from gateway.query.label_texts import LabelTexts
from logql import EntryColumns, EntryLabels
from storage.batch import U8, texts

CHUNK = 1 << 20
"""Bytes of a piece of an export, about; a record is in one piece, however long."""


_LONE = re.compile("[\ud800-\udfff]")


class Format(StrEnum):
    """What an export is written as."""

    NDJSON = "ndjson"
    CSV = "csv"


MEDIA_TYPES = {
    Format.NDJSON: "application/x-ndjson; charset=utf-8",
    Format.CSV: "text/csv; charset=utf-8; header=present",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How records look.

    Attributes:
        format: NDJSON or CSV.
        together: all labels are in one object, not apart by where they come from.
        columns: of CSV, labels that have a column each; none: all are in one column, as JSON.
    """

    format: Format
    together: bool = False
    columns: tuple[str, ...] = ()

    def head(self) -> bytes:
        """What stands before the first record."""
        if self.format is Format.NDJSON:
            return b""
        return b",".join([b"ts", *(_cell(name) for name in self.columns or ("labels",)), b"line"]) + b"\r\n"

    def records(self, entries: EntryColumns) -> Iterator[tuple[bytes, int]]:
        """The records of some entries in pieces of CHUNK bytes, each with the number of entries up to its end."""
        if not len(entries):
            return
        csv = self.format is Format.CSV
        before, behind = _bytes(b"" if csv else b'{"ts":"'), _bytes(b'"\r\n' if csv else b'"}\n')
        names = LabelTexts()
        between = texts([self._between(each, names) for each in entries.label_sets])
        offsets, sizes = entries.lines.offsets, np.empty(len(entries), np.int64)
        around = len(before) + len(behind)
        record_sizes(
            entries.ts, entries.lines.data, offsets, entries.line, entries.labels, between.offsets, around, csv, sizes
        )
        ends = np.cumsum(sizes)
        start = done = 0
        while start < len(ends):
            stop = max(start + 1, int(np.searchsorted(ends, done + CHUNK, "right")))
            some = slice(start, stop)
            out = np.empty(int(ends[stop - 1]) - done, np.uint8)
            write_records(
                entries.ts[some],
                entries.lines.data,
                offsets,
                entries.line[some],
                entries.labels[some],
                between.data,
                between.offsets,
                before,
                behind,
                csv,
                out,
            )
            yield out.tobytes(), stop
            start, done = stop, int(ends[stop - 1])

    def _between(self, labels: EntryLabels, names: LabelTexts) -> bytes:
        if self.format is Format.CSV:
            if self.columns:
                own = dict(labels.together)
                cells: Sequence[bytes] = [_cell(own.get(name, "")) for name in self.columns]
            else:
                cells = [_cell(names.json(labels.together))]
            return b"," + b",".join(cells) + b',"'
        if self.together:
            return f'","labels":{names.json(labels.together)},"line":"'.encode()
        metadata = f',"structuredMetadata":{names.json(labels.metadata)}' if labels.metadata else ""
        parsed = f',"parsed":{names.json(labels.parsed)}' if labels.parsed else ""
        return f'","labels":{names.json(labels.stream)}{metadata}{parsed},"line":"'.encode()

    def mark(self, told: dict[str, Any], word: str) -> bytes:
        """A mark: what is told of the export up to here, on a line of its own.

        `word` begins the line in CSV; no line of a log can have guessed it.
        """
        if self.format is Format.NDJSON:
            return msgspec.json.encode({"mark": told}) + b"\n"
        return b"#" + word.encode() + b"," + _cell(msgspec.json.encode(told).decode()) + b"\r\n"


def _cell(text: str) -> bytes:
    """A cell of CSV (RFC 4180); lone surrogates, which stand for bytes that were not UTF-8, become U+FFFD."""
    return b'"' + _LONE.sub("\ufffd", text).replace('"', '""').encode() + b'"'


def _bytes(text: bytes) -> U8:
    return np.frombuffer(text, np.uint8)
