"""A Source over a list of entries, cut into units of any size, for tests of the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from logql.source import Direction, Matcher, MatchOp, Unit
from storage.batch import Batch, Labels
from storage.build import BatchBuilder
from storage.reading import Survey
from tests.batch_unit import BatchUnit


@dataclass(frozen=True)
class Stored:
    """An entry as a test writes it."""

    stream: Labels
    ts: int
    line: bytes
    metadata: tuple[tuple[str, bytes], ...] = ()


def batch_of(entries: list[Stored]) -> Batch:
    """The entries as a batch, in their order."""
    builder = BatchBuilder()
    numbers: dict[Labels, int] = {}
    for entry in entries:
        if entry.stream not in numbers:
            numbers[entry.stream] = builder.add_stream(entry.stream)
        builder.add(numbers[entry.stream], entry.ts, entry.line, entry.metadata)
    return builder.build()


@dataclass
class MemorySource:
    """Entries in order of arrival; every `unit_size` of them are a unit.

    Attributes:
        in_blocks: units of an even number say that they are read from files.
        units: of the last scan, in the order in which they were offered.
    """

    entries: list[Stored]
    unit_size: int = 1000
    in_blocks: bool = False
    units: list[BatchUnit] = field(default_factory=list)

    def scan(
        self,
        tenant: str,
        matchers: Sequence[Matcher],
        start: int,
        end: int,
        direction: Direction,
        survey: Survey | None = None,
    ) -> Iterator[Unit]:
        del tenant, survey
        chosen: dict[Labels, bool] = {}
        self.units = []
        for place in range(0, len(self.entries), self.unit_size):
            rows = [
                entry
                for entry in self.entries[place : place + self.unit_size]
                if start <= entry.ts < end and _selected(entry.stream, matchers, chosen)
            ]
            if rows:
                number = place // self.unit_size
                in_memory = not (self.in_blocks and number % 2)
                self.units.append(BatchUnit(batch_of(rows), number, in_memory))
        if direction is Direction.FORWARD:
            self.units.sort(key=lambda unit: unit.min_ts)
        else:
            self.units.sort(key=lambda unit: -unit.max_ts)
        yield from self.units


def _selected(stream: Labels, matchers: Sequence[Matcher], chosen: dict[Labels, bool]) -> bool:
    if stream not in chosen:
        chosen[stream] = all(_matches(dict(stream).get(matcher.name, ""), matcher) for matcher in matchers)
    return chosen[stream]


def _matches(value: str, matcher: Matcher) -> bool:
    if matcher.op in (MatchOp.EQ, MatchOp.NE):
        return (value == matcher.value) == (matcher.op is MatchOp.EQ)
    found = re.fullmatch(matcher.value, value, re.DOTALL) is not None
    return found == (matcher.op is MatchOp.RE)
