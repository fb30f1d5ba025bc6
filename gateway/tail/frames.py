"""What a tail sends: entries as Loki writes them, each encoded once for all who get it.

Loki's frame has one element of `streams` for each entry, which so stand in order of time whatever their labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np

from gateway.query.encode import CATEGORIZE
from gateway.query.gojson import label_json, line_json, text_json
from gateway.query.kernels.entries import entry_sizes, write_entries
from gateway.query.label_texts import LabelTexts
from gateway.query.times import rfc3339
from logql import EntryColumns, EntryLabels
from storage.batch import I64, Labels, Texts, concat_texts, texts
from storage.labels import labels_text

FRAME_BYTES = 256 << 10
"""Bytes of a frame at most, unless one entry is longer: some clients take no message over 1 MiB."""

_OPENS = b'{"streams":['
_BEGUN = b"]},"
"""What stands before an entry but for the first: the end of the one before."""


class Shape(Enum):
    """Which labels `stream` has."""

    STREAM = auto()
    """Those of the stream: Loki's answer to a bare selector."""
    TOGETHER = auto()
    """All of them."""
    CATEGORIZED = auto()
    """Those of the stream; structured metadata and parsed labels stand beside the line."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a tail wants its frames.

    Attributes:
        shape: of the labels.
        flags: of X-Loki-Response-Encoding-Flags, echoed.
        legacy: as /api/prom/tail has them.
    """

    shape: Shape
    flags: tuple[str, ...] = ()
    legacy: bool = False

    @classmethod
    def of(cls, flags: Iterable[str], *, bare: bool, legacy: bool) -> Form:
        """The form for a request; `bare`: its query is a selector and nothing else."""
        kept = () if legacy else tuple(flags)
        if CATEGORIZE in kept:
            return cls(Shape.CATEGORIZED, kept)
        return cls(Shape.STREAM if bare else Shape.TOGETHER, kept, legacy)

    def shown(self, labels: EntryLabels) -> Labels:
        """What an entry's `stream` is."""
        return labels.together if self.shape is Shape.TOGETHER else labels.stream


@dataclass(frozen=True, slots=True, eq=False)
class Elements:
    """n entries, encoded.

    Attributes:
        ts: int64[n], ns.
        number: int64[n], the commit that each came with; 0 for those of the past.
        texts: n pieces of a frame, each beginning with what ends the one before.
        labels: int64[n], each one's place in `shown`.
        shown: label sets.
    """

    ts: I64
    number: I64
    texts: Texts
    labels: I64
    shown: Sequence[Labels]

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, rows: I64) -> Elements:
        """Some of them, in that order."""
        return Elements(self.ts[rows], self.number[rows], self.texts.take(rows), self.labels[rows], self.shown)

    def slice(self, start: int, stop: int) -> Elements:
        """Entries start..stop as a view."""
        some = slice(start, stop)
        return Elements(self.ts[some], self.number[some], self.texts.slice(start, stop), self.labels[some], self.shown)

    def textless(self) -> Elements:
        """All of them without their texts."""
        return replace(self, texts=Texts(np.zeros(0, np.uint8), np.zeros(len(self) + 1, np.int64)))


def joined(parts: Sequence[Elements]) -> Elements:
    """All of some parts, at least one, by time; in the order of the parts where times are equal."""
    bases = np.cumsum([0, *(len(part.shown) for part in parts[:-1])]).tolist()
    whole = Elements(
        np.concatenate([part.ts for part in parts]),
        np.concatenate([part.number for part in parts]),
        concat_texts([part.texts for part in parts]),
        np.concatenate([part.labels + base for part, base in zip(parts, bases, strict=True)]),
        [labels for part in parts for labels in part.shown],
    )
    if bool((whole.ts[1:] >= whole.ts[:-1]).all()):
        return whole
    return whole.take(np.argsort(whole.ts, kind="stable"))


def encoded(entries: EntryColumns, form: Form, number: I64) -> Elements:
    """Entries as a tail of that form writes them; `number`: int64[n], the commits that they came with."""
    shown = [form.shown(labels) for labels in entries.label_sets]
    written = _legacy(entries, shown) if form.legacy else _written(entries, form, shown)
    return Elements(entries.ts, number, written, entries.labels, shown)


def _written(entries: EntryColumns, form: Form, shown: Sequence[Labels]) -> Texts:
    names = LabelTexts()
    leads = texts([b'%b{"stream":%b,"values":[' % (_BEGUN, names.json(labels).encode()) for labels in shown])
    if form.shape is Shape.CATEGORIZED:
        third = entries.labels
        thirds = texts([names.categories(each.metadata, each.parsed).encode() for each in entries.label_sets])
    else:
        third, thirds = np.full(len(entries), -1, np.int64), texts([])
    ts = np.ascontiguousarray(entries.ts)
    line, lead = np.ascontiguousarray(entries.line), np.ascontiguousarray(entries.labels)
    third = np.ascontiguousarray(third)
    data, lines = entries.lines.data, entries.lines.offsets
    sizes = np.empty(len(ts), np.int64)
    entry_sizes(ts, data, lines, line, lead, leads.offsets, third, thirds.offsets, sizes)
    offsets = np.zeros(len(ts) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    out = np.empty(int(offsets[-1]), np.uint8)
    write_entries(ts, data, lines, line, lead, leads.data, leads.offsets, third, thirds.data, thirds.offsets, out)
    return Texts(out, offsets)


def _legacy(entries: EntryColumns, shown: Sequence[Labels]) -> Texts:
    heads = [b'%b{"labels":%b,"entries":[' % (_BEGUN, text_json(labels_text(labels))) for labels in shown]
    lines = entries.lines
    return texts(
        b'%b{"ts":"%b","line":%b}' % (heads[labels], rfc3339(ts).encode(), line_json(lines[line]))
        for ts, line, labels in zip(entries.ts.tolist(), entries.line.tolist(), entries.labels.tolist(), strict=True)
    )


@dataclass(frozen=True, slots=True)
class Dropped:
    """An entry that was not sent, as its reader was too slow: the commit it came with, its time (ns), its labels."""

    number: int
    ts: int
    labels: Labels


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A message that several sockets send.

    Attributes:
        entries: what is in it, by time; not empty.
        first: the least number of a commit in it.
        last: the greatest.
        text: the whole message, where nothing was dropped.
        size: characters of it.
    """

    entries: Elements
    first: int
    last: int
    text: str
    _end: int

    @property
    def size(self) -> int:
        """Characters of the message, about its bytes."""
        return len(self.text)

    def told(self, dropped: Sequence[Dropped], form: Form) -> str:
        """The message with a notice of entries that were dropped."""
        return self.text[: self._end] + ending(form, dropped)


def frame_of(entries: Elements, form: Form) -> Frame:
    """The frame of some entries, at least one, by time."""
    inside = entries.texts.compact().data[len(_BEGUN) :].tobytes()
    body = (b"%b%b]}]" % (_OPENS, inside)).decode()
    first, last = int(entries.number.min()), int(entries.number.max())
    return Frame(entries, first, last, body + ending(form), len(body))


def frames_of(entries: Elements, form: Form) -> Iterator[Frame]:
    """The frames of any number of entries, which stand by time."""
    bounds = entries.texts.offsets
    start = 0
    while start < len(entries):
        stop = max(start + 1, int(np.searchsorted(bounds, bounds[start] + FRAME_BYTES, "right")) - 1)
        yield frame_of(entries.slice(start, min(stop, len(entries))), form)
        start = stop


def empty_body() -> str:
    """The body of a frame without entries."""
    return _OPENS.decode() + "]"


def ending(form: Form, dropped: Sequence[Dropped] = ()) -> str:
    """What follows the entries of a frame."""
    names = LabelTexts()
    told = b",".join(_dropped(each, form, names) for each in dropped)
    if form.legacy:
        return f',"dropped_entries":{f"[{told.decode()}]" if dropped else "null"}}}'
    notice = f',"dropped_entries":[{told.decode()}]' if dropped else ""
    flags = b",".join(map(label_json, form.flags)).decode()
    return notice + (f',"encodingFlags":[{flags}]}}' if form.flags else "}")


def _dropped(entry: Dropped, form: Form, names: LabelTexts) -> bytes:
    if form.legacy:
        labels = text_json(labels_text(entry.labels))
        return b'{"timestamp":"%b","labels":%b}' % (rfc3339(entry.ts).encode(), labels)
    return b'{"timestamp":"%d","labels":%b}' % (entry.ts, names.json(entry.labels).encode())
