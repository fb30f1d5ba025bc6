"""The rows of a batch on their way through stages by columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from logql.columns.fields import FAILED, NOT_SET, UNSURE, FieldParser, Fields
from logql.columns.unpack_fields import UnpackFields
from logql.columns.values import LabelValues, no_values, parsed_values
from logql.stages.hints import SUFFIX, Hints
from logql.stages.row import ERROR, ERROR_DETAILS, PRESERVE_ERROR
from storage.batch import I64, Batch, Mask, Texts

SPECIAL = frozenset({ERROR, ERROR_DETAILS, PRESERVE_ERROR})
"""Labels that are more than labels to the scalar stages."""


class Frame:
    """m rows of a batch, what is known of their labels, and which of them still go on.

    Where a stage does on a row what is not done by columns, the row becomes unsure: it goes on, and is for the scalar
    stages to decide.

    Attributes:
        batch: with all structured metadata of the names that are asked for; none has an `__error__`.
        rows: int64[m], the rows of the batch.
        alive: bool[m], those that go on.
        unsure: bool[m].
        failed: bool[m], those with an `__error__` from the parser.
        error: what it is; "" before a parser ran.
        remembered: what was made of what the parser found, for whoever made it.
        lines: what the lines of rows are found in: the batch's, until a stage makes others.
        at: int64[m], place of each row's line in `lines`. Rows may share a line. Of unsure rows it means nothing.
    """

    __slots__ = (
        "_fields",
        "_hidden",
        "_kept",
        "_known",
        "_made",
        "_parsed",
        "_parser",
        "_places",
        "_streams",
        "alive",
        "at",
        "batch",
        "error",
        "failed",
        "lines",
        "remembered",
        "rows",
        "unsure",
    )

    def __init__(self, batch: Batch, rows: I64) -> None:
        self.batch = batch
        self.rows = rows
        self.alive: Mask = np.ones(len(rows), np.bool_)
        self.unsure: Mask = np.zeros(len(rows), np.bool_)
        self.failed: Mask = np.zeros(len(rows), np.bool_)
        self.error = ""
        self.lines = batch.lines
        self.at = rows
        self._fields: Fields | None = None
        self._parser: FieldParser | None = None
        self._places: dict[str, int] = {}
        self._known: dict[str, LabelValues] = {}
        self.remembered: dict[object, Any] = {}
        self._parsed: dict[str, LabelValues] = {}
        self._streams = streams_of(batch, rows)
        self._made: dict[str, LabelValues] = {}
        self._hidden: set[str] = set()
        self._kept: frozenset[str] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def narrow(self, passed: Mask) -> None:
        """Only rows that `passed`, and those that are unsure, go on."""
        self.alive &= passed | self.unsure

    def doubt(self, rows: Mask) -> None:
        """The rows become unsure, if they have not been dropped before."""
        self.unsure |= rows & self.alive

    def compact(self) -> None:
        """Leaves out rows that were dropped. Only before a parser runs, and before labels are changed."""
        if not self.alive.all():
            kept = self.alive
            self.rows, self.unsure, self.failed = self.rows[kept], self.unsure[kept], self.failed[kept]
            self.at = self.at[kept]
            self.alive = np.ones(len(self.rows), np.bool_)
            self._known.clear()
            self.remembered.clear()

    def going_on(self) -> I64:
        """The rows of the batch that go on, and those that may."""
        return self.rows[self.alive]

    def parse(self, parser: FieldParser, names: Sequence[str], hints: Hints) -> None:
        """Runs a parser over the lines.

        Args:
            parser: by columns.
            names: labels to find: at least those that anything reads later; all of `hints.required` if it is not empty.
            hints: of the scalar stage.
        """
        needed = np.full(len(self), len(names) + (not hints.required), np.int64)
        for name in names:
            base = self.base(name)
            if base.texts:
                needed[~base.missing] = len(names) + 1  # it is set under another name, so never by this one
        if isinstance(parser, UnpackFields):
            unpacked = parser.unpacked(self.lines, self.at, names, needed, everything=not hints.required)
            found = unpacked.fields
            self.put_lines(unpacked.lines, np.arange(len(self), dtype=np.int64))
        else:
            found = parser.fields(self.lines, self.at, names, needed, everything=not hints.required)
        self._parser, self._fields, self.error = parser, found, parser.error
        self._places = {name: place for place, name in enumerate(names)}
        self._known.clear()
        self.remembered.clear()
        self.doubt(found.states == UNSURE)
        self.failed = found.states == FAILED
        for name, place in self._places.items():
            if name in SPECIAL:
                self.doubt(found.kinds[place] != NOT_SET)
            self.doubt_renamed(name)

    def hide(self, names: Iterable[str]) -> None:
        """Drops labels wherever they come from; `__error__` means that rows have not failed."""
        for name in names:
            self._made.pop(name, None)
            self._hidden.add(name)
            if name == ERROR:
                self.failed[:] = False

    def keep(self, names: Iterable[str]) -> None:
        """Drops all other labels."""
        self._kept = frozenset(names) if self._kept is None else self._kept.intersection(names)
        self._made = {name: values for name, values in self._made.items() if name in self._kept}

    def put(self, name: str, values: LabelValues) -> None:
        """From now on these are a label's values, and there are no others of its name."""
        self._made[name] = values

    def is_put(self, name: str) -> bool:
        """Whether the label's values are what `put` made them."""
        return name in self._made

    def put_lines(self, lines: Texts, at: I64) -> None:
        """Changes the lines; see the attributes."""
        self.lines, self.at = lines, at

    def shows(self, name: str) -> bool:
        """Whether the label has not been dropped from all rows."""
        return name in self._made or (name not in self._hidden and (self._kept is None or name in self._kept))

    def values(self, name: str) -> LabelValues:
        """A label's values as they are now."""
        if name in self._made:
            return self._made[name]
        if not self.shows(name):
            return no_values(len(self))
        if name not in self._known:
            self.doubt_renamed(name)
            found = self.base(name)
            parsed = self.parsed(name)
            if parsed is not None:
                found = found.or_else(parsed) if found.texts else parsed
            self._known[name] = found
        return self._known[name]

    def doubt_renamed(self, name: str) -> None:
        """`x_extracted` may be what became of an x for which an entry had a label already."""
        if name.endswith(SUFFIX):
            base = self.base(name.removesuffix(SUFFIX))
            if base.texts:
                self.doubt(~base.missing)

    def set_by_parser(self, name: str) -> Mask:
        """bool[m]: the parser found the label, whether it goes by that name or hides behind one that was there."""
        if self._fields is None or name not in self._places:
            return np.zeros(len(self), np.bool_)
        found: Mask = self._fields.kinds[self._places[name]] != NOT_SET
        return found

    def parsed(self, name: str) -> LabelValues | None:
        """What the parser found, whatever became of it since; None if it did not look."""
        if self._fields is None or self._parser is None or name not in self._places:
            return None
        if name not in self._parsed:
            self._parsed[name], unsure = parsed_values(self._fields, self._places[name], self._parser.text)
            self.doubt(unsure)
        return self._parsed[name]

    def parsed_alone(self, name: str) -> LabelValues | None:
        """As `parsed`, without those that hide behind a stream label or structured metadata, and while it shows."""
        found = self.parsed(name) if self.shows(name) else None
        if found is None:
            return None
        base = self.base(name)
        return found if not base.texts else LabelValues(np.where(base.missing, found.codes, -1), found.texts)

    def spans(self, name: str) -> tuple[Fields, int, FieldParser] | None:
        """What the parser found, the number of the label there, and the parser, if the label is that on every row."""
        if (
            self._fields is None
            or self._parser is None
            or name not in self._places
            or name in self._made
            or not self.shows(name)
            or self.base(name).texts
        ):
            return None
        self.doubt_renamed(name)
        return self._fields, self._places[name], self._parser

    def base(self, name: str) -> LabelValues:
        """A label's values before any stage: structured metadata or stream labels."""
        found = self._of_stream(name)
        column = self.batch.metadata.get(name)
        if column is not None:
            texts = [value.decode("utf-8", "replace") for value in column.values.tolist()]
            found = found.or_else(LabelValues(column.codes[self.rows], texts))
        return found

    def _of_stream(self, name: str) -> LabelValues:
        streams = self.batch.streams
        pairs = [(number, value) for number in self._streams for key, value in streams[number] if key == name]
        if not pairs:
            return no_values(len(self))
        table = np.full(self._streams[-1] + 1, -1, np.int32)
        for code, (number, _) in enumerate(pairs):
            table[number] = code
        return LabelValues(table[self.batch.stream[self.rows]], [value for _, value in pairs])


def streams_of(batch: Batch, rows: I64) -> list[int]:
    """The numbers of the streams that the rows are of, ascending."""
    return np.flatnonzero(np.bincount(batch.stream[rows])).tolist()
