"""JSON pushes (/loki/api/v1/push) by a kernel: Python objects are made per stream and per distinct metadata key only.

What the kernel is not sure of is left to msgspec (loki_json.py), which decides or hands it on.
"""

from __future__ import annotations

import msgspec
import numpy as np

from gateway.push.json_exact import ReadPairs
from gateway.push.kernels.json import (
    LABELS_END,
    LABELS_START,
    NAME_END,
    NAME_SIZE,
    NAME_START,
    PAIR_ROW,
    STREAM_ENTRIES,
    VALUE_END,
    VALUE_SIZE,
    VALUE_START,
    unescape,
    walk,
)
from storage.batch import I32, I64, U8, Batch, Column, Pairs, Texts
from storage.build import SEED, columns_of_pairs, text_spans
from storage.kernels.spans import distinct

_STREAMS = 64
_ENTRY_BYTES, _PAIR_BYTES = 128, 64
"""Room that a walk is given at first: streams, and body bytes an entry and a pair. Where it is too little, the body is
walked again, with what it takes; so bodies of very short lines are walked twice, and none takes more than it fills."""

_labels_of = msgspec.json.Decoder(dict[str, str]).decode


def walked(body: bytes, read_pairs: ReadPairs) -> Batch | None:
    """The entries of a body, or None where it is not of the plain kind; streams without entries stay in the table.

    Raises:
        MalformedPush: a label set is refused.
        PushTooLarge: a label set is too long.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return None
    raw = np.frombuffer(body, np.uint8)
    data: U8 = np.empty(len(body) + 8, np.uint8)
    room = _STREAMS, len(body) // _ENTRY_BYTES + 1, len(body) // _PAIR_BYTES
    while True:
        streams: I64 = np.empty((room[0], 3), np.int64)
        ts: I64 = np.empty(room[1], np.int64)
        offsets: I64 = np.empty(room[1] + 1, np.int64)
        pairs: I64 = np.empty((7, room[2]), np.int64)
        count, rows, held, size = walk(raw, streams, ts, offsets, data, pairs)
        if count < 0:
            return None
        if count <= room[0] and rows <= room[1] and held <= room[2]:
            break
        room = count, rows, held
    data.resize(size, refcheck=False)  # nobody else has it; what was not filled goes back to the system
    streams = streams[:count]
    try:
        labels = [_labels_of(body[a:b]) for a, b in streams[:, LABELS_START : LABELS_END + 1].tolist()]
    except msgspec.DecodeError:
        return None
    columns, rest = _metadata(raw, rows, pairs[:, :held]) if held else ({}, None)
    return Batch(
        [read_pairs(own) for own in labels],
        np.repeat(np.arange(count, dtype=np.int32), streams[:, STREAM_ENTRIES]),
        ts[:rows].copy(),
        Texts(data, offsets[: rows + 1].copy()),
        columns,
        rest,
    )


def _texts(raw: U8, starts: I64, ends: I64, sizes: I64) -> Texts:
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    out = np.empty(int(offsets[-1]), np.uint8)
    unescape(raw, starts, ends, offsets, out)
    return Texts(out, offsets)


def _metadata(raw: U8, rows: int, pairs: I64) -> tuple[dict[str, Column], Pairs | None]:
    written = _texts(raw, pairs[NAME_START], pairs[NAME_END], pairs[NAME_SIZE])
    key: I32 = np.empty(len(written), np.int32)
    firsts: I64 = np.empty(len(written), np.int64)
    spans = text_spans(written)
    firsts = firsts[: distinct(spans.data, spans.starts, spans.ends, SEED, key, firsts)]
    names = [written[first].decode() for first in firsts.tolist()]
    values = _texts(raw, pairs[VALUE_START], pairs[VALUE_END], pairs[VALUE_SIZE])
    return columns_of_pairs(rows, names, pairs[PAIR_ROW], key, values)
