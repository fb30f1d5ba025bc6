"""What a log query answers, and the two ways in which Loki groups it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from logql.stats import Stats
from storage.batch import Labels
from storage.labels import labels_text


@dataclass(frozen=True, slots=True)
class Entry:
    """A returned entry.

    Attributes:
        ts: ns.
        line: bytes, perhaps invalid UTF-8.
        stream: labels of its stream.
        metadata: its structured metadata, sorted by name; no name is one of `stream` (`_extracted` is appended).
    """

    ts: int
    line: bytes
    stream: Labels
    metadata: Labels

    @property
    def labels(self) -> Labels:
        """Stream labels and metadata together."""
        return tuple(sorted(self.stream + self.metadata)) if self.metadata else self.stream


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
    """Loki's usual grouping: by stream labels and metadata together, sorted by the text of the labels."""
    return _group((entry.labels, entry) for entry in entries)


def group_by_stream(entries: Iterable[Entry]) -> list[StreamEntries]:
    """The grouping of `categorize-labels`: by stream labels alone; metadata stays with each entry.

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


def metadata_labels(stream: Labels, metadata: dict[str, str]) -> Labels:
    """An entry's metadata as labels; a name that is also one of the stream's is shown as `<name>_extracted` (Loki)."""
    taken = {name for name, _ in stream}
    return tuple(sorted((f"{name}_extracted" if name in taken else name, value) for name, value in metadata.items()))
