"""Protobuf pushes by the protobuf library: what decides about every message, an entry at a time.

The kernel that walks the wire format hands over whatever it is not sure of, and is tested against this. When the
library refuses, a plain walk of the wire format finds what Loki says. The library is laxer than Loki in one thing: a
known field of another wire type is an unknown one to it, and skipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from gateway.push.errors import MalformedPush
from gateway.push.label_text import labels_from_text
from gateway.push.push_messages import PushRequest
from gateway.push.times import ZERO_TIME, nanoseconds
from gateway.push.wire import refusal
from storage.batch import Batch, texts
from storage.build import columns_of_pairs

_SECONDS_FIRST, _SECONDS_END = -62135596800, 253402300800
"""What google.protobuf.Timestamp may say: the years 1 to 9999."""


def decode_exact(raw: bytes) -> Batch:
    """The entries of a decompressed push; streams without entries stay in the table.

    Raises:
        MalformedPush: the message, a time or a label set is refused.
        PushTooLarge: a label set is too long.
    """
    request = PushRequest()
    try:
        request.ParseFromString(raw)
    except DecodeError:
        raise MalformedPush(refusal(raw) or "unexpected EOF") from None
    streams = request.streams
    ts: list[int] = []
    lines: list[bytes] = []
    counts: list[int] = []
    keys: dict[bytes, int] = {}
    pair_row: list[int] = []
    pair_key: list[int] = []
    values: list[bytes] = []
    for stream in streams:
        entries = stream.entries
        counts.append(len(entries))
        for entry in entries:
            if pairs := entry.structured_metadata:
                row = len(lines)
                for pair in pairs:
                    pair_row.append(row)
                    pair_key.append(keys.setdefault(pair.name, len(keys)))
                    values.append(pair.value)
            ts.append(_time(entry.timestamp) if entry.HasField("timestamp") else ZERO_TIME)
            lines.append(entry.line)
    columns, rest = columns_of_pairs(
        len(lines),
        tuple(key.decode("utf-8", "surrogateescape") for key in keys),
        np.array(pair_row, np.int64),
        np.array(pair_key, np.int32),
        texts(values),
    )
    return Batch(
        streams=[labels_from_text(stream.labels) for stream in streams],
        stream=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        ts=np.array(ts, np.int64),
        lines=texts(lines),
        metadata=columns,
        rest=rest,
    )


def _time(stamp: Any) -> int:
    seconds, nanos = stamp.seconds, stamp.nanos
    shown = f"seconds:{seconds} " * (seconds != 0) + f"nanos:{nanos} " * (nanos != 0)
    if seconds < _SECONDS_FIRST:
        raise MalformedPush(f"timestamp: {shown} before 0001-01-01")
    if seconds >= _SECONDS_END:
        raise MalformedPush(f"timestamp: {shown} after 10000-01-01")
    if not 0 <= nanos < 1_000_000_000:
        raise MalformedPush(f"timestamp: {shown}: nanos not in range [0, 1e9)")
    return nanoseconds(seconds, nanos)
