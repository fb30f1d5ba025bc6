"""What a log query answers, and the two ways in which Loki groups it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from logql.stages.row import ERROR, ERROR_DETAILS, PRESERVE_ERROR, Row
from logql.stats import Stats
from storage.batch import Labels
from storage.labels import labels_text


@dataclass(frozen=True, slots=True)
class Entry:
    """A returned entry.

    No name is in two of `stream`, `metadata` and `parsed`; each is sorted by name.

    Attributes:
        ts: ns.
        line: bytes, perhaps invalid UTF-8; as the pipeline left it.
        stream: labels of its stream that the pipeline left.
        metadata: structured metadata that it left; names that the stream has too have `_extracted` appended.
        parsed: labels that the pipeline set, `__error__` and `__error_details__` among them; values may be "".
    """

    ts: int
    line: bytes
    stream: Labels
    metadata: Labels
    parsed: Labels = ()

    @property
    def labels(self) -> Labels:
        """All labels together."""
        return tuple(sorted(self.stream + self.metadata + self.parsed)) if self.metadata or self.parsed else self.stream


@dataclass(frozen=True, slots=True)
class LogResult:
    """The answer of a log query.

    Attributes:
        entries: in the order of the query's direction, over all streams.
        stats: what answering took.
    """

    entries: tuple[Entry, ...]
    stats: Stats


@dataclass(frozen=True, slots=True)
class StreamEntries:
    """Entries that are shown under one label set, in the order of the query's direction."""

    labels: Labels
    entries: tuple[Entry, ...]


def group_by_labels(entries: Iterable[Entry]) -> list[StreamEntries]:
    """Loki's usual grouping: by all labels together, sorted by the text of the labels."""
    return _group((entry.labels, entry) for entry in entries)


def group_by_stream(entries: Iterable[Entry]) -> list[StreamEntries]:
    """The grouping of `categorize-labels`: by stream labels alone; metadata and parsed labels stay with each entry.

    Entries of one stream with equal times come in the order of their labels' texts, in both directions (Loki's recorded
    answers); those with equal labels stay in answer order.
    """
    return [
        StreamEntries(group.labels, tuple(_ties_by_labels(group.entries)))
        for group in _group((entry.stream, entry) for entry in entries)
    ]


def _ties_by_labels(entries: Iterable[Entry]) -> Iterator[Entry]:
    for _, tied in groupby(entries, key=attrgetter("ts")):
        group = list(tied)
        yield from group if len(group) == 1 else sorted(group, key=lambda entry: labels_text(entry.labels))


def _group(pairs: Iterable[tuple[Labels, Entry]]) -> list[StreamEntries]:
    groups: dict[Labels, list[Entry]] = {}
    for labels, entry in pairs:
        groups.setdefault(labels, []).append(entry)
    return [StreamEntries(labels, tuple(groups[labels])) for labels in sorted(groups, key=labels_text)]


def entry_of(row: Row) -> Entry:
    """The entry that a pipeline made of a row."""
    parsed = dict(row.parsed)
    if row.error:
        parsed[ERROR] = row.error
    if row.details:
        parsed[ERROR_DETAILS] = row.details
    if row.preserve_error:
        parsed[PRESERVE_ERROR] = "true"
    return Entry(row.ts, row.line, _sorted(row.stream), _sorted(row.metadata), _sorted(parsed))


def _sorted(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items()))
