"""The body of a WAL record: what it says, and its bytes. FORMAT.md is the specification; segments are wal.py's.

A body is a msgpack head and raw column buffers. An entries record holds one section per tenant: the label sets that the
segment has not named before, the requests (rows, batch id, digest), and the columns of one Batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgpack
import numpy as np

from storage.batch import MAX_COLUMNS, Batch, Column, Labels, Pairs, Texts
from storage.errors import CorruptSegment
from storage.kernels.arrival import lengths_of
from storage.rows import concat_batches

ALIGN = 8
_PADDING = tuple(b"\0" * n for n in range(ALIGN))
JOINED_BYTES = 64 << 10
"""Bytes of a body up to which new memory is no cost."""
KEPT_BYTES = 8 << 20
"""Bytes of a body up to which its memory is kept for the next one: a few pushes of 5,000 lines."""


@dataclass(frozen=True, slots=True)
class Request:
    """One push inside a section: its rows follow those of the request before it.

    Attributes:
        rows: entries stored for it (fewer than it sent where duplicates were dropped).
        batch_id: 16 bytes if the sender named one.
        digest: 16 bytes over the decoded contents, with a batch id.
    """

    rows: int
    batch_id: bytes | None = None
    digest: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One tenant's share of a record.

    Attributes:
        tenant: whose.
        new_streams: (number, labels) that this segment had not named yet.
        requests: the pushes, in order; their rows add up to the batch's.
        batch: the entries; its stream numbers are those of the process that wrote the segment.
        more: further entries on the same stream table, to be written behind the batch's; none in what is read.
        covers: (first, last) ranges of record numbers whose rows of this tenant a carried section repeats; else empty.
    """

    tenant: str
    new_streams: tuple[tuple[int, Labels], ...]
    requests: tuple[Request, ...]
    batch: Batch
    covers: tuple[tuple[int, int], ...] = ()
    more: tuple[Batch, ...] = ()


class _Buffers:
    """Collects buffers, each given in pieces and padded to a multiple of ALIGN.

    Attributes:
        pieces: contiguous arrays and bytes, none empty.
        sizes: bytes of each buffer, padding not counted.
        total: bytes of all pieces.
    """

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self.sizes: list[int] = []
        self.total = 0

    def add(self, arrays: Sequence[np.ndarray]) -> None:
        size = 0
        for array in arrays:
            if array.size:
                self.pieces.append(np.ascontiguousarray(array))
                size += array.nbytes
        padding = -size % ALIGN
        if padding:
            self.pieces.append(_PADDING[padding])
        self.sizes.append(size)
        self.total += size + padding

    def add_texts(self, values: Sequence[Texts]) -> None:
        lengths = []
        for part in values:
            own = np.empty(len(part.offsets) - 1, np.uint32)
            if lengths_of(part.offsets, own) >= 1 << 32:
                raise ValueError("a string of 4 GiB or more cannot be written to the WAL")
            lengths.append(own)
        self.add(lengths)
        self.add([part.compact().data for part in values])


class Encoder:
    """Makes bodies, one after the other, in memory that it keeps: new memory a record costs as much as filling it."""

    def __init__(self) -> None:
        self._room = memoryview(bytearray())

    def encode(self, sections: Sequence[Section]) -> memoryview:
        """The body of an entries or carried record; it may be read until the next call.

        Raises ValueError for one string of 4 GiB or more.
        """
        buffers = _Buffers()
        heads = [_put_section(section, buffers) for section in sections]
        head = msgpack.packb({"sections": heads, "buffers": buffers.sizes})
        lead = len(head).to_bytes(4, "little") + head
        lead += _PADDING[-len(lead) % ALIGN]
        size = len(lead) + buffers.total
        if size <= JOINED_BYTES:
            return memoryview(b"".join((lead, *buffers.pieces)))
        room = self._room if size <= len(self._room) else memoryview(bytearray(size))
        if size <= KEPT_BYTES:
            self._room = room
        room[: len(lead)] = lead
        at = len(lead)
        for piece in buffers.pieces:
            raw = memoryview(piece).cast("B")
            room[at : at + len(raw)] = raw
            at += len(raw)
        return room[:at]


def _put_section(section: Section, buffers: _Buffers) -> dict[str, Any]:
    """Adds the section's columns; returns its part of the head."""
    parts = [section.batch, *section.more]
    keys = list(dict.fromkeys(key for part in parts for key in part.metadata))
    if len(parts) > 1 and (len(keys) > MAX_COLUMNS or any(part.rest is not None for part in parts)):
        parts = [concat_batches(parts)]
        keys = list(parts[0].metadata)
    buffers.add([part.stream for part in parts])
    buffers.add([part.ts for part in parts])
    buffers.add_texts([part.lines for part in parts])
    for key in keys:
        codes, dictionaries, base = [], [], 0
        for part in parts:
            column = part.metadata.get(key)
            if column is None:
                codes.append(np.full(len(part), -1, np.int32))
                continue
            shifted = column.codes + np.int32(base)
            codes.append(np.where(column.codes < 0, np.int32(-1), shifted) if base else column.codes)
            dictionaries.append(column.values)
            base += len(column.values)
        buffers.add(codes)
        buffers.add_texts(dictionaries)
    rest = parts[0].rest
    if rest is not None:
        buffers.add([rest.offsets])
        buffers.add([rest.keys])
        buffers.add_texts([rest.values])
    return {
        "tenant": section.tenant,
        "rows": sum(map(len, parts)),
        "streams": section.new_streams,
        "requests": [(r.rows, r.batch_id, r.digest) for r in section.requests],
        "covers": section.covers,
        "keys": keys,
        "rest": rest.names if rest is not None else None,
    }


def encode(sections: Sequence[Section]) -> bytes:
    """A body in memory of its own, as Encoder makes it."""
    return bytes(Encoder().encode(sections))


class _Reader:
    """Hands out the buffers of a body in order."""

    def __init__(self, body: bytes, at: int, sizes: list[int]) -> None:
        self._body = body
        self._at = at
        self._sizes: Iterator[int] = iter(sizes)

    def take(self, dtype: Any) -> np.ndarray:
        size = next(self._sizes)
        if self._at + size > len(self._body):
            raise CorruptSegment("a buffer ends past the record")
        array = np.frombuffer(self._body, dtype, size // np.dtype(dtype).itemsize, self._at)
        self._at += size + (-size % ALIGN)
        return array

    def take_texts(self) -> Texts:
        lengths = self.take(np.uint32)
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return Texts(self.take(np.uint8), offsets)


def decode(body: bytes) -> list[Section]:
    """The sections of a body; their batches are views into it and have no stream table yet (`streams` is empty).

    Raises CorruptSegment if the body is not one; its CRC was right, so that means a fault of the writer.
    """
    try:
        size = int.from_bytes(body[:4], "little")
        head = msgpack.unpackb(body[4 : 4 + size], use_list=False)
        lead = 4 + size
        reader = _Reader(body, lead + (-lead % ALIGN), head["buffers"])
        return [_decode_section(item, reader) for item in head["sections"]]
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise CorruptSegment(f"a record with a right checksum has a body that cannot be read: {error}") from error


def _decode_section(head: Any, reader: _Reader) -> Section:
    stream, ts, lines = reader.take(np.int32), reader.take(np.int64), reader.take_texts()
    metadata = {key: Column(reader.take(np.int32), reader.take_texts()) for key in head["keys"]}
    rest = None
    if head["rest"] is not None:
        offsets, keys = reader.take(np.int64), reader.take(np.int32)
        rest = Pairs(offsets, keys, tuple(head["rest"]), reader.take_texts())
    if not len(stream) == len(ts) == len(lines) == head["rows"]:
        raise CorruptSegment("columns of a record differ in length")
    return Section(
        tenant=head["tenant"],
        new_streams=tuple((number, tuple(labels)) for number, labels in head["streams"]),
        requests=tuple(Request(*item) for item in head["requests"]),
        batch=Batch((), stream, ts, lines, metadata, rest),
        covers=tuple(head["covers"]),
    )


def with_streams(section: Section, streams: Sequence[Labels], numbers: np.ndarray) -> Batch:
    """The section's batch on the table `streams`, its numbers mapped by `numbers`."""
    return replace(section.batch, streams=streams, stream=numbers[section.batch.stream].astype(np.int32))
