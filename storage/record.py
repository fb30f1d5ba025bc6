"""The body of a WAL record: what it says, and its bytes. FORMAT.md is the specification; segments are wal.py's.

A body is a msgpack head and raw column buffers, and behind them blocks that came compressed. An entries record holds
one section per tenant: the label sets that the segment has not named before, the requests (rows, batch id, digest), and
the columns of one Batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgpack
import numpy as np
import pyarrow as pa

from storage.batch import I64, MAX_COLUMNS, U8, Batch, Column, Labels, Packed, Pairs, Texts, concat_texts
from storage.errors import CorruptSegment
from storage.kernels.arrival import lengths_of
from storage.kernels.spans import gather
from storage.rows import concat_batches

_SNAPPY = pa.Codec("snappy")

ALIGN = 8
_PADDING = tuple(b"\0" * n for n in range(ALIGN))
JOINED_BYTES = 64 << 10
"""Bytes of a body up to which new memory is no cost."""
KEPT_BYTES = 8 << 20
"""Bytes of a body up to which its memory is kept for the next one: a few pushes of 5,000 lines."""


@dataclass(frozen=True, slots=True)
class Sender:
    """The server that passed a batch on.

    Attributes:
        name: of the instance.
        path: ids of the servers that the batch came through, the first of them first.
    """

    name: str
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One push inside a section: its rows follow those of the request before it.

    Attributes:
        rows: entries stored for it (fewer than it sent where duplicates were dropped).
        batch_id: 16 bytes if the sender named one.
        digest: 16 bytes over the decoded contents, with a batch id.
        sender: the server that passed it on, with a batch id, if it said who it is.
        sent: entries that it sent, with a sender.
    """

    rows: int
    batch_id: bytes | None = None
    digest: bytes | None = None
    sender: Sender | None = None
    sent: int = 0


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


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A body as it is written.

    Attributes:
        front: head and columns; it may be compressed, and may be read until the encoder makes the next one.
        blocks: what follows, compressed already.
    """

    front: memoryview
    blocks: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.front) + sum(map(len, self.blocks))


class _Buffers:
    """Collects buffers, each given in pieces and padded to a multiple of ALIGN.

    Attributes:
        blocks: what is to follow them.
        pieces: contiguous arrays and bytes, none empty.
        sizes: bytes of each buffer, padding not counted.
        total: bytes of all pieces.
    """

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
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
        self._add_lengths(values)
        self.add([part.compact().data for part in values])

    def add_packed(self, values: Sequence[Texts], packed: Sequence[Packed]) -> None:
        self._add_lengths(values)
        self.add([part.gaps for part in packed])
        self.blocks += [part.block for part in packed]

    def _add_lengths(self, values: Sequence[Texts]) -> None:
        lengths = []
        for part in values:
            own = np.empty(len(part.offsets) - 1, np.uint32)
            if lengths_of(part.offsets, own) >= 1 << 32:
                raise ValueError("a string of 4 GiB or more cannot be written to the WAL")
            lengths.append(own)
        self.add(lengths)


class Encoder:
    """Makes bodies, one after the other, in memory that it keeps: new memory a record costs as much as filling it."""

    def __init__(self) -> None:
        self._room = memoryview(bytearray())

    def encode(self, sections: Sequence[Section], at: int = 0) -> Body:
        """The body of an entries or carried record; `at`: ns, when it is written; 0: it does not say.

        Raises ValueError for one string of 4 GiB or more.
        """
        buffers = _Buffers()
        heads = [_put_section(section, buffers) for section in sections]
        said = {"sections": heads, "buffers": buffers.sizes}
        head = msgpack.packb(said | {"at": at} if at else said)
        lead = len(head).to_bytes(4, "little") + head
        lead += _PADDING[-len(lead) % ALIGN]
        size = len(lead) + buffers.total
        if size <= JOINED_BYTES:
            return Body(memoryview(b"".join((lead, *buffers.pieces))), tuple(buffers.blocks))
        room = self._room if size <= len(self._room) else memoryview(bytearray(size))
        if size <= KEPT_BYTES:
            self._room = room
        room[: len(lead)] = lead
        at = len(lead)
        for piece in buffers.pieces:
            raw = memoryview(piece).cast("B")
            room[at : at + len(raw)] = raw
            at += len(raw)
        return Body(room[:at], tuple(buffers.blocks))


def _put_section(section: Section, buffers: _Buffers) -> dict[str, Any]:
    """Adds the section's columns; returns its part of the head."""
    parts = [section.batch, *section.more]
    keys = list(dict.fromkeys(key for part in parts for key in part.metadata))
    if len(parts) > 1 and (len(keys) > MAX_COLUMNS or any(part.rest is not None for part in parts)):
        parts = [concat_batches(parts)]
        keys = list(parts[0].metadata)
    buffers.add([part.stream for part in parts])
    buffers.add([part.ts for part in parts])
    lines = [part.lines for part in parts]
    packed = [part.packed for part in lines if part.packed is not None]
    if len(packed) == len(lines):
        buffers.add_packed(lines, packed)
    else:
        buffers.add_texts(lines)
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
        **({"blocks": _block_list(packed)} if len(packed) == len(lines) else {}),
        **_senders(section.requests),
    }


def _senders(requests: Sequence[Request]) -> dict[str, list[tuple[int, str, tuple[str, ...], int]]]:
    """Place, name, path and entries of each request that a server passed on. Apart: older readers pass over it."""
    found = [(at, r.sender.name, r.sender.path, r.sent) for at, r in enumerate(requests) if r.sender is not None]
    return {"senders": found} if found else {}


def _block_list(packed: Sequence[Packed]) -> list[tuple[int, int, int]]:
    """Rows, bytes and unpacked bytes of each block."""
    return [(len(part.gaps), len(part.block), part.size) for part in packed]


def counts_of(sections: Sequence[Section]) -> tuple[int, int]:
    """(rows, bytes of their lines) of some sections."""
    parts = [part for section in sections for part in (section.batch, *section.more)]
    return sum([len(part.ts) for part in parts]), sum([part.lines.nbytes for part in parts])


def encode(sections: Sequence[Section], at: int = 0) -> bytes:
    """A body in memory of its own, as Encoder makes it."""
    body = Encoder().encode(sections, at)
    return b"".join((body.front, *body.blocks))


class _Reader:
    """Hands out the buffers of a body in order, and the blocks behind them."""

    def __init__(self, body: bytes, at: int, sizes: list[int]) -> None:
        self._body = body
        self._at = at
        self._sizes: Iterator[int] = iter(sizes)
        self._block_at = at + sum(size + (-size % ALIGN) for size in sizes)

    def take(self, dtype: Any) -> np.ndarray:
        size = next(self._sizes)
        if self._at + size > len(self._body):
            raise CorruptSegment("a buffer ends past the record")
        array = np.frombuffer(self._body, dtype, size // np.dtype(dtype).itemsize, self._at)
        self._at += size + (-size % ALIGN)
        return array

    def take_texts(self) -> Texts:
        offsets = _ends(self.take(np.uint32))
        return Texts(self.take(np.uint8), offsets)

    def take_packed(self, blocks: Sequence[tuple[int, int, int]]) -> Texts:
        lengths, gaps = self.take(np.uint32), self.take(np.uint32)
        if sum(rows for rows, _, _ in blocks) != len(lengths) or len(gaps) != len(lengths):
            raise CorruptSegment("the rows of blocks are not those of their section")
        parts = []
        first = 0
        for rows, size, unpacked in blocks:
            here = slice(first, first + rows)
            parts.append(_unpacked(self._take_block(size), unpacked, lengths[here], gaps[here]))
            first += rows
        return concat_texts(parts)

    def _take_block(self, size: int) -> bytes:
        start, self._block_at = self._block_at, self._block_at + size
        if self._block_at > len(self._body):
            raise CorruptSegment("a block ends past the record")
        return self._body[start : self._block_at]


def _ends(lengths: np.ndarray) -> I64:
    """int64[n + 1], where strings of these lengths begin and the last of them ends."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _unpacked(block: bytes, size: int, lengths: np.ndarray, gaps: np.ndarray) -> Texts:
    """The strings of a block. Raises CorruptSegment if it has no such ones."""
    try:
        data: U8 = np.frombuffer(_SNAPPY.decompress(block, size), np.uint8)
    except OSError as error:
        raise CorruptSegment(f"a block cannot be unpacked: {error}") from error
    offsets = _ends(lengths)
    starts = offsets[:-1] + np.cumsum(gaps, dtype=np.int64)
    ends = starts + lengths
    if len(ends) and ends[-1] > len(data):
        raise CorruptSegment("a line ends past its block")
    lines: U8 = np.empty(int(offsets[-1]), np.uint8)
    gather(data, starts, ends, np.arange(len(starts)), lines)
    return Texts(lines, offsets)


def decode(body: bytes) -> list[Section]:
    """The sections of a body; their batches are views into it and have no stream table yet (`streams` is empty).

    Raises CorruptSegment if the body is not one; its CRC was right, so that means a fault of the writer.
    """
    return decode_dated(body)[0]


def decode_dated(body: bytes) -> tuple[list[Section], int]:
    """As `decode`, and when the record was written, ns; 0 if it does not say."""
    try:
        size = int.from_bytes(body[:4], "little")
        head = msgpack.unpackb(body[4 : 4 + size], use_list=False)
        lead = 4 + size
        reader = _Reader(body, lead + (-lead % ALIGN), head["buffers"])
        return [_decode_section(item, reader) for item in head["sections"]], int(head.get("at", 0))
    except (ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
        raise CorruptSegment(f"a record with a right checksum has a body that cannot be read: {error}") from error


def _decode_section(head: Any, reader: _Reader) -> Section:
    stream, ts = reader.take(np.int32), reader.take(np.int64)
    blocks = head.get("blocks")
    lines = reader.take_texts() if blocks is None else reader.take_packed(blocks)
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
        requests=_requests(head),
        batch=Batch((), stream, ts, lines, metadata, rest),
        covers=tuple(head["covers"]),
    )


def _requests(head: Any) -> tuple[Request, ...]:
    found = [Request(*item) for item in head["requests"]]
    for at, name, path, sent in head.get("senders", ()):
        found[at] = replace(found[at], sender=Sender(name, tuple(path)), sent=sent)
    return tuple(found)


def with_streams(section: Section, streams: Sequence[Labels], numbers: np.ndarray) -> Batch:
    """The section's batch on the table `streams`, its numbers mapped by `numbers`."""
    return replace(section.batch, streams=streams, stream=numbers[section.batch.stream].astype(np.int32))
