"""JSON that holds log lines: lines of `weir export` and logcli, bodies of Loki's push API, answers of query_range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from gateway.client.importing.entries import Row
from gateway.client.importing.when import read_time
from gateway.client.lines import Labels

_TIMES = ("ts", "timestamp", "time")
_LABELS = ("labels", "stream")
_METADATA = ("metadata", "structuredMetadata", "structured_metadata")


class NotEntries(Exception):  # noqa: N818 - named for what was found
    """No log line can be made of it; the text says why."""


class _Named(Protocol):
    """Which fields are what: reading.Fields."""

    @property
    def time(self) -> str | None: ...
    @property
    def line(self) -> str | None: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def metadata(self) -> tuple[str, ...]: ...
    @property
    def named(self) -> bool: ...


def rows_of_record(record: object, extra: Mapping[str, str], fields: _Named, zone: tzinfo, text: str) -> list[Row]:
    """The entries of a JSON line.

    Args:
        record: the line, decoded.
        extra: labels that every entry gets, over those that it has.
        fields: what the user says of the fields.
        zone: of times that do not say theirs.
        text: the line.

    Raises:
        NotEntries: it has none.
    """
    if not isinstance(record, dict):
        raise NotEntries("it is no JSON object")
    if fields.named:
        return [_named(record, extra, fields, zone, text)]
    line = record.get("line")
    if isinstance(line, str):
        given = next((record[key] for key in _TIMES if key in record), None)
        labels: object = next((record[key] for key in _LABELS if key in record), {})
        metadata = next((record[key] for key in _METADATA if key in record), None)
        return [(_labels(labels, extra), _entry(_time(given, zone), line, metadata))]
    if record.keys() == {"mark"}:  # how far an export is
        return []
    return list(rows_of_document(record, extra, zone))


def rows_of_document(document: object, extra: Mapping[str, str], zone: tzinfo) -> Iterator[Row]:
    """The entries of a push body or of an answer of query_range. Raises NotEntries, at the first one asked for."""
    if not isinstance(document, dict):
        raise NotEntries("it is no JSON object")
    streams = document.get("streams")
    data = document.get("data")
    if isinstance(data, dict) and data.get("resultType", "streams") == "streams":
        streams = data.get("result")
    if not isinstance(streams, list):
        raise NotEntries("it has no field that is known as a line: name them with --time-field and --line-field")
    return _of_streams(streams, extra, zone)


def _of_streams(streams: Iterable[Any], extra: Mapping[str, str], zone: tzinfo) -> Iterator[Row]:
    for stream in streams:
        if not isinstance(stream, dict) or not isinstance(stream.get("values"), list):
            raise NotEntries("a stream has no values")
        labels = _labels(stream.get("stream", {}), extra)
        for value in stream["values"]:
            if not isinstance(value, list) or len(value) < 2 or not isinstance(value[1], str):
                raise NotEntries("an entry is not [time, line]")
            metadata = value[2] if len(value) > 2 else None
            if isinstance(metadata, dict) and isinstance(metadata.get("structuredMetadata"), dict):
                metadata = metadata["structuredMetadata"]  # the answer was asked for with categorize-labels
            elif isinstance(metadata, dict) and set(metadata) <= {"parsed", "structuredMetadata"}:
                metadata = None
            yield labels, _entry(_time(value[0], zone), value[1], metadata)


def _named(record: Mapping[str, Any], extra: Mapping[str, str], fields: _Named, zone: tzinfo, text: str) -> Row:
    times = (fields.time,) if fields.time else _TIMES
    given = next((record[key] for key in times if key in record), None)
    if given is None:
        raise NotEntries(f"it has no field {times[0]!r} with a time")
    line = text
    if fields.line is not None:
        if fields.line not in record:
            raise NotEntries(f"it has no field {fields.line!r}")
        line = _text(record[fields.line])
    labels = {name: _text(record[name]) for name in fields.labels if record.get(name) is not None}
    metadata = {name: _text(record[name]) for name in fields.metadata if record.get(name) is not None}
    return _labels(labels, extra), _entry(_time(given, zone), line, metadata)


def _time(given: object, zone: tzinfo) -> int:
    at = read_time(given, zone)
    if at is None:
        raise NotEntries(f"{given!r} is no time")
    return at


def _labels(labels: object, extra: Mapping[str, str]) -> Labels:
    if not isinstance(labels, dict):
        raise NotEntries("its labels are no JSON object")
    texts = tuple([(name, value if type(value) is str else _text(value)) for name, value in labels.items()])
    return _label_set(texts, tuple(extra.items()))


@lru_cache(maxsize=4096)
def _label_set(pairs: tuple[tuple[str, str], ...], extra: tuple[tuple[str, str], ...]) -> Labels:
    return tuple(sorted({**dict(pairs), **dict(extra)}.items()))


def _entry(at: int, line: str, metadata: object) -> list[Any]:
    if not metadata:
        return [str(at), line]
    if not isinstance(metadata, dict):
        raise NotEntries("its metadata is no JSON object")
    return [str(at), line, {name: _text(value) for name, value in metadata.items()}]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
