"""A batch as the body of a push: Loki's JSON or protobuf, by columns. Streams in the batch's order, rows in theirs.

The order of rows within a stream is kept, and nothing is left out: JSON is only for batches whose bytes are UTF-8, as
it has no way to say others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cramjam
import numpy as np

from gateway.query.gojson import labels_json
from gateway.query.kernels.entries import entry_sizes as json_sizes
from gateway.query.kernels.entries import write_entries as write_json
from gateway.relay.kernels.entries import entry_sizes as proto_sizes
from gateway.relay.kernels.entries import write_entries as write_proto
from storage.batch import I64, Batch, Texts, texts
from storage.labels import labels_text
from storage.rows import metadata_pairs

Compression: TypeAlias = Literal["gzip", "snappy", "none"]

GZIP_LEVEL = 4
"""Of 1 to 9."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is posted.

    Attributes:
        content: the bytes.
        headers: what they are.
    """

    content: bytes
    headers: dict[str, str]


def encode(batch: Batch, compression: Compression) -> Body:
    """A batch as a push. One whose lines JSON cannot say goes as protobuf, whatever the compression.

    Args:
        batch: without a selection; `streams` has just the label sets that it uses.
        compression: gzip: JSON, packed; snappy: protobuf, packed; none: JSON.
    """
    if compression == "snappy" or not _is_text(batch):
        body = bytes(cramjam.snappy.compress_raw(protobuf_of(batch)))
        return Body(body, {"Content-Type": "application/x-protobuf"})
    body = json_of(batch)
    headers = {"Content-Type": "application/json"}
    if compression == "gzip":
        body = bytes(cramjam.gzip.compress(body, level=GZIP_LEVEL))
        headers["Content-Encoding"] = "gzip"
    return Body(body, headers)


def _is_text(batch: Batch) -> bool:
    """Whether lines, labels and metadata are UTF-8."""
    return (
        _are_utf8(batch.lines)
        and all(_are_utf8(column.values) for column in batch.metadata.values())
        and (batch.rest is None or _are_utf8(batch.rest.values))
        and not any(_has_surrogate(text) for labels in batch.streams for pair in labels for text in pair)
        and not any(map(_has_surrogate, (*batch.metadata, *(batch.rest.names if batch.rest else ()))))
    )


def _are_utf8(lines: Texts) -> bool:
    data = lines.data[lines.offsets[0] : lines.offsets[-1]]
    try:
        str(data.data, "utf-8")
    except UnicodeDecodeError:
        return False
    starts = lines.offsets[:-1][lines.lengths > 0] - lines.offsets[0]
    return not bool(((data[starts] & 0xC0) == 0x80).any())  # a character that two lines share


def _has_surrogate(text: str) -> bool:
    return not text.isprintable() and any("\ud800" <= char <= "\udfff" for char in text)


def json_of(batch: Batch) -> bytes:
    """`{"streams":[{"stream":{...},"values":[["<ns>","<line>",{...}], ...]}, ...]}`."""
    if not len(batch):
        return b'{"streams":[]}'
    order, stream = _by_stream(batch)
    third, thirds = _metadata(batch, lambda pairs: labels_json((n, _text(v)) for n, v in pairs))
    heads = [b'{"stream":%b,"values":[' % labels_json(labels) for labels in batch.streams]
    leads = texts([b",", *(heads[:1]), *(b"]}," + head for head in heads[1:])])
    lead = np.where(np.diff(stream, prepend=-1) != 0, stream + 1, 0)
    ts, third, lines = batch.ts[order], third[order], batch.lines
    sizes = np.empty(len(order), np.int64)
    json_sizes(ts, lines.data, lines.offsets, order, lead, leads.offsets, third, thirds.offsets, sizes)
    out = np.empty(int(sizes.sum()), np.uint8)
    write_json(
        ts, lines.data, lines.offsets, order, lead, leads.data, leads.offsets, third, thirds.data, thirds.offsets, out
    )
    return b'{"streams":[%b]}]}' % out.tobytes()


def protobuf_of(batch: Batch) -> bytes:
    """logproto.PushRequest."""
    order, stream = _by_stream(batch)
    third, thirds = _metadata(batch, lambda pairs: b"".join(_pair(name, value) for name, value in pairs))
    ts, third, lines = batch.ts[order], third[order], batch.lines
    inside, whole = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    proto_sizes(ts, lines.offsets, order, third, thirds.offsets, inside, whole)
    entries = np.bincount(stream, whole, len(batch.streams)).astype(np.int64)
    heads = []
    for labels, size in zip(batch.streams, entries.tolist(), strict=True):
        said = _field(0x0A, labels_text(labels).encode("utf-8", "surrogateescape"))
        heads.append(b"\x0a" + _varint(len(said) + size) + said)
    # Before the entries of each stream stands its head; all entries are in order of streams.
    lengths = np.array([len(head) for head in heads], np.int64)
    before = np.cumsum(lengths)
    places = np.cumsum(whole) - whole + before[stream]
    out = np.empty(int(whole.sum() + lengths.sum()), np.uint8)
    ends = np.cumsum(entries + lengths)
    for head, at in zip(heads, (ends - entries - lengths).tolist(), strict=True):
        out[at : at + len(head)] = np.frombuffer(head, np.uint8)
    write_proto(ts, lines.offsets, order, third, thirds.offsets, inside, lines.data, thirds.data, places, out)
    return out.tobytes()


def _by_stream(batch: Batch) -> tuple[I64, I64]:
    """Rows in the order of streams, and the stream of each, int64[n]."""
    order = np.argsort(batch.stream, kind="stable")
    return order, batch.stream[order].astype(np.int64)


def _metadata(batch: Batch, write: Callable[[list[tuple[str, bytes]]], bytes]) -> tuple[I64, Texts]:
    """Each row's metadata as written: int64[n], which text (-1: it has none), and the texts. Equal ones are one."""
    third = np.full(len(batch), -1, np.int64)
    if not batch.metadata and batch.rest is None:
        return third, texts([])
    row, key, names, values = metadata_pairs(batch)
    if not len(row):
        return third, texts([])
    held = list(zip(key.tolist(), values.tolist(), strict=True))
    first = np.flatnonzero(np.diff(row, prepend=-1))
    ends = [*first[1:].tolist(), len(held)]
    known: dict[tuple[tuple[int, bytes], ...], int] = {}
    third[row[first]] = [
        known.setdefault(tuple(held[a:b]), len(known)) for a, b in zip(first.tolist(), ends, strict=True)
    ]
    return third, texts(write([(names[number], value) for number, value in pairs]) for pairs in known)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _pair(name: str, value: bytes) -> bytes:
    return _field(0x1A, _field(0x0A, name.encode("utf-8", "surrogateescape")) + _field(0x12, value))


def _field(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
