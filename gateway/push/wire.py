"""A walk over the wire format of a push, for one purpose: what Loki's generated code says about a malformed one."""

from __future__ import annotations

from dataclasses import dataclass

_EOF = "unexpected EOF"
_OVERFLOW = "proto: integer overflow"
_BYTES = 2


@dataclass(frozen=True, slots=True)
class _Message:
    """A message type: its Go name, and per field number the field's Go name, wire type and message type."""

    name: str
    fields: dict[int, tuple[str, int, _Message | None]]


_TIMESTAMP = _Message("Timestamp", {1: ("Seconds", 0, None), 2: ("Nanos", 0, None)})
_PAIR = _Message("LabelPairAdapter", {1: ("Name", _BYTES, None), 2: ("Value", _BYTES, None)})
_ENTRY = _Message(
    "EntryAdapter",
    {
        1: ("Timestamp", _BYTES, _TIMESTAMP),
        2: ("Line", _BYTES, None),
        3: ("StructuredMetadata", _BYTES, _PAIR),
        4: ("Parsed", _BYTES, _PAIR),
    },
)
_STREAM = _Message("StreamAdapter", {1: ("Labels", _BYTES, None), 2: ("Entries", _BYTES, _ENTRY), 3: ("Hash", 0, None)})
_REQUEST = _Message("PushRequest", {1: ("Streams", _BYTES, _STREAM), 2: ("Format", _BYTES, None)})


class _Malformed(Exception):  # noqa: N818 - internal: becomes a text
    pass


def refusal(raw: bytes) -> str | None:
    """What Loki answers to the message `raw`; None if it would take it. Linear in the message."""
    try:
        _walk(raw, 0, len(raw), _REQUEST)
    except _Malformed as malformed:
        return str(malformed)
    return None


def _walk(raw: bytes, at: int, end: int, message: _Message) -> None:
    while at < end:
        key, at = _varint(raw, at, end)
        number, kind = key >> 3, key & 7
        if kind == 4:
            raise _Malformed(f"proto: {message.name}: wiretype end group for non-group")
        if number <= 0:
            raise _Malformed(f"proto: {message.name}: illegal tag {number} (wire type {key})")
        known = message.fields.get(number)
        if known is None:
            at = _skip(raw, at, end, kind)
            continue
        name, expected, inner = known
        if kind != expected:
            raise _Malformed(f"proto: wrong wireType = {kind} for field {name}")
        if kind == 0:
            _, at = _varint(raw, at, end)
            continue
        size, at = _varint(raw, at, end)
        if at + size > end:
            raise _Malformed(_EOF)
        if inner is not None:
            _walk(raw, at, at + size, inner)
        at += size


def _varint(raw: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if at >= end:
            raise _Malformed(_EOF)
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Malformed(_OVERFLOW)


def _skip(raw: bytes, at: int, end: int, kind: int) -> int:
    """Where the unknown field at `at` ends; groups are skipped with what they hold."""
    depth = 0
    while True:
        if kind == 0:
            _, at = _varint(raw, at, end)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == _BYTES:
            size, at = _varint(raw, at, end)
            at += size
        elif kind == 3:
            depth += 1
        elif kind == 4:
            if depth == 0:
                raise _Malformed("proto: unexpected end of group")
            depth -= 1
        else:
            raise _Malformed(f"proto: illegal wireType {kind}")
        if at > end:
            raise _Malformed(_EOF)
        if depth == 0:
            return at
        key, at = _varint(raw, at, end)
        kind = key & 7
