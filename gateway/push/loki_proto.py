"""Protobuf pushes: a PushRequest as raw wire format, into columns.

A kernel walks the wire format; Python objects are made per stream and per distinct metadata key only. Whatever the
kernel is not sure of is left to the protobuf library (proto_exact.py), refusals among it.
"""

from __future__ import annotations

import numpy as np

from gateway.push.kernels.protobuf import NAME_END, NAME_START, PAIR_ROW, VALUE_END, VALUE_START, fill, measure
from gateway.push.label_text import labels_from_text
from gateway.push.proto_exact import decode_exact
from gateway.push.times import ZERO_TIME
from storage.batch import I32, I64, U8, U32, Batch, Column, Packed, Pairs, Texts
from storage.build import SEED, TextSpans, columns_of_spans
from storage.kernels.spans import distinct

_NO_PAIRS: I64 = np.empty((5, 0), np.int64)
_NO_GAPS: U32 = np.empty(0, np.uint32)

PACKED_FROM = 16 << 10
"""Bytes of a snappy block from which it is worth handing on."""


def decode_protobuf(raw: bytes | U8, block: bytes = b"") -> Batch:
    """The entries of a decompressed push; streams without entries stay in the table.

    Args:
        raw: the message. Nothing of the batch is a view of it.
        block: the message as it came, in snappy's block format; the lines refer to it where it may spare the log the
            work of compressing them again.

    Raises:
        MalformedPush: the message, a time or a label set is refused.
        PushTooLarge: a label set is too long.
    """
    data = np.frombuffer(raw, np.uint8) if isinstance(raw, bytes) else raw
    streams, entries, line_bytes, count = measure(data)
    if streams < 0:  # the kernel is not sure
        return decode_exact(bytes(raw))
    labels: I64 = np.empty((streams, 2), np.int64)
    stream: I32 = np.empty(entries, np.int32)
    ts: I64 = np.empty(entries, np.int64)
    offsets: I64 = np.empty(entries + 1, np.int64)
    lines: U8 = np.empty(line_bytes, np.uint8)
    pairs: I64 = np.empty((5, count), np.int64) if count else _NO_PAIRS
    packs = len(block) >= PACKED_FROM and not count and _is_tight(len(block), line_bytes)
    gaps: U32 = np.empty(entries, np.uint32) if packs else _NO_GAPS
    fill(data, ZERO_TIME, labels, stream, ts, offsets, lines, gaps, pairs)
    columns, rest = _metadata(data, entries, pairs) if count else ({}, None)
    return Batch(
        streams=[labels_from_text(data[start:end].tobytes()) for start, end in labels.tolist()],
        stream=stream,
        ts=ts,
        lines=Texts(lines, offsets, Packed(block, len(data), gaps) if packs else None),
        metadata=columns,
        rest=rest,
    )


def _is_tight(size: int, line_bytes: int) -> bool:
    """Whether a block of `size` bytes is about as small as the log could make its lines: a sender may not try."""
    return 2 * size <= line_bytes


def _metadata(data: U8, entries: int, pairs: I64) -> tuple[dict[str, Column], Pairs | None]:
    starts, ends = pairs[NAME_START], pairs[NAME_END]
    key: I32 = np.empty(len(starts), np.int32)
    firsts: I64 = np.empty(len(starts), np.int64)
    firsts = firsts[: distinct(data, starts, ends, SEED, key, firsts)]
    names = [
        data[start:end].tobytes().decode("utf-8", "surrogateescape")
        for start, end in zip(starts[firsts].tolist(), ends[firsts].tolist(), strict=True)
    ]
    return columns_of_spans(entries, names, pairs[PAIR_ROW], key, TextSpans(data, pairs[VALUE_START], pairs[VALUE_END]))
