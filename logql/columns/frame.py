"""The rows of a batch on their way through stages by columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logql.columns.fields import FAILED, NOT_SET, UNSURE, FieldParser, Fields
from logql.columns.logfmt_fields import LogfmtExpressionFields
from logql.columns.rows import of_rows, used_codes
from logql.columns.unpack_fields import UnpackFields
from logql.columns.values import LabelValues, no_values, parsed_values
from logql.stages.hints import SUFFIX, Hints
from logql.stages.row import ERROR, ERROR_DETAILS, PRESERVE_ERROR
from storage.batch import I64, Batch, Mask, Texts

SPECIAL = frozenset({ERROR, ERROR_DETAILS, PRESERVE_ERROR})
"""Labels that are more than labels to the scalar stages."""


def _go_on() -> None:
    """The check of what nobody stops."""


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What a parser found on m rows.

    Attributes:
        parser: it.
        fields: of all m rows.
        places: label -> its number there.
    """

    parser: FieldParser
    fields: Fields
    places: Mapping[str, int]

    def set(self, name: str) -> Mask | None:
        """bool[m]: the label was found; None if it was not looked for."""
        place = self.places.get(name)
        return None if place is None else self.fields.kinds[place] != NOT_SET


class Frame:
    """m rows of a batch, what is known of their labels, and which of them still go on.

    Where a stage does on a row what is not done by columns, the row becomes unsure: it goes on, and is for the scalar
    stages to decide.

    Attributes:
        batch: with all structured metadata of the names that are asked for; none has an `__error__`.
        rows: int64[m], the rows of the batch, ascending.
        alive: bool[m], those that go on.
        unsure: bool[m].
        errors: what `__error__` may be on a row, "" first.
        error: uint8[m], which of them it is.
        remembered: what was made of what parsers found, for whoever made it.
        check: raises to stop the query; called now and then by what takes long.
        lines: what the lines of rows are found in: the batch's, until a stage makes others.
        at: int64[m], place of each row's line in `lines`. Rows may share a line. Of unsure rows it means nothing.
    """

    __slots__ = (
        "_found",
        "_hidden",
        "_kept",
        "_known",
        "_made",
        "_parsed",
        "_streams",
        "alive",
        "at",
        "batch",
        "check",
        "error",
        "errors",
        "lines",
        "remembered",
        "rows",
        "unsure",
    )

    def __init__(self, batch: Batch, rows: I64, check: Callable[[], None] = _go_on) -> None:
        self.batch = batch
        self.rows = rows
        self.alive: Mask = np.ones(len(rows), np.bool_)
        self.unsure: Mask = np.zeros(len(rows), np.bool_)
        self.errors = [""]
        self.error: NDArray[np.uint8] = np.zeros(len(rows), np.uint8)
        self.check = check
        self.lines = batch.lines
        self.at = rows
        self._found: list[_Found] = []
        self._known: dict[str, LabelValues] = {}
        self.remembered: dict[object, Any] = {}
        self._parsed: dict[str, LabelValues] = {}
        self._streams = used_codes(of_rows(batch.stream, rows))
        self._made: dict[str, LabelValues] = {}
        self._hidden: set[str] = set()
        self._kept: frozenset[str] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def failed(self) -> Mask:
        """bool[m]: the rows with an `__error__` from a parser."""
        return self.error > 0

    def forgive(self, error: Callable[[str], bool]) -> None:
        """Takes the errors away that a test accepts."""
        kept = np.array([0 if error(text) else number for number, text in enumerate(self.errors)], np.uint8)
        self.error = kept[self.error]

    def narrow(self, passed: Mask) -> None:
        """Only rows that `passed`, and those that are unsure, go on."""
        self.alive &= passed | self.unsure

    def doubt(self, rows: Mask) -> None:
        """The rows become unsure, if they have not been dropped before."""
        self.unsure |= rows & self.alive

    def compact(self) -> None:
        """Leaves out rows that were dropped. Only before a parser runs, and before labels are changed."""
        if not self.alive.all():
            kept = np.flatnonzero(self.alive)
            self.rows, self.unsure, self.error = self.rows[kept], self.unsure[kept], self.error[kept]
            self.at = self.at[kept]
            self._found = [_Found(one.parser, one.fields.take(kept), one.places) for one in self._found]
            self.alive = np.ones(len(self.rows), np.bool_)
            self._forget()

    def _forget(self) -> None:
        self._known.clear()
        self._parsed.clear()
        self.remembered.clear()

    def going_on(self) -> I64:
        """The rows of the batch that go on, and those that may."""
        return self.rows[self.alive]

    def parse(self, parser: FieldParser, names: Sequence[str], hints: Hints, *, again: bool = False) -> None:
        """Runs a parser over the lines. Of labels that an earlier one found, those count.

        Args:
            parser: by columns.
            names: labels to find: at least those that anything reads later; all of `hints.required` if it is not empty.
            hints: of the scalar stage.
            again: the stage sets labels that an earlier parser has set; such rows become unsure.
        """
        never = len(names) + 1
        needed = np.full(len(self), len(names) + (not hints.required), np.int64)
        some: Mask | None = None
        if self._found:
            before: Mask = np.array([self._set_before(name) for name in names])
            some = np.logical_or.reduce(before)
            needed[some] = never
            if hints.required:
                needed[np.logical_and.reduce(before)] = 0
        for name in names:
            base = self.base(name)
            if base.texts:
                needed[~base.missing] = never  # it is set under another name, so never by this one
        if isinstance(parser, UnpackFields):
            unpacked = parser.unpacked(self.lines, self.at, names, needed, everything=not hints.required)
            found = unpacked.fields
            self.put_lines(unpacked.lines, np.arange(len(self), dtype=np.int64))
        else:
            found = parser.fields(self.lines, self.at, names, needed, everything=not hints.required)
        self._forget()
        self.doubt(found.states == UNSURE)
        if isinstance(parser, LogfmtExpressionFields):
            for name in set(parser.sources.values()):  # what an entry came with may end the line
                self.doubt(~self.base(name).missing)
        if some is not None:
            set_now = found.kinds != NOT_SET
            if hints.required:
                # With what was set before, the stage had all labels and may have stopped before it came to fail.
                self.doubt(some & (found.states == FAILED) & np.logical_and.reduce(before | set_now))
            if again:
                self.doubt(np.logical_or.reduce(before & set_now))
        self._found.append(_Found(parser, found, {name: place for place, name in enumerate(names)}))
        self._fail(found.states == FAILED, parser.error)
        for place, name in enumerate(names):
            if name in SPECIAL:
                self.doubt(found.kinds[place] != NOT_SET)
            self.doubt_renamed(name)

    def _set_before(self, name: str) -> Mask:
        """bool[m]: a parser has set the label, under this name."""
        found = self.set_by_parser(name)
        base = self.base(name)
        if base.texts:
            found &= base.missing
        return found

    def _fail(self, rows: Mask, error: str) -> None:
        if rows.any():
            if error not in self.errors:
                self.errors.append(error)
            self.error[rows] = self.errors.index(error)

    def hide(self, names: Iterable[str]) -> None:
        """Drops labels wherever they come from; `__error__` means that rows have not failed."""
        for name in names:
            self._made.pop(name, None)
            self._hidden.add(name)
            if name == ERROR:
                self.error[:] = 0

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
        """bool[m]: a parser found the label, whether it goes by that name or hides behind one that was there."""
        found = [each for each in (one.set(name) for one in self._found) if each is not None]
        return np.logical_or.reduce(found) if found else np.zeros(len(self), np.bool_)

    def set_last(self, name: str) -> Mask:
        """bool[m]: the last parser set the label: it found it, no other had before, and no entry came with it."""
        *before, last = self._found
        found = last.set(name)
        if found is None:
            return np.zeros(len(self), np.bool_)
        for one in before:
            was_set = one.set(name)
            if was_set is not None:
                found &= ~was_set
        base = self.base(name)
        return found & base.missing if base.texts else found

    def parsed(self, name: str) -> LabelValues | None:
        """What parsers found, whatever became of it since; None if none did look."""
        if name not in self._parsed:
            together: LabelValues | None = None
            for one in self._found:
                if name in one.places:
                    values, unsure = parsed_values(one.fields, one.places[name], one.parser.text)
                    self.doubt(unsure)
                    together = values if together is None else together.or_else(values)
            if together is None:
                return None
            self._parsed[name] = together
        return self._parsed[name]

    def parsed_alone(self, name: str) -> LabelValues | None:
        """As `parsed`, without those that hide behind a stream label or structured metadata, and while it shows."""
        found = self.parsed(name) if self.shows(name) else None
        if found is None:
            return None
        base = self.base(name)
        return found if not base.texts else LabelValues(np.where(base.missing, found.codes, -1), found.texts)

    def spans(self, name: str) -> tuple[Fields, int, FieldParser] | None:
        """What a parser found, the number of the label there, and the parser, if the label is that on every row."""
        if name in self._made or not self.shows(name) or self.base(name).texts:
            return None
        looked = [one for one in self._found if name in one.places]
        if len(looked) > 1:
            looked = [one for one in looked if one.fields.kinds[one.places[name]].any()] or looked[:1]
        if len(looked) != 1:
            return None
        self.doubt_renamed(name)
        return looked[0].fields, looked[0].places[name], looked[0].parser

    def base(self, name: str) -> LabelValues:
        """A label's values before any stage: structured metadata or stream labels."""
        found = self._of_stream(name)
        column = self.batch.metadata.get(name)
        if column is not None:
            texts = [value.decode("utf-8", "replace") for value in column.values.tolist()]
            found = found.or_else(LabelValues(of_rows(column.codes, self.rows), texts))
        return found

    def _of_stream(self, name: str) -> LabelValues:
        streams = self.batch.streams
        pairs = [(number, value) for number in self._streams for key, value in streams[number] if key == name]
        if not pairs:
            return no_values(len(self))
        table = np.full(self._streams[-1] + 1, -1, np.int32)
        for code, (number, _) in enumerate(pairs):
            table[number] = code
        return LabelValues(table[of_rows(self.batch.stream, self.rows)], [value for _, value in pairs])
