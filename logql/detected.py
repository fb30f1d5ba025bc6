"""What fields the entries of a log query have: names, types, how many values, how to get at them, as in Loki.

Structured metadata, the labels that the query sets itself, and what lines say when they are read as JSON or logfmt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from logql.budget import Budget
from logql.detected_lines import Found, LineParser, LineReader
from logql.detected_types import FieldType, listed, type_of
from logql.result import Entry, LogResult, group_by_stream
from logql.stages.row import ERROR, ERROR_DETAILS, PRESERVE_ERROR

LONGEST_LINE = 1 << 20
"""Bytes of a line from which it is not read for fields: they may be a million."""

MOST_BYTES = 16 << 20
"""Bytes of lines that are read for fields of one answer; later ones show their metadata and parsed labels only."""

FIELD = 500
"""Bytes of a field, besides its texts."""

VALUE = 100
"""Bytes of a distinct value, besides its text."""

_ERRORS = frozenset({ERROR, ERROR_DETAILS, PRESERVE_ERROR})


@dataclass(frozen=True, slots=True)
class DetectedField:
    """A field of some entries.

    Attributes:
        name: the label that a query has it under.
        type: of its value in the last entry that was looked at, as Loki decides it.
        cardinality: distinct values. Exact, where Loki estimates.
        parsers: that found it in lines, in order of finding; none for structured metadata.
        path: the keys that lead to it in JSON; () if it was not found there.
    """

    name: str
    type: FieldType
    cardinality: int
    parsers: tuple[LineParser, ...]
    path: tuple[str, ...]


@dataclass(slots=True)
class _Seen:
    """A field so far."""

    last: str = ""
    values: set[str] = field(default_factory=set)
    parsers: list[LineParser] = field(default_factory=list)
    path: tuple[str, ...] = ()


def detect_fields(result: LogResult, limit: int, check: Callable[[], None], budget: Budget) -> list[DetectedField]:
    """The fields of entries, sorted by name.

    Args:
        result: the entries.
        limit: fields at most; the first that are met, by stream and then in the result's order.
        check: called now and then; raises to stop.
        budget: counts what is held while entries are looked at.

    Raises:
        LimitError: it is more than the budget allows.
    """
    seen: dict[str, _Seen] = {}
    held = 0
    try:
        for each in _entries(result, check):
            size = 0
            for parser, name, found in each:
                known = seen.get(name)
                if known is None:
                    if len(seen) >= limit:
                        continue
                    known = seen[name] = _Seen()
                    size += FIELD + len(name)
                if parser is not None and parser not in known.parsers:
                    known.parsers.append(parser)
                if found.path and not known.path:
                    known.path = found.path
                known.last = found.value
                if found.value not in known.values:
                    known.values.add(found.value)
                    size += VALUE + len(found.value)
            if size:
                held += size
                budget.take(size)
        return [
            DetectedField(name, type_of(one.last), len(one.values), tuple(one.parsers), one.path)
            for name, one in sorted(seen.items())
        ]
    finally:
        budget.give_back(held)


def field_values(result: LogResult, name: str, limit: int, check: Callable[[], None], budget: Budget) -> list[str]:
    """Distinct values of one field, sorted: the first `limit` that are met. Arguments and errors as `detect_fields`."""
    values: set[str] = set()
    held = 0
    try:
        for each in _entries(result, check):
            for _, other, found in each:
                if other == name and (value := listed(found.value)) not in values:
                    values.add(value)
                    held += VALUE + len(value)
                    budget.take(VALUE + len(value))
                    if len(values) >= limit:
                        return sorted(values)
        return sorted(values)
    finally:
        budget.give_back(held)


def _entries(result: LogResult, check: Callable[[], None]) -> Iterator[Iterator[tuple[LineParser | None, str, Found]]]:
    """For each entry its fields: what found each (None: nothing had to), its name, its value."""
    reader = LineReader()
    left = MOST_BYTES
    for group in group_by_stream(result.entries):
        for entry in group.entries:
            check()
            readable = len(entry.line) <= min(left, LONGEST_LINE)
            left -= len(entry.line) if readable else 0
            yield _fields(entry, reader if readable else None)


def _fields(entry: Entry, reader: LineReader | None) -> Iterator[tuple[LineParser | None, str, Found]]:
    for name, value in entry.metadata:
        yield None, name, Found(value)
    parser, found = reader.read(entry.line, entry.stream) if reader else (None, {})
    for name, value in entry.parsed:
        if name not in _ERRORS:
            # What found it is the parser of the line, whatever stage set it: recorded (api_detected_fields-022).
            yield parser, name, Found(value)
    for name, each in found.items():
        if name not in _ERRORS:
            yield parser, name, each
