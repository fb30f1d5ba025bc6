"""Line filters: |= != |~ !~ |> !> with `or` chains and ip("..."), as in Loki.

Two forms of one rule: `keeps` decides a line, and is the oracle; `narrow` decides a Batch's lines together and says the
same of each of them. Literals and patterns are sought by kernels and regexes by Arrow, over the whole line column and
without the GIL; addresses row by row, in lines that have what all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from logql.ast import LineFilter, LineFilterOp, LineFilterOperand
from logql.columns.arrow_texts import invalid_rows, strings_of
from logql.columns.pattern_shapes import lines_like
from logql.errors import StageError
from logql.folding import lower_case_regex
from logql.ip import Address, has_address, ip_literal, ip_test
from logql.literals import to_bytes
from logql.pattern import Part, line_matches, parse_line_pattern
from logql.regex import compile_regex, is_plain_text, searches
from logql.required import required_literals
from logql.stages.row import Row
from logql.substring import lines_with
from storage.batch import I64, Batch, Mask, Texts

_IGNORE_CASE = "(?i)"

_FEW = 4
"""Rows are copied together before a test when fewer than one in this many are left."""


class LineTest(Protocol):
    """What one operand asks of a line, `or` and negation aside."""

    def line(self, line: bytes) -> bool:
        """Whether the line passes."""

    def column(self, lines: Texts) -> Mask:
        """bool[n]: `line` of each of n lines."""


@dataclass(frozen=True, slots=True)
class _Contains:
    needle: bytes

    def line(self, line: bytes) -> bool:
        return self.needle in line

    def column(self, lines: Texts) -> Mask:
        return lines_with(self.needle, lines)


@dataclass(frozen=True, slots=True)
class _Search:
    """A regex.

    Attributes:
        pattern: as written, but for a folded text.
        regex: compiled.
        required: literals of which every matching line contains one; () if none are known.
    """

    pattern: str
    regex: Any
    required: tuple[bytes, ...] = ()

    def line(self, line: bytes) -> bool:
        return searches(self.regex, line)

    def column(self, lines: Texts) -> Mask:
        if not self.required:
            return self._every(lines)
        found = lines_with(self.required[0], lines)
        for literal in self.required[1:]:
            found |= lines_with(literal, lines)
        rows = np.flatnonzero(found)
        if len(rows):
            found[rows] = self._every(lines.take(rows))
        return found

    def _every(self, lines: Texts) -> Mask:
        strings = strings_of(lines)
        try:
            found = _mask(pc.match_substring_regex(strings, pattern=to_bytes(self.pattern)))
        except pa.ArrowInvalid:  # larger than Arrow lets a regex be; `regex` has more room
            return _row_by_row(self.line, lines)
        for row in invalid_rows(strings):
            found[row] = self.line(lines[row])
        return found


@dataclass(frozen=True, slots=True)
class _Like:
    """A pattern's shape."""

    parts: tuple[Part, ...]

    def line(self, line: bytes) -> bool:
        return line_matches(self.parts, line)

    def column(self, lines: Texts) -> Mask:
        return lines_like(self.parts, lines)


@dataclass(frozen=True, slots=True)
class _HasAddress:
    """Addresses, sought row by row in lines that have what all of them share.

    Attributes:
        test: of an address.
        literal: see ip_literal.
    """

    test: Callable[[Address], bool]
    literal: bytes

    def line(self, line: bytes) -> bool:
        return has_address(line, self.test)

    def column(self, lines: Texts) -> Mask:
        found = lines_with(self.literal, lines)
        rows = np.flatnonzero(found)
        if len(rows):
            found[rows] = _row_by_row(self.line, lines.take(rows))
        return found


def _mask(found: Any) -> Mask:
    mask: Mask = np.array(found.to_numpy(zero_copy_only=False), np.bool_)
    return mask


def _row_by_row(test: Callable[[bytes], bool], lines: Texts) -> Mask:
    return np.fromiter(map(test, lines.tolist()), np.bool_, len(lines))


def _line_test(op: LineFilterOp, operand: LineFilterOperand) -> LineTest:
    contains = op in (LineFilterOp.CONTAINS, LineFilterOp.NOT_CONTAINS)
    if operand.is_ip:
        if not contains:
            raise StageError("ip: invalid operation")
        return _HasAddress(ip_test(operand.text), ip_literal(operand.text))
    if contains:
        return _Contains(to_bytes(operand.text))
    if op in (LineFilterOp.PATTERN, LineFilterOp.NOT_PATTERN):
        return _Like(parse_line_pattern(operand.text))
    return _regex_test(operand.text)


def _regex_test(pattern: str) -> LineTest:
    regex = compile_regex(pattern)
    if is_plain_text(pattern):
        return _Contains(to_bytes(pattern))
    if pattern.startswith(_IGNORE_CASE) and is_plain_text(pattern[len(_IGNORE_CASE) :]):
        pattern = lower_case_regex(pattern[len(_IGNORE_CASE) :])
        regex = compile_regex(pattern)
    return _Search(pattern, regex, required_literals(pattern))


@dataclass(frozen=True, slots=True)
class LineFilterStage:
    """One line filter, ready to run.

    Attributes:
        negative: lines that pass a test are dropped, the others kept.
        tests: one an operand; a line passes when it passes any.
    """

    negative: bool
    tests: tuple[LineTest, ...]

    @classmethod
    def of(cls, node: LineFilter) -> LineFilterStage:
        """The stage of a node.

        Raises:
            RegexError: an operand is no regex.
            StageError: an operand is no pattern or address, or ip() stands after an operator that has none.
        """
        return cls(node.op.negative, tuple(_line_test(node.op, operand) for operand in node.operands))

    @property
    def literals(self) -> tuple[bytes, ...]:
        """Of which each line that goes on contains one; () if none are known."""
        found: list[bytes] = []
        for test in () if self.negative else self.tests:
            match test:
                case _Contains(needle):
                    found.append(needle)
                case _Search(required=required) if required:
                    found += required
                case _:
                    return ()
        return tuple(found) if all(found) else ()

    def keeps(self, line: bytes) -> bool:
        """Whether the line goes on."""
        return any(test.line(line) for test in self.tests) != self.negative

    def apply(self, row: Row) -> bool:
        """Whether the row goes on."""
        return self.keeps(row.line)

    def keeps_each(self, lines: Texts) -> Mask:
        """bool[n]: `keeps` of each of n lines."""
        found = self.tests[0].column(lines)
        for test in self.tests[1:]:
            found |= test.column(lines)
        return ~found if self.negative else found

    def narrow(self, batch: Batch) -> Batch:
        """The batch with only those rows selected whose lines go on."""
        selection = batch.selection
        if selection is None:
            return replace(batch, selection=_rows(self.keeps_each(batch.lines)))
        if _FEW * len(selection) < len(batch):
            kept = self.keeps_each(batch.lines.take(selection))
        else:
            kept = self.keeps_each(batch.lines)[selection]
        return replace(batch, selection=selection[kept])


def _rows(mask: Mask) -> I64:
    return np.flatnonzero(mask).astype(np.int64, copy=False)


def line_filter_stages(nodes: Sequence[LineFilter]) -> tuple[LineFilterStage, ...]:
    """The stages of several nodes. Raises as `LineFilterStage.of`."""
    return tuple(map(LineFilterStage.of, nodes))
