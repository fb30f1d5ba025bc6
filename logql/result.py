"""What a log query answers, and the two ways in which Loki groups it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from logql.entry_columns import EntryColumns, EntryLabels, columns_of_entries, columns_of_rows, labels_of
from logql.stages.row import Row
from logql.stats import Stats
from storage.batch import I64, Batch, Labels
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


class LogResult:
    """The answer of a log query, in the order of its direction, over all streams.

    It is made of entries, or of rows of batches, and gives both forms: one object an entry, or columns, which cost no
    object an entry and are what is written to clients.

    Attributes:
        stats: what answering took.
    """

    __slots__ = ("_columns", "_entries", "stats")

    def __init__(self, entries: Iterable[Entry], stats: Stats) -> None:
        self._entries: tuple[Entry, ...] | None = tuple(entries)
        self._columns: EntryColumns | None = None
        self.stats = stats

    @classmethod
    def of_rows(cls, batches: Mapping[int, Batch] | Sequence[Batch], part: I64, row: I64, stats: Stats) -> LogResult:
        """The answer of a query that has no stages but line filters.

        Args:
            batches: where the entries are; selections are not looked at.
            part: int64[n], the batch of each entry, in answer order: its place, or its key.
            row: int64[n], its row there.
            stats: what answering took.
        """
        made = cls((), stats)
        made._entries = None
        made._columns = columns_of_rows(batches, part, row)
        return made

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries as objects."""
        if self._entries is None:
            found = self.columns
            lines = found.lines.tolist()
            self._entries = tuple(
                Entry(ts, lines[line], *found.label_sets[labels])
                for ts, line, labels in zip(found.ts.tolist(), found.line.tolist(), found.labels.tolist(), strict=True)
            )
        return self._entries

    @property
    def columns(self) -> EntryColumns:
        """The entries as columns."""
        if self._columns is None:
            entries = self.entries
            self._columns = columns_of_entries(
                (entry.ts for entry in entries),
                (entry.line for entry in entries),
                (EntryLabels(entry.stream, entry.metadata, entry.parsed) for entry in entries),
            )
        return self._columns


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
    return Entry(row.ts, row.line, *labels_of(row))
