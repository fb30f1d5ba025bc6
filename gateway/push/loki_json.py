"""JSON pushes: `streams[].stream` and `values` (v1), or `labels` and `entries` (/api/prom/push).

The fast paths read what well-behaved clients send: a kernel (json_walk.py) the plain kind of v1, msgspec the rest.
They accept nothing that the exact decoder would refuse or read otherwise; whatever they refuse or are not sure of, the
exact decoder decides, and words the refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from gateway.push.encodings import Payload
from gateway.push.json_exact import ReadEntry, ReadPairs, ReadStream, decode_exact
from gateway.push.json_walk import walked
from gateway.push.label_text import labels_from_pairs, labels_from_text
from gateway.push.times import BadTime, rfc3339
from storage.batch import Batch, Column, Labels, Pairs, Texts, texts
from storage.build import columns_of_pairs


# Keys that are unknown here may be a known one in other letters or a format of its own: the exact decoder knows.
class _Entry(msgspec.Struct, array_like=True, gc=False):
    ts: str
    line: str = ""
    metadata: dict[str, str] | UnsetType = UNSET


class _Stream(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    stream: dict[str, str] = {}
    values: list[_Entry] | None = None


class _Push(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    streams: list[_Stream]


class _LegacyEntry(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    ts: str
    line: str = ""


class _LegacyStream(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    labels: str
    entries: list[_LegacyEntry] | None = None


class _LegacyPush(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    streams: list[_LegacyStream]


WALKED_BYTES = 4 << 10
"""Bodies from which on the kernel is asked first: below, msgspec is as quick."""

_decode_push = msgspec.json.Decoder(_Push).decode
_decode_stream = msgspec.json.Decoder(_Stream).decode
_decode_legacy = msgspec.json.Decoder(_LegacyPush).decode


class _Unsure(Exception):  # noqa: N818 - internal: the exact decoder is to decide
    pass


def decode_json(payload: Payload, read_pairs: ReadPairs = labels_from_pairs, *, legacy: bool) -> Batch:
    """The entries of a JSON push; streams without entries stay in the table.

    Args:
        payload: the body.
        read_pairs: makes a label set of a `stream` object.
        legacy: whether the body has the format of /api/prom/push.

    Raises:
        MalformedPush: the body or a label set is refused.
        PushTooLarge: a label set is too long.
    """
    if not legacy and len(payload.data) >= WALKED_BYTES:
        batch = walked(payload.data, read_pairs)
        if batch is not None:
            return batch
    try:
        return _decode_legacy_fast(payload.data) if legacy else _decode_fast(payload.data, read_pairs)
    except (msgspec.DecodeError, _Unsure, RecursionError, UnicodeError):
        return decode_exact(payload, read_pairs, legacy=legacy, read_quickly=_read_quickly)


def _read_quickly(element: bytes) -> ReadStream | None:
    """A stream of a body that is odd elsewhere, if there is nothing odd about it itself."""
    try:
        stream = _decode_stream(element)
        entries = stream.values or ()
        times = _times([entry.ts for entry in entries]).tolist()
    except (msgspec.DecodeError, _Unsure, RecursionError, UnicodeError):
        return None
    return ReadStream(
        stream.stream,
        [
            ReadEntry(
                ts,
                entry.line.encode(),
                [] if entry.metadata is UNSET else [(name, value.encode()) for name, value in entry.metadata.items()],
            )
            for ts, entry in zip(times, entries, strict=True)
        ],
    )


def _decode_fast(body: bytes, read_pairs: ReadPairs) -> Batch:
    push = _decode_push(body)
    runs = [stream.values or () for stream in push.streams]
    entries = [entry for run in runs for entry in run]
    ts = _times([entry.ts for entry in entries])
    lines = _lines([entry.line for entry in entries])
    rows = [row for row, entry in enumerate(entries) if entry.metadata is not UNSET and entry.metadata]
    return _batch([read_pairs(stream.stream) for stream in push.streams], runs, ts, lines, entries, rows)


def _decode_legacy_fast(body: bytes) -> Batch:
    push = _decode_legacy(body)
    runs = [stream.entries or () for stream in push.streams]
    entries = [entry for run in runs for entry in run]
    try:
        ts = np.array([rfc3339(entry.ts.encode()) for entry in entries], np.int64)
    except BadTime:
        raise _Unsure from None
    lines = _lines([entry.line for entry in entries])
    return _batch([labels_from_text(stream.labels.encode()) for stream in push.streams], runs, ts, lines, (), ())


def _batch(
    streams: Sequence[Labels],
    runs: Sequence[Sequence[Any]],
    ts: Any,
    lines: Texts,
    entries: Sequence[_Entry],
    with_metadata: Iterable[int],
) -> Batch:
    names: dict[str, int] = {}
    pair_row: list[int] = []
    pair_name: list[int] = []
    values: list[bytes] = []
    for row in with_metadata:
        pairs = entries[row].metadata
        assert pairs is not UNSET
        for name, value in pairs.items():
            pair_row.append(row)
            pair_name.append(names.setdefault(name, len(names)))
            values.append(value.encode())
    columns: dict[str, Column] = {}
    rest: Pairs | None = None
    if values:
        columns, rest = columns_of_pairs(
            len(ts), tuple(names), np.array(pair_row, np.int64), np.array(pair_name, np.int32), texts(values)
        )
    if len(runs) == 1:
        stream = np.zeros(len(ts), np.int32)
    else:
        counts = np.fromiter(map(len, runs), np.int64, len(runs))
        stream = np.repeat(np.arange(len(runs), dtype=np.int32), counts)
    return Batch(streams, stream, ts, lines, columns, rest)


def _times(values: list[str]) -> Any:
    """int64[n] of decimal texts without sign, or _Unsure."""
    joined = "".join(values)
    if not (joined.isascii() and (joined.isdigit() or not values)) or "" in values:
        raise _Unsure
    try:
        return np.array(list(map(int, values)), np.int64)
    except (OverflowError, ValueError):
        raise _Unsure from None


def _lines(values: list[str]) -> Texts:
    """The lines in one buffer: encoded all at once where they are ASCII."""
    joined = "".join(values)
    if not joined.isascii():
        return texts([value.encode() for value in values])
    offsets = np.zeros(len(values) + 1, np.int64)
    np.add.accumulate(np.fromiter(map(len, values), np.int64, len(values)), out=offsets[1:])
    return Texts(np.frombuffer(joined.encode(), np.uint8), offsets)
