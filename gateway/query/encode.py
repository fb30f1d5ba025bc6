"""A log query's answer as Loki writes it, in its order of keys.

Grafana's parser reads `result` the moment it sees it and has to have seen `resultType` and `encodingFlags` before.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.query.gojson import label_json, labels_json, lines_as_values, values_json
from gateway.query.stats import stats_json
from logql import Entry, LogResult, group_by_labels, group_by_stream
from storage.batch import Labels

CATEGORIZE = "categorize-labels"
"""The flag that keeps structured metadata out of `stream` and beside each line."""


def encoding_flags(header: str) -> list[str]:
    """The flags of X-Loki-Response-Encoding-Flags; unknown ones are echoed, as Loki does."""
    return list(dict.fromkeys(flag for item in header.split(",") if (flag := item.strip())))


def streams_answer(result: LogResult, flags: Sequence[str], queue_time: float) -> bytes:
    """The whole body.

    Args:
        result: entries in the order of the query's direction.
        flags: of the request.
        queue_time: seconds the query waited.
    """
    parts = [b'{"status":"success","data":{"resultType":"streams",']
    if flags:
        parts += [b'"encodingFlags":[', b",".join(map(label_json, flags)), b"],"]
    categorize = CATEGORIZE in flags
    groups = group_by_stream(result.entries) if categorize else group_by_labels(result.entries)
    streams = (
        b'{"stream":%b,"values":%b}' % (labels_json(group.labels), _values(group.entries, categorize))
        for group in groups
    )
    parts += [b'"result":[', b",".join(streams), b'],"stats":', stats_json(result.stats, queue_time), b"}}\n"]
    return b"".join(parts)


def _values(entries: Sequence[Entry], categorize: bool) -> bytes:
    times = [str(entry.ts) for entry in entries]
    lines = lines_as_values([entry.line for entry in entries])
    if not categorize:
        return values_json(list(map(list, zip(times, lines, strict=True))))
    categories = _Categories()
    labels = [categories.of(entry.metadata, entry.parsed) for entry in entries]
    return values_json(list(map(list, zip(times, lines, labels, strict=True))))


class _Categories:
    """The third element of each entry; most entries of a stream share a few."""

    def __init__(self) -> None:
        self._made: dict[tuple[Labels, Labels], msgspec.Raw] = {}

    def of(self, metadata: Labels, parsed: Labels) -> msgspec.Raw:
        made = self._made.get((metadata, parsed))
        if made is None:
            parts = [
                b'"%b":%b' % (name, labels_json(labels))
                for name, labels in ((b"structuredMetadata", metadata), (b"parsed", parsed))
                if labels
            ]
            made = self._made[metadata, parsed] = msgspec.Raw(b"{" + b",".join(parts) + b"}")
        return made
