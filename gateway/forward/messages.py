"""One message of Fluent Forward, of any mode, as tag, options and the bytes of its entries (Forward protocol v1).

Entries stay msgpack: what is in them is the mapping's affair. Strings stay bytes, as senders put binary in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import msgpack

from gateway.forward.wire import BadWire, Buffer, object_ends

_MAX_OPTIONS = 4096
"""Pairs in an option map."""

_MAX_MEMBERS = 4
"""A message has a tag, a time or entries, a record, an option map."""

NIL = 0xC0
_ENTRY = b"\x92"
"""Begins an array of two."""

_View = TypeVar("_View", bytes, memoryview)


class Mode(StrEnum):
    """How a message carries its entries."""

    MESSAGE = "message"
    FORWARD = "forward"
    PACKED = "packed"


class BadMessage(Exception):  # noqa: N818 - named for what came
    """A message that is sound msgpack and yet none of Fluent Forward's. The connection can go on.

    Attributes:
        reason: short, for the counter.
        chunk: as in Message.
    """

    def __init__(self, reason: str, chunk: bytes | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.chunk = chunk


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        mode: how it carried its entries.
        tag: as sent.
        entries: entries `[time, record]` or `[[time, metadata], record]` one after the other; in PackedForward the
            payload as it came, maybe compressed. May be a view of what was parsed.
        option: the option map; text that is not UTF-8 has surrogates in it.
        chunk: the msgpack object under `chunk` as it was sent, which the acknowledgement repeats; None: none is wanted.
    """

    mode: Mode
    tag: bytes
    entries: Buffer
    option: Mapping[str, object] = field(default_factory=dict)
    chunk: bytes | None = None

    @property
    def signal(self) -> int:
        """What Fluent Bit says the entries are: 0 logs, 1 metrics, 2 traces, 3 blobs, 4 profiles."""
        found = self.option.get("fluent_signal", 0)
        return found if isinstance(found, int) else 0


def ack(chunk: bytes) -> bytes:
    """The acknowledgement of a chunk."""
    return b"\x81\xa3ack" + chunk


def parse_message(data: Buffer) -> Message:
    """Reads a whole message.

    Args:
        data: one msgpack array, all of it.

    Raises:
        BadMessage: it is no message of Fluent Forward.
    """
    data = memoryview(data)
    count, first = _array_head(data)
    if count < 2:
        raise BadMessage("too_short", None)
    ends = object_ends(data, first, min(count, _MAX_MEMBERS)).tolist()
    starts = [first, *ends[:-1]]
    second = data[starts[1]]
    mode = _mode(data, second, starts, len(ends))
    place = 3 if mode is Mode.MESSAGE else 2
    option, chunk = _option(bytes(data[starts[place] : ends[place]])) if len(ends) > place else ({}, None)
    if not _is_text(data[first]):
        raise BadMessage("tag_type", chunk)
    tag = bytes(_body(data[first : ends[0]]))
    if mode is None:
        raise BadMessage("unknown_mode", chunk)
    if mode is Mode.MESSAGE:
        if len(ends) < 3:
            raise BadMessage("too_short", chunk)
        entry = _entry(bytes(data[starts[1] : ends[1]]), bytes(data[starts[2] : ends[2]]), option)
        return Message(mode, tag, entry, option, chunk)
    if mode is Mode.PACKED:
        return Message(mode, tag, _body(data[starts[1] : ends[1]]), option, chunk)
    _, inner = _array_head(data, starts[1])
    return Message(mode, tag, data[inner : ends[1]], option, chunk)


def _mode(data: memoryview, second: int, starts: list[int], members: int) -> Mode | None:
    if _is_text(second):
        return Mode.PACKED
    if _is_array(second):
        # Fluentd takes an array as the time of a single message; a Forward message has arrays in its array.
        inner_count, inner = _array_head(data, starts[1])
        timed = inner_count == 2 and members > 2 and _is_time(data[inner]) and _is_map(data[starts[2]])
        return Mode.MESSAGE if timed and (members == _MAX_MEMBERS or inner_count == 2) else Mode.FORWARD
    return Mode.MESSAGE if _is_time(second) else None


def _entry(time: bytes, record: bytes, option: Mapping[str, object]) -> bytes:
    metadata = option.get("metadata")
    if isinstance(metadata, dict) and not _is_array(time[0]):
        time = _ENTRY + time + msgpack.packb(metadata, unicode_errors="surrogateescape")
    return _ENTRY + time + record


def _option(data: bytes) -> tuple[dict[str, object], bytes | None]:
    if not _is_map(data[0]):  # nil: Docker 18's
        return {}, None
    count, first = _map_head(data)
    chunk = None
    ends = object_ends(data, first, 2 * min(count, _MAX_OPTIONS)).tolist()
    starts = [first, *ends[:-1]]
    for key in range(0, len(ends), 2):
        if _is_text(data[starts[key]]) and _body(data[starts[key] : ends[key]]) == b"chunk":
            chunk = data[starts[key + 1] : ends[key + 1]]
    if chunk is not None and chunk[0] == NIL:
        chunk = None
    try:
        found = msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="surrogateescape")
    except (ValueError, TypeError) as error:  # a bad timestamp; a key that is a map
        raise BadMessage("bad_option", chunk) from error
    return {key: value for key, value in found.items() if isinstance(key, str)}, chunk


def _array_head(data: memoryview, at: int = 0) -> tuple[int, int]:
    """Members of an array, and where the first begins."""
    head = data[at]
    if head in (0xDC, 0xDD):
        size = 2 if head == 0xDC else 4
        return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size
    if not _is_array(head):
        raise BadWire("not_a_message", "no array where one must be")
    return head & 0x0F, at + 1


def _map_head(data: bytes) -> tuple[int, int]:
    head = data[0]
    if head in (0xDE, 0xDF):
        size = 2 if head == 0xDE else 4
        return int.from_bytes(data[1 : 1 + size], "big"), 1 + size
    return head & 0x0F, 1


def _body(data: _View) -> _View:
    """The bytes of a str or bin."""
    head = data[0]
    if head in (0xC4, 0xD9):
        return data[2:]
    if head in (0xC5, 0xDA):
        return data[3:]
    return data[5:] if head in (0xC6, 0xDB) else data[1:]


def _is_text(head: int) -> bool:
    return 0xA0 <= head <= 0xBF or 0xC4 <= head <= 0xC6 or 0xD9 <= head <= 0xDB


def _is_array(head: int) -> bool:
    return 0x90 <= head <= 0x9F or head in (0xDC, 0xDD)


def _is_map(head: int) -> bool:
    return 0x80 <= head <= 0x8F or head in (0xDE, 0xDF)


def _is_time(head: int) -> bool:
    """Whether a time begins: integer, float, extension, or nil, which some senders write for now."""
    return head <= 0x7F or head >= 0xE0 or head == NIL or 0xC7 <= head <= 0xD8
