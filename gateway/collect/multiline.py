"""Which lines are one record: by a pattern of first lines, or by what stack traces of a language look like."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import re2

from gateway.client.errors import BadArgument
from gateway.collect.rows import I64, Mask, Rows, joined

_Starts = Callable[[bytes], list[int]]
"""Where records begin in a text of whole lines."""

# What may follow a line as more of its record. Each alternative takes whole lines, and no two of them the same line.
_PYTHON = rb"""
    [ \t].*\n
  | Traceback\ \(most\ recent\ call\ last\):\n(?:[ \t]+.*\n)+(?:[A-Za-z_][\w.]*(?::.*)?\n)?
  | \n(?:During\ handling\ of\ the\ above\ exception,|The\ above\ exception\ was\ the\ direct\ cause).*\n(?:\n)?
"""
_JAVA = rb"""
    [ \t]+\S.*\n
  | (?:Caused\ by|Suppressed):.*\n
  | (?:[a-z][\w$]*\.)+[A-Z][\w$]*(?:Exception|Error|Throwable)\b.*\n
"""
_GO = rb"""
    [ \t].*\n
  | \[signal\ .*\n
  | \n*goroutine\ \d+\ \[.*\]:\n(?:(?:[^\s].*\n)?\t.*\n)*(?:\.\.\..*\n)?
  | (?:created\ by\ .*)\n\t.*\n
  | exit\ status\ \d+\n
"""
_PYTHON_FIRST = rb"Traceback\ \(most\ recent\ call\ last\):\n(?:[ \t]+.*\n)+(?:[A-Za-z_][\w.]*(?::.*)?\n)?"

PRESETS = {
    "python": re.compile(rb"(?x)(?:" + _PYTHON_FIRST + rb"|.*\n)(?:" + _PYTHON + rb")*"),
    "java": re.compile(rb"(?x).*\n(?:" + _JAVA + rb")*"),
    "go": re.compile(rb"(?x).*\n(?:" + _GO + rb")*"),
}
"""Records of a language's traces, with the line before them."""

_LOOKAHEAD = 2
"""Records at the end that may still change: what begins one may turn out to be the middle of the one before it, as the
blank line between two chained tracebacks."""


@dataclass(frozen=True, slots=True)
class Multiline:
    """How lines are put together.

    Attributes:
        name: as the user said it.
        starts: where records begin.
        held: records at the end of what there is that may change with what comes.
        most_lines: of a record; what is longer is cut.
        most_bytes: of a record, up to one line more.
    """

    name: str
    starts: _Starts
    held: int
    most_lines: int = 500
    most_bytes: int = 256 << 10

    def records(self, rows: Rows) -> tuple[Rows, int]:
        """The rows with those of a record put together, and how many of the records at the end may still change."""
        if not len(rows):
            return rows, 0
        begins = np.empty_like(rows.ends)
        begins[0] = 0
        begins[1:] = rows.ends[:-1]
        starts = np.zeros(len(rows), np.bool_)
        found = np.array(self.starts(rows.text), np.int64)
        place = np.searchsorted(begins, found)
        # A row may have newlines of its own; nothing begins there.
        starts[place[(place < len(rows)) & (begins[np.minimum(place, len(rows) - 1)] == found)]] = True
        starts[0] = True
        held = self._held_from(starts)
        starts = self._bounded(starts, begins)
        starts |= _trailing_blanks(starts, rows.ends - begins == 1)
        return joined(rows, starts, newlines=True), int(starts[held:].sum())

    def _held_from(self, starts: Mask) -> int:
        """The row at which the records begin that may change."""
        where = np.flatnonzero(starts)
        return int(where[max(0, len(where) - self.held)])

    def _bounded(self, starts: Mask, begins: I64) -> Mask:
        """Starts of records none of which is too long."""
        record = np.cumsum(starts) - 1
        where = np.flatnonzero(starts)
        number = np.arange(len(starts)) - where[record]
        part = np.maximum(number // self.most_lines, (begins - begins[where[record]]) // self.most_bytes)
        bounded = starts.copy()
        bounded[1:] |= (part[1:] != part[:-1]) & (record[1:] == record[:-1])
        return bounded


def multiline(name: str, most_lines: int = 500, most_bytes: int = 256 << 10) -> Multiline:
    """What a setting says: the name of a preset, or the pattern (RE2) of what a record's first line begins with.

    Raises:
        BadArgument: it is no pattern.
    """
    preset = PRESETS.get(name)
    if preset is not None:
        found = preset.finditer
        return Multiline(
            name, lambda text: [match.start() for match in found(text)], _LOOKAHEAD, most_lines, most_bytes
        )
    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are: a line may be no UTF-8
    try:
        pattern = re2.compile(b"(?m)^(?:" + name.removeprefix("^").encode() + b")", options)
    except re2.error as error:
        raise BadArgument(f"multiline: {name!r} is no pattern, and not one of {', '.join(PRESETS)}: {error}") from error
    matches = pattern.finditer
    return Multiline(name, lambda text: [match.start() for match in matches(text)], 1, most_lines, most_bytes)


def _trailing_blanks(starts: Mask, is_blank: Mask) -> Mask:
    """Rows that are blank and have nothing but blank ones behind them in their record."""
    if not is_blank.any():
        return is_blank
    row = np.arange(len(starts))
    said = np.append(np.flatnonzero(~is_blank), len(starts))
    begun = np.append(np.flatnonzero(starts), len(starts))
    next_said = said[np.searchsorted(said, row)]
    next_begun = begun[np.searchsorted(begun, row, side="right")]
    return is_blank & (next_begun <= next_said)
