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

from storage.batch import Batch, Column, Labels, Pairs, Texts
from storage.errors import CorruptSegment

ALIGN = 8
_PADDING = (b"", *(b"\0" * n for n in range(1, ALIGN)))


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
        covers: (first, last) ranges of record numbers whose rows of this tenant a carried section repeats; else empty.
    """

    tenant: str
    new_streams: tuple[tuple[int, Labels], ...]
    requests: tuple[Request, ...]
    batch: Batch
    covers: tuple[tuple[int, int], ...] = ()


class _Buffers:
    """Collects buffers; each starts at a multiple of ALIGN."""

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.sizes: list[int] = []

    def add(self, array: np.ndarray) -> None:
        raw = np.ascontiguousarray(array).data.cast("B") if array.size else b""
        self.parts.append(raw)
        self.parts.append(_PADDING[-len(raw) % ALIGN])
        self.sizes.append(len(raw))

    def add_texts(self, values: Texts) -> None:
        values = values.compact()
        lengths = values.lengths
        if len(lengths) and int(lengths.max()) >= 1 << 32:
            raise ValueError("a string of 4 GiB or more cannot be written to the WAL")
        self.add(lengths.astype(np.uint32))
        self.add(values.data)


def encode(sections: Sequence[Section]) -> bytes:
    """The body of an entries or carried record. Raises ValueError for one string of 4 GiB or more."""
    heads = []
    buffers = _Buffers()
    for section in sections:
        batch = section.batch
        buffers.add(batch.stream)
        buffers.add(batch.ts)
        buffers.add_texts(batch.lines)
        for column in batch.metadata.values():
            buffers.add(column.codes)
            buffers.add_texts(column.values)
        if batch.rest is not None:
            buffers.add(batch.rest.offsets)
            buffers.add(batch.rest.keys)
            buffers.add_texts(batch.rest.values)
        heads.append(
            {
                "tenant": section.tenant,
                "rows": len(batch),
                "streams": section.new_streams,
                "requests": [(r.rows, r.batch_id, r.digest) for r in section.requests],
                "covers": section.covers,
                "keys": list(batch.metadata),
                "rest": batch.rest.names if batch.rest is not None else None,
            }
        )
    head = msgpack.packb({"sections": heads, "buffers": buffers.sizes})
    lead = len(head).to_bytes(4, "little") + head
    return b"".join((lead, _PADDING[-len(lead) % ALIGN], *buffers.parts))


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
