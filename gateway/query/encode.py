"""A log query's answer as Loki writes it, in its order of keys.

Grafana's parser reads `result` the moment it sees it and has to have seen `resultType` and `encodingFlags` before.

An answer is made in pieces, so that a long one is never in memory as a whole. Lines are written by kernels, labels once
for each distinct set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.query.gojson import label_json, text_json
from gateway.query.kernels.entries import entry_sizes, write_entries
from gateway.query.label_texts import LabelTexts
from gateway.query.stats import stats_json
from logql import EntryColumns, LogResult
from storage.batch import I64, Labels, Texts, texts

CATEGORIZE = "categorize-labels"
"""The flag that keeps structured metadata out of `stream` and beside each line."""

PIECE = 256 << 10
"""Bytes of a piece of an answer, about; one entry is in one piece, however long."""


def encoding_flags(header: str) -> list[str]:
    """The flags of X-Loki-Response-Encoding-Flags; unknown ones are echoed, as Loki does."""
    return list(dict.fromkeys(flag for item in header.split(",") if (flag := item.strip())))


def streams_answer(
    result: LogResult,
    flags: Sequence[str],
    queue_time: float,
    more: Callable[[], bytes] = bytes,
    warnings: Sequence[str] = (),
) -> Iterator[bytes]:
    """The body, in pieces.

    Args:
        result: entries in the order of the query's direction.
        flags: of the request.
        queue_time: seconds the query waited.
        more: members that stand in `data` after `stats`, with the comma before; made last.
        warnings: what the answer lacks.
    """
    head = b'{"status":"success","data":{"resultType":"streams",'
    if flags:
        head += b'"encodingFlags":[%b],' % b",".join(map(label_json, flags))
    yield head + b'"result":['
    if len(result.columns):
        yield from _laid_out(result.columns, categorize=CATEGORIZE in flags).pieces()
        yield b"]}"
    told = b',"warnings":[%b]' % b",".join(map(text_json, warnings)) if warnings else b""
    yield b'],"stats":%b%b}%b}\n' % (stats_json(result.stats, queue_time), more(), told)


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """n entries in the order in which they are written.

    Attributes:
        ts: int64[n], ns.
        line: int64[n], each one's place in `lines`.
        lines: the lines.
        lead: int64[n], the place in `leads` of what stands before each.
        leads: a comma, and the heads of all streams.
        third: int64[n], the place in `thirds` of each one's third element; -1 for none.
        thirds: JSON texts.
    """

    ts: I64
    line: I64
    lines: Texts
    lead: I64
    leads: Texts
    third: I64
    thirds: Texts

    def pieces(self) -> Iterator[bytes]:
        """All entries, and streams but for the end of the last."""
        offsets, leads, thirds = self.lines.offsets, self.leads, self.thirds
        sizes = np.empty(len(self.ts), np.int64)
        entry_sizes(
            self.ts, self.lines.data, offsets, self.line, self.lead, leads.offsets, self.third, thirds.offsets, sizes
        )
        ends = np.cumsum(sizes)
        start = done = 0
        while start < len(ends):
            stop = max(start + 1, int(np.searchsorted(ends, done + PIECE, "right")))
            some = slice(start, stop)
            out = np.empty(int(ends[stop - 1]) - done, np.uint8)
            write_entries(
                self.ts[some],
                self.lines.data,
                offsets,
                self.line[some],
                self.lead[some],
                leads.data,
                leads.offsets,
                self.third[some],
                thirds.data,
                thirds.offsets,
                out,
            )
            yield out.tobytes()
            start, done = stop, int(ends[stop - 1])


def _laid_out(entries: EntryColumns, *, categorize: bool) -> _Layout:
    """Loki's two groupings: by all labels together, or by those of the stream; streams in the order of their texts."""
    names = LabelTexts()
    sets = entries.label_sets
    shown = [each.stream if categorize else each.together for each in sets]
    streams = names.in_order(shown)
    places = {labels: place for place, labels in enumerate(streams)}
    group = np.array([places[labels] for labels in shown], np.int64)[entries.labels]
    order = np.argsort(group, kind="stable")
    if categorize:
        order = _ties_by_text(entries, group, order, names)
        third = entries.labels[order]
        thirds = texts([names.categories(each.metadata, each.parsed).encode() for each in sets])
    else:
        third, thirds = np.full(len(order), -1, np.int64), texts([])
    group = group[order]
    lead = np.where(np.diff(group, prepend=-1) != 0, group + 1, 0)
    line = entries.line[order]
    return _Layout(entries.ts[order], line, entries.lines, lead, _leads(streams, names), third, thirds)


def _leads(streams: Sequence[Labels], names: LabelTexts) -> Texts:
    """The comma between entries, and what opens each stream, the end of the one before included."""
    heads = [b'{"stream":%b,"values":[' % names.json(labels).encode() for labels in streams]
    return texts([b",", heads[0], *(b"]}," + head for head in heads[1:])])


def _ties_by_text(entries: EntryColumns, group: I64, order: I64, names: LabelTexts) -> I64:
    """Entries of one stream with equal times in the order of the texts of all their labels, in both directions.

    Those with equal labels stay in answer order (Loki's recorded answers).
    """
    ts, group = entries.ts[order], group[order]
    same = (ts[1:] == ts[:-1]) & (group[1:] == group[:-1])
    if not same.any():
        return order
    tied = np.zeros(len(order), bool)
    tied[1:] |= same
    tied[:-1] |= same
    labels = entries.labels[order]
    used = np.unique(labels[tied]).tolist()
    written = [names.text(entries.label_sets[number].together) for number in used]
    ranks = {text: rank for rank, text in enumerate(sorted(set(written)))}
    rank = np.zeros(len(entries.label_sets), np.int64)
    rank[used] = [ranks[text] for text in written]
    run = np.cumsum(np.concatenate(([True], ~same)))
    return order[np.lexsort((np.where(tied, rank[labels], 0), run))]
