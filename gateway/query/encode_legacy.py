"""A log query's answer as the old routes under /api/prom give it: labels as a text, times as RFC 3339."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.query.gojson import line_json, text_json
from gateway.query.stats import stats_json
from gateway.query.times import rfc3339
from logql import Entry, LogResult, StreamEntries, group_by_labels
from storage.labels import labels_text


def legacy_answer(result: LogResult, queue_time: float) -> Iterator[bytes]:
    """The body, in pieces: streams, however many entries one has.

    Args:
        result: entries in the order of the query's direction.
        queue_time: seconds the query waited.
    """
    yield b'{"streams":['
    for number, group in enumerate(group_by_labels(result.entries)):
        yield b"," + _stream(group) if number else _stream(group)
    yield b'],"stats":%b}\n' % stats_json(result.stats, queue_time)


def _stream(group: StreamEntries) -> bytes:
    entries = b",".join(map(_entry, group.entries))
    return b'{"labels":%b,"entries":[%b]}' % (text_json(labels_text(group.labels)), entries)


def _entry(entry: Entry) -> bytes:
    return b'{"ts":"%b","line":%b}' % (rfc3339(entry.ts).encode(), line_json(entry.line))
