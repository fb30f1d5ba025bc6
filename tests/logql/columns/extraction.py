"""Parsers by columns beside the scalar stages whose answers theirs must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from bench.lines import all_lines
from logql.columns.fields import FAILED, NOT_SET, READ, UNSURE, FieldParser, Fields
from logql.literals import to_bytes
from logql.stages.hints import Hints
from logql.stages.parsers import Parser
from logql.stages.row import Row
from storage.batch import texts
from tests.logql.dataset import DATASET, json_lines
from tests.logql.stages.parsing import new_row, parser


@dataclass(frozen=True)
class Counting(Hints):
    """Hints by which a stage is done when so many of some labels are set.

    Attributes:
        names: the labels that are counted.
        needed: as FieldParser.fields has it.
    """

    names: tuple[str, ...] = ()
    needed: int = 0

    def done(self, row: Row) -> bool:
        return sum(map(row.was_set, self.names)) >= self.needed


Answer = tuple[str, dict[str, str]]
"""The error, "" if there is none, and the labels among those that were asked for."""


def scalar(stage: str, line: bytes, names: Sequence[str], needed: int, *, everything: bool) -> Answer:
    """What the scalar stage finds."""
    row = _through(stage, line, names, needed, everything=everything)
    return row.error, {name: row.parsed[name] for name in names if name in row.parsed}


def scalar_line(stage: str, line: bytes, names: Sequence[str], needed: int, *, everything: bool) -> bytes:
    """The line that the scalar stage leaves."""
    return _through(stage, line, names, needed, everything=everything).line


def _through(stage: str, line: bytes, names: Sequence[str], needed: int, *, everything: bool) -> Row:
    required = frozenset[str]() if everything else frozenset(names)
    counting = Counting(required, names=tuple(names), needed=needed)
    row = new_row(line, {}, {})
    assert replace(_parsed(stage), hints=counting).apply(row)
    return row


@cache
def _parsed(stage: str) -> Parser:
    return parser(stage)


def by_columns(
    columns: FieldParser,
    lines: Sequence[bytes],
    names: Sequence[str],
    needed: int,
    *,
    everything: bool,
    skipped: int = 0,
) -> list[Answer | None]:
    """What a parser by columns finds, None where it is UNSURE. `skipped` lines stand before those asked for."""
    column = texts([b'a="\xff'] * skipped + list(lines) + [b'b=1"'])
    column = column.slice(skipped, skipped + len(lines))
    rows = np.arange(len(lines))
    found = columns.fields(column, rows, names, np.full(len(rows), needed), everything=everything)
    return [_answer(columns, found, names, row) for row in rows.tolist()]


def _answer(columns: FieldParser, found: Fields, names: Sequence[str], row: int) -> Answer | None:
    state = found.states[row]
    if state == UNSURE:
        return None
    assert state in (READ, FAILED)
    labels = {}
    for number, name in enumerate(names):
        kind = int(found.kinds[number, row])
        if kind != NOT_SET:
            raw = found.data[found.starts[number, row] : found.stops[number, row]].tobytes()
            labels[name] = columns.text(raw, kind)
    return (columns.error if state == FAILED else ""), labels


def recorded_lines() -> list[bytes]:
    """The distinct lines of the conformance dataset, in order."""
    streams = [stream for request in json_lines(DATASET) for stream in request["body"]["streams"]]
    return list(dict.fromkeys(to_bytes(entry[1]) for stream in streams for entry in stream["values"]))


def bench_lines(app: str) -> list[bytes]:
    """A few of the lines that are measured."""
    return all_lines(200)[app]
