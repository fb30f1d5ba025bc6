"""`| regexp` by columns: Arrow runs RE2 over all lines without the GIL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from logql.columns.arrow_texts import invalid_rows, strings_of
from logql.columns.fields import NOT_SET, READ, UNSURE, Fields
from logql.literals import to_bytes
from logql.required import required_literals
from logql.stages.extracted import raw_value
from logql.stages.regexp import RegexpParser
from logql.substring import lines_with
from storage.batch import I64, Mask, Texts

_FOUND = 1
"""Kind of a value."""

_OPENED = re.compile(r"(?P<other>\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\])|\((?!\?)", re.DOTALL)
"""A group that has no name and is counted, or something in which what looks like one is none."""


@dataclass(frozen=True, slots=True)
class RegexpFields:
    """A FieldParser: the stage never fails. Lines that are not UTF-8 are UNSURE, as Go and RE2 differ on them.

    Attributes:
        pattern: the regex.
        groups: (number, label) of its named groups, RegexpParser's.
    """

    pattern: str
    groups: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, stage: RegexpParser) -> RegexpFields:
        """That of a stage."""
        return cls(stage.regex.pattern.decode(), stage.groups)

    @property
    def error(self) -> str:
        """There is none."""
        return ""

    def fields(self, lines: Texts, rows: I64, names: Sequence[str], needed: I64, *, everything: bool) -> Fields:
        """As FieldParser's. The stage runs in any case, whatever is `needed`."""
        del needed, everything
        if not np.array_equal(rows, np.arange(len(lines))):
            lines = lines.take(rows)
        shape = (len(names), len(rows))
        found = Fields(
            lines.data,
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int64),
            np.zeros(shape, np.uint8),
            np.full(len(rows), READ, np.uint8),
        )
        some = self._may_match(lines)
        strings = strings_of(lines if len(some) == len(lines) else lines.take(some))
        spans = _spans(self._plain(), strings)
        if spans is None:
            found.states[some] = UNSURE
            return found
        found.states[some[invalid_rows(strings)]] = UNSURE
        begins = lines.offsets[some]
        for place, (_, name) in reversed(list(enumerate(self.groups))):  # of two groups of one label the first counts
            if name in names:
                label = names.index(name)
                found.starts[label, some] = begins + spans.firsts[place]
                found.stops[label, some] = begins + spans.firsts[place] + spans.lengths[place]
                found.kinds[label, some] = np.where(spans.matched, _FOUND, NOT_SET)
        return found

    def text(self, raw: bytes, kind: int) -> str:
        """As FieldParser's."""
        del kind
        return raw_value(raw)

    def _may_match(self, lines: Texts) -> I64:
        """int64[]: the lines that have what every match contains."""
        literals = required_literals(self.pattern)
        if not literals:
            return np.arange(len(lines))
        found = lines_with(literals[0], lines)
        for literal in literals[1:]:
            found |= lines_with(literal, lines)
        return np.flatnonzero(found).astype(np.int64, copy=False)

    def _plain(self) -> str:
        """The regex without groups that have no name, which Arrow does not take."""
        return _OPENED.sub(lambda found: found["other"] or "(?:", self.pattern)


@dataclass(frozen=True, slots=True, eq=False)
class _Spans:
    """Where k groups stand in n lines.

    Attributes:
        matched: bool[n].
        firsts: int64[k][n], bytes from the beginning of the line; 0 for groups that took no part.
        lengths: int64[k][n], bytes.
    """

    matched: Mask
    firsts: list[I64]
    lengths: list[I64]


def _spans(pattern: str, strings: Any) -> _Spans | None:
    """None: the regex is larger than Arrow lets one be."""
    try:
        found = pc.extract_regex_span(strings, pattern=to_bytes(pattern))
    except pa.ArrowInvalid:
        return None
    matched = _mask(found.is_valid())
    firsts, lengths = [], []
    for place in range(found.type.num_fields):
        group = found.field(place)
        pairs = np.frombuffer(group.values.buffers()[1], np.int64)[: 2 * len(group)].reshape(-1, 2)
        there = matched & _mask(group.is_valid())
        firsts.append(np.where(there, pairs[:, 0], 0))
        lengths.append(np.where(there, pairs[:, 1], 0))
    return _Spans(matched, firsts, lengths)


def _mask(found: Any) -> Mask:
    mask: Mask = np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)
    return mask
