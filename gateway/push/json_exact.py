"""Decoding JSON pushes exactly as Loki does: all that it accepts, and its texts for what it refuses.

Slow (a Python step a token), linear in the body, no recursion over its nesting. The fast decoder in loki_json.py hands
over what it refuses or is not sure of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.push.encodings import Payload
from gateway.push.errors import MalformedPush
from gateway.push.json_inside import (
    BAD_OBJECT,
    BAD_STRING,
    BAD_VALUE,
    BadJson,
    Type,
    array_items,
    integer,
    object_items,
    unescaped,
)
from gateway.push.json_reader import Reader
from gateway.push.label_text import labels_from_pairs, labels_from_text
from gateway.push.times import ZERO_TIME, BadTime, rfc3339
from storage.batch import Batch, Labels
from storage.build import BatchBuilder

ReadPairs: TypeAlias = Callable[[dict[str, str]], Labels]
Metadata: TypeAlias = list[tuple[str, bytes]]


@dataclass(slots=True, eq=False)
class ReadEntry:
    """One entry as it is read; what a body leaves out stays as Go's zero values have it."""

    ts: int = ZERO_TIME
    line: bytes = b""
    metadata: Metadata = field(default_factory=list)


@dataclass(slots=True, eq=False)
class ReadStream:
    """One stream as it is read. `labels` is a text, or the pairs of a JSON object."""

    labels: bytes | dict[str, str] = b""
    entries: list[ReadEntry] = field(default_factory=list)


def decode_exact(
    payload: Payload,
    read_pairs: ReadPairs = labels_from_pairs,
    *,
    legacy: bool,
    read_quickly: Callable[[bytes], ReadStream | None] | None = None,
) -> Batch:
    """The entries of a JSON push.

    Args:
        payload: the body.
        read_pairs: makes a label set of a `stream` object.
        legacy: whether the body has the format of /api/prom/push.
        read_quickly: reads the JSON of a stream that nothing is odd about, and gives None for others. It is asked about
            big ones.

    Raises:
        MalformedPush: the body is refused, or a label set of it.
        PushTooLarge: a label set is too long.
    """
    if not payload.data:
        # Whatever is wrong with a body that gives nothing, its decoder only learns that there is nothing.
        raise MalformedPush("EOF")
    reader = Reader(payload.data, payload.fault)
    try:
        streams = _legacy_request(reader) if legacy else _request(reader, read_quickly)
    except BadJson as refused:
        raise MalformedPush(str(refused)) from None
    builder = BatchBuilder()
    for stream in streams:
        labels = stream.labels
        number = builder.add_stream(read_pairs(labels) if isinstance(labels, dict) else labels_from_text(labels))
        for entry in stream.entries:
            builder.add(number, entry.ts, entry.line, entry.metadata)
    return builder.build()


# -- the shapes of both formats


def _fields(reader: Reader, kind: str, readers: dict[bytes, tuple[str, Callable[[], None]]], depth: int) -> None:
    """Reads an object into a Go struct: names in any case, unknown ones skipped; errors get the struct's name."""
    if not reader.object_start():
        return
    try:
        while True:
            name = reader.field()
            if name in readers:
                title, read = readers[name]
                _with_title(title, read)
            else:
                reader.skip(depth)
            if reader.object_ended():
                return
    except BadJson as refused:
        raise BadJson(f"{kind}.{refused}") from None


def _with_title(title: str, read: Callable[[], None]) -> None:
    """Runs `read`; its refusal gets a field's name in front."""
    try:
        read()
    except BadJson as refused:
        raise BadJson(f"{title}: {refused}") from None


def _items(reader: Reader, kind: str, read: Callable[[], None]) -> None:
    """Reads an array, or null, into a Go slice."""

    def items() -> None:
        char = reader.token()
        if char == ord("n"):
            reader.unread()
            reader.skip(0)
            return
        if char != ord("["):
            found = bytes((char,)).decode("utf-8", "surrogateescape")
            raise reader.refuse("decode slice", f"expect [ or n, but found {found}")
        char = reader.token()
        if char == ord("]"):
            return
        reader.unread()
        while True:
            read()
            char = reader.token()
            if char == ord("]"):
                return
            if char != ord(","):
                found = bytes((char,)).decode("utf-8", "surrogateescape")
                raise reader.refuse("decode slice", f"expect ], but found {found}")

    _with_title(kind, items)


# -- /loki/api/v1/push


_BIG = 1 << 16
"""Bytes of a stream's JSON from which on it is worth a look whether it can be read quickly."""


def _request(reader: Reader, read_quickly: Callable[[bytes], ReadStream | None] | None) -> list[ReadStream]:
    streams: list[ReadStream] = []

    def read_streams() -> None:
        streams.clear()
        _items(reader, "[]loghttp.LogProtoStream", lambda: streams.append(_stream(reader, read_quickly)))

    _fields(reader, "loghttp.PushRequest", {b"streams": ("Streams", read_streams)}, depth=1)
    return streams


def _stream(reader: Reader, read_quickly: Callable[[bytes], ReadStream | None] | None) -> ReadStream:
    element = reader.value(depth=1)
    if read_quickly is not None and len(element) >= _BIG:
        stream = read_quickly(element)
        if stream is not None:
            return stream
    try:
        return _stream_of(element)
    except BadJson as refused:
        raise reader.refuse("unmarshalerDecoder", str(refused)) from None


def _stream_of(element: bytes) -> ReadStream:
    stream = ReadStream()
    known = False
    others: dict[bytes, Type] = {}
    for name, value, kind in object_items(element):
        if name == b"stream":
            known = True
            stream.labels = _labels(value)
        elif name == b"values":
            known = True
            if kind is not Type.NULL:
                stream.entries = _values(value)
        else:
            others[name] = kind
    if not known and others.get(b"labels") is Type.STRING and others.get(b"entries") is Type.ARRAY:
        # LOKI-DIFF(2): Loki answers 204 to the format of /api/prom/push here, and stores nothing.
        return _legacy_stream(Reader(element), depth=1)
    return stream


def _labels(value: bytes) -> dict[str, str]:
    """The labels of an object; of a name given twice the last value counts. Types are not looked at: 5 and {} pass."""
    return {_text(unescaped(name)): _text(unescaped(text)) for name, text, _ in object_items(value)}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _values(value: bytes) -> list[ReadEntry]:
    entries: list[ReadEntry] = []
    for item, kind in array_items(value):
        if kind is not Type.NULL:
            entries.append(_entry(item))
    return entries


def _entry(item: bytes) -> ReadEntry:
    """One entry. A fault does not end the reading, the item after it is read in its stead: the last fault counts."""
    entry = ReadEntry()
    fault: BadJson | None = None
    place = 0
    for value, kind in array_items(item):
        try:
            if place == 0:
                entry.ts = integer(_string(value, kind))
            elif place == 1:
                entry.line = unescaped(_string(value, kind))
            elif place == 2:
                entry.metadata = _metadata(value, kind)
        except BadJson as refused:
            fault = refused
        else:
            place += 1
    if fault is not None:
        raise fault
    return entry


def _string(value: bytes, kind: Type) -> bytes:
    if kind is not Type.STRING:
        raise BadJson(BAD_STRING)
    return value


def _metadata(value: bytes, kind: Type) -> Metadata:
    if kind is not Type.OBJECT:
        raise BadJson(BAD_OBJECT)
    return [(_text(name), unescaped(_string(text, inner), BAD_VALUE)) for name, text, inner in object_items(value)]


# -- /api/prom/push


def _legacy_request(reader: Reader) -> list[ReadStream]:
    streams: list[ReadStream] = []

    def read_streams() -> None:
        streams.clear()
        _items(reader, "[]push.Stream", lambda: streams.append(_legacy_stream(reader, depth=1)))

    fields: dict[bytes, tuple[str, Callable[[], None]]] = {
        b"streams": ("Streams", read_streams),
        b"format": ("Format", lambda: _discard(reader.string())),
    }
    _fields(reader, "push.PushRequest", fields, depth=1)
    return streams


def _discard(_: bytes) -> None:
    return


def _legacy_stream(reader: Reader, depth: int) -> ReadStream:
    stream = ReadStream()

    def read_labels() -> None:
        stream.labels = reader.string()

    def read_entries() -> None:
        stream.entries = []
        _items(reader, "[]push.Entry", lambda: stream.entries.append(_legacy_entry(reader, depth + 1)))

    fields = {b"labels": ("Labels", read_labels), b"entries": ("Entries", read_entries)}
    _fields(reader, "push.Stream", fields, depth + 1)
    return stream


def _legacy_entry(reader: Reader, depth: int) -> ReadEntry:
    entry = ReadEntry()

    def read_time() -> None:
        element = reader.value(depth + 1)
        if element == b"null":
            return
        try:
            if len(element) < 2 or element[:1] != b'"':
                raise BadTime("Time.UnmarshalJSON: input is not a JSON string")
            entry.ts = rfc3339(element[1:-1])
        except BadTime as refused:
            raise reader.refuse("unmarshalerDecoder", str(refused)) from None

    def read_line() -> None:
        entry.line = reader.string()

    def read_metadata() -> None:
        entry.metadata = []
        _items(
            reader,
            "push.LabelsAdapter",
            lambda: entry.metadata.append(_legacy_pair(reader, depth + 1)),
        )

    fields = {
        b"ts": ("Timestamp", read_time),
        b"line": ("Line", read_line),
        b"structuredmetadata": ("StructuredMetadata", read_metadata),
    }
    _fields(reader, "push.Entry", fields, depth + 1)
    return entry


def _legacy_pair(reader: Reader, depth: int) -> tuple[str, bytes]:
    pair = {"name": b"", "value": b""}

    def into(name: str) -> Callable[[], None]:
        def read() -> None:
            pair[name] = reader.string()

        return read

    fields = {b"name": ("Name", into("name")), b"value": ("Value", into("value"))}
    _fields(reader, "push.LabelAdapter", fields, depth + 1)
    return _text(pair["name"]), pair["value"]
