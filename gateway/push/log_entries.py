"""The entries of POST /log: one JSON object, an array of them or NDJSON, checked field by field and made a Batch.

The stream of an entry is `{service_name="..."}` alone: a label for the level would make five streams of each service.
The level is structured metadata `level`, of which `detected_level` follows, as is every further field. Where a tenant
may have no structured metadata the level is a label after all, and further fields are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from config.limits import Limits
from config.units import format_instant
from gateway.push.errors import BadField, PushFailed, PushTooLarge
from gateway.push.metadata import label_name
from gateway.push.times import LAST, BadTime, rfc3339_unbounded
from storage.batch import I32, Batch, Column, Labels, Texts, texts
from storage.build import BatchBuilder

LEVELS = ("debug", "info", "warn", "error", "fatal")
MAX_MESSAGE = 10 << 10
"""Bytes of a message."""
MAX_SERVICE = 100
"""Characters of a service."""
MAX_ENTRY = 50 << 10
"""Bytes of one entry's JSON."""
_BEGINNING = 256
"""Bytes of a refused entry that are kept, for who looks for it."""
BODY = "body"
"""What the answer names where it is no single field that is wrong."""

NDJSON = frozenset(("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"))
"""Media types of bodies with an entry a line."""

_SECONDS_END, _MILLISECONDS_END, _MICROSECONDS_END = 10**11, 10**14, 10**17
"""Numbers below are s, ms, us since 1970, the others ns: each unit reaches from 1973 to beyond 5000."""

_decode = msgspec.json.Decoder().decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that is not stored.

    Attributes:
        index: in the body.
        reason: why.
        beginning: of its JSON.
        size: bytes of its JSON.
    """

    index: int
    reason: BadField
    beginning: bytes = b""
    size: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class LogEntries:
    """What a body holds.

    Attributes:
        batch: the entries that are well, in their order; None where none is.
        refused: the others.
        bulk: the body is an array or NDJSON.
        newest: ns, the time of the last entry in `batch`.
    """

    batch: Batch | None
    refused: tuple[Refused, ...]
    bulk: bool
    newest: int = 0


def read_entries(body: bytes, media: str, limits: Limits, max_bulk: int, now: int) -> LogEntries:
    """The entries of a body.

    Args:
        body: as unpacked.
        media: media type in lower case.
        limits: the tenant's, which hold besides those of this door.
        max_bulk: bytes of an array or NDJSON body.
        now: ns, the time of an entry that has none.

    Raises:
        BadField: the body is a single entry with something wrong, or cannot be read.
        PushTooLarge: it is over MAX_ENTRY, or of many entries and over `max_bulk`.
    """
    pieces = _pieces(body, media, max_bulk)
    builder = BatchBuilder()
    adding = _Adding(builder, limits, now)
    if pieces is None:
        if len(body) > MAX_ENTRY:
            raise PushTooLarge(f"an entry has at most {MAX_ENTRY} bytes, this one has {len(body)}")
        found = adding.read(body)
        return LogEntries(_batch_of_one(found), (), bulk=False, newest=found.ts)
    refused = []
    newest, index = now, -1
    for index, piece in enumerate(pieces):
        try:
            newest = adding.add(piece)
        except BadField as wrong:
            # Its frames hold the body, and this list: it would stay in memory until the garbage collector comes.
            wrong.__traceback__ = wrong.__context__ = None
            refused.append(Refused(index, wrong, piece[:_BEGINNING], len(piece)))
    if index < 0:
        raise BadField(BODY, "no entries")
    return LogEntries(builder.build() if len(builder) else None, tuple(refused), bulk=True, newest=newest)


def _pieces(body: bytes, media: str, max_bulk: int) -> Iterator[bytes] | None:
    """The JSON of each entry of a body of many; None for a body of one."""
    stripped = body.strip()
    if stripped[:1] == b"[":
        _check_bulk(body, max_bulk)
        try:
            return iter([bytes(piece) for piece in _decode_array(stripped)])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadField(BODY, f"no JSON: {error}") from None
    if media in NDJSON or _has_an_entry_a_line(stripped):
        _check_bulk(body, max_bulk)
        return (line for line in stripped.split(b"\n") if line.strip())
    return None


def _check_bulk(body: bytes, max_bulk: int) -> None:
    if len(body) > max_bulk:
        raise PushTooLarge(f"a body of many entries has at most {max_bulk} bytes, this one has {len(body)}")


def _has_an_entry_a_line(stripped: bytes) -> bool:
    """Whether the first of several lines is a JSON value of its own: no line of an indented object is."""
    first, newline, rest = stripped.partition(b"\n")
    if not newline or not rest.strip():
        return False
    try:
        _decode(first)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry that is well; `ts` in ns."""

    labels: Labels
    ts: int
    line: bytes
    metadata: dict[str, bytes]


def _batch_of_one(found: _Entry) -> Batch:
    """A Batch of one entry. Most have nothing but a level: then no more is made than what differs between entries."""
    if len(found.metadata) != 1:
        builder = BatchBuilder()
        builder.add(builder.add_stream(found.labels), found.ts, found.line, found.metadata.items())
        return builder.build()
    size = len(found.line)
    lines = Texts(np.frombuffer(found.line, np.uint8), np.array((0, size), np.int64))
    metadata = {name: _LEVEL_COLUMNS[value] for name, value in found.metadata.items()}
    return Batch((found.labels,), _FIRST, np.array((found.ts,), np.int64), lines, metadata)


class _Adding:
    """Checks entries and adds them to a batch."""

    __slots__ = ("_builder", "_limits", "_now", "_streams")

    def __init__(self, builder: BatchBuilder, limits: Limits, now: int) -> None:
        self._builder = builder
        self._limits = limits
        self._now = now
        self._streams: dict[Labels, int] = {}

    def add(self, piece: bytes) -> int:
        """Adds the entry that a JSON text says; its time in ns. Raises BadField."""
        found = self.read(piece)
        stream = self._streams.get(found.labels)
        if stream is None:
            stream = self._streams[found.labels] = self._builder.add_stream(found.labels)
        self._builder.add(stream, found.ts, found.line, found.metadata.items())
        return found.ts

    def read(self, piece: bytes) -> _Entry:
        """The entry that a JSON text says. Raises BadField."""
        if len(piece) > MAX_ENTRY:
            raise BadField(BODY, f"an entry has at most {MAX_ENTRY} bytes, this one has {len(piece)}")
        try:
            found = _decode(piece)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadField(BODY, f"no JSON: {error}") from None
        if not isinstance(found, dict):
            raise BadField(BODY, "not an object")
        limits = self._limits
        level, line, service = _level(found), _message(found, limits), _service(found, limits)
        ts = self._time(found.get("timestamp"))
        metadata = _metadata(found, level, limits)
        labels: Labels = (("service_name", service),)
        if not limits.allow_structured_metadata:
            labels = (("level", level), *labels)
        return _Entry(labels, ts, line, metadata)

    def _time(self, value: Any) -> int:
        if value is None:
            return self._now
        ts = nanoseconds_of(value)
        limits = self._limits
        if ts > self._now + limits.creation_grace_period:
            raise BadField("timestamp", f"{format_instant(ts)} is in the future")
        if limits.reject_old_samples and limits.reject_old_samples_max_age:
            oldest = self._now - limits.reject_old_samples_max_age
            if ts < oldest:
                raise BadField("timestamp", f"{format_instant(ts)} is older than {format_instant(oldest)}")
        return ts


def _level(found: dict[str, Any]) -> str:
    level = found.get("level")
    if not isinstance(level, str) or level not in LEVELS:
        raise BadField("level", _wrong(found, "level", "one of " + ", ".join(LEVELS)))
    return level


def _message(found: dict[str, Any], limits: Limits) -> bytes:
    message = found.get("message")
    if not isinstance(message, str):
        raise BadField("message", _wrong(found, "message", "a string"))
    line = message.encode()
    most = MAX_MESSAGE
    if limits.max_line_size and not limits.max_line_size_truncate:
        most = min(most, limits.max_line_size)
    if len(line) > most:
        raise BadField("message", f"message has at most {most} bytes, this one has {len(line)}")
    return line


def _service(found: dict[str, Any], limits: Limits) -> str:
    service = found.get("service")
    if not isinstance(service, str) or not service:
        raise BadField("service", _wrong(found, "service", "a string that is not empty"))
    if len(service) > MAX_SERVICE:
        raise BadField("service", f"service has at most {MAX_SERVICE} characters, this one has {len(service)}")
    if len(service.encode()) > limits.max_label_value_length:
        raise BadField("service", f"service has at most {limits.max_label_value_length} bytes")
    return service


def _wrong(found: dict[str, Any], field: str, wanted: str) -> str:
    return f"{field} is not {wanted}" if field in found else f"{field} is missing"


_FIRST: I32 = np.zeros(1, np.int32)
_LEVEL_COLUMNS = {level.encode(): Column(_FIRST, texts([level.encode()])) for level in LEVELS}
"""Of a batch of one: shared by all, as batches are never written to."""
_STANDING = frozenset(("level", "message", "service", "timestamp"))


def _metadata(found: dict[str, Any], level: str, limits: Limits) -> dict[str, bytes]:
    """The structured metadata: the level and all further fields that are not null, as text or as JSON."""
    if not limits.allow_structured_metadata:
        for name in found:
            if name not in _STANDING:
                raise BadField(name, "further fields are structured metadata, which is not allowed")
        return {}
    metadata = {"level": level.encode()}
    if len(found) > 3:
        for name, value in found.items():
            if name not in _STANDING and value is not None:
                metadata[_field_name(name)] = value.encode() if isinstance(value, str) else _encode(value)
        metadata["level"] = level.encode()  # no other field becomes the level
        _check_metadata(metadata, limits)
    return metadata


def _check_metadata(metadata: dict[str, bytes], limits: Limits) -> None:
    most = limits.max_structured_metadata_entries_count
    if most and len(metadata) > most:
        raise BadField(BODY, f"an entry has at most {most} fields, this one has {len(metadata)}")
    most = limits.max_structured_metadata_size
    size = sum([len(name) + len(value) for name, value in metadata.items()])
    if most and size > most:
        raise BadField(BODY, f"further fields have at most {most} bytes, these have {size}")


def _field_name(name: str) -> str:
    try:
        return label_name(name)
    except PushFailed as failed:
        raise BadField(name or BODY, str(failed)) from None


def nanoseconds_of(value: Any) -> int:
    """A time: RFC 3339 text, or s, ms, us or ns since 1970, told apart by their size, as a number or its text.

    Raises:
        BadField: it is none, or not within what 64 bits of ns can say after 1970.
    """
    if isinstance(value, str):
        ts = _from_text(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        ts = _from_number(value)
    else:
        raise BadField("timestamp", "timestamp is neither RFC 3339 text nor a number")
    if not 0 < ts < LAST:
        raise BadField("timestamp", "timestamp is out of range")
    return ts


def _from_text(value: str) -> int:
    if value.isascii() and value.isdigit() and len(value) <= 19:
        return _from_number(int(value))
    try:
        return rfc3339_unbounded(value.encode())
    except BadTime:
        raise BadField("timestamp", "timestamp is neither RFC 3339 text nor a number") from None


def _from_number(value: float) -> int:
    """A number of s, ms, us or ns as ns. What stands behind the point counts to the microsecond, as floats have it."""
    size = abs(value)
    if size < _SECONDS_END:
        return value * 1_000_000_000 if isinstance(value, int) else round(value * 1_000_000) * 1000
    if size < _MILLISECONDS_END:
        return value * 1_000_000 if isinstance(value, int) else round(value * 1_000) * 1000
    if size < _MICROSECONDS_END:
        return int(value * 1_000)
    return int(value) if size <= LAST else LAST
