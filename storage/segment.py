"""WAL segment files as bytes: headers, record frames, a scan that survives damage. FORMAT.md specifies them."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from mmap import mmap
from pathlib import Path
from typing import TypeAlias

import google_crc32c
import lz4.block

from storage.errors import CorruptSegment

MAGIC = b"WEIRWAL\x02"
"""The last byte is the format's version."""
_READ = frozenset((b"WEIRWAL\x01", MAGIC))
"""What is read: version 1 has no codec but 0 and 1."""
RECORD_MAGIC = b"WREC"
_SEGMENT = struct.Struct("<8s16sQQI20x")
"""magic, origin, segment number, first record number, CRC32C of what precedes it."""
HEADER_SIZE = _SEGMENT.size
Raw: TypeAlias = "bytes | mmap"
"""Bytes of a segment, in memory or as a file that is mapped."""
_HEADER_CRC_END = 40
_FRAME = struct.Struct("<4sIQQQBB6x")
"""magic, CRC32C, bytes stored, bytes unpacked, record number, kind, codec. The CRC starts from the segment's salt and
the record's offset and covers the frame after the CRC field and the stored bytes. A line that holds the bytes of a
record is never taken for one: the salt comes from the origin, which no sender knows, and a copy of a record of this
segment stands at another offset. The salt is not in the file: a damaged header costs no record."""
_CRC_END = 8

COMPRESS_FROM = 4096
"""Bytes of a body from which lz4 is worth its call."""
COMPRESS_UPTO = 0x7E000000
"""Bytes of a body that lz4 can take."""
ACCELERATION = 8
"""lz4's: 15 % less CPU than its default of 1 for a tenth more bytes. A segment lives for minutes."""


class Kind(IntEnum):
    """What a record is."""

    ENTRIES = 1
    GAP = 2
    CARRIED = 3


class Codec(IntEnum):
    """How a body is stored."""

    RAW = 0
    LZ4 = 1
    FRONT = 2


_FRONT = struct.Struct("<II")
"""What a body of codec FRONT begins with: bytes of the lz4 block that follows, and bytes that it unpacks to. The rest
of the body stands behind it as it is."""
_KINDS = frozenset(Kind)
_CODECS = frozenset(Codec)


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first bytes of a segment.

    Attributes:
        origin: 16 bytes, the data directory that numbered the records.
        number: place of the segment in the log.
        first_seq: no record of this or a later segment has a smaller number.
    """

    origin: bytes
    number: int
    first_seq: int

    @property
    def salt(self) -> bytes:
        """32 bytes, the seed of this segment's checksums."""
        return salt_of(self.origin, self.number)


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record.

    Attributes:
        offset: where its frame begins.
        end: where the next one begins.
        seq: its number from its origin; 0 for kinds that have none.
    """

    offset: int
    end: int
    kind: Kind
    seq: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes start..end that are no record. `torn`: nothing that can be read follows."""

    start: int
    end: int
    torn: bool


def segment_name(number: int) -> str:
    """File name of a segment; names sort as numbers."""
    return f"{number:012d}.wal"


@lru_cache(maxsize=4)
def salt_of(origin: bytes, number: int) -> bytes:
    """The seed of a segment's checksums."""
    return hashlib.sha256(origin + number.to_bytes(8, "little")).digest()


def pack_header(header: SegmentHeader) -> bytes:
    """The header's bytes."""
    fields = (MAGIC, header.origin, header.number, header.first_seq)
    crc = google_crc32c.value(_SEGMENT.pack(*fields, 0)[:_HEADER_CRC_END])
    return _SEGMENT.pack(*fields, crc)


def unpack_header(raw: bytes, name: str) -> SegmentHeader | None:
    """The header in `raw`, None if it is damaged. Raises CorruptSegment for one of another version."""
    if len(raw) < _SEGMENT.size:
        return None
    magic, origin, number, first_seq, crc = _SEGMENT.unpack_from(raw)
    if google_crc32c.value(raw[:_HEADER_CRC_END]) != crc:
        return None
    if magic not in _READ:
        raise CorruptSegment(f"WAL segment {name}: version {magic[7]} is not known to this version of Weir")
    return SegmentHeader(origin, number, first_seq)


def pack_record(
    header: SegmentHeader, offset: int, kind: Kind, seq: int, body: bytes | memoryview, blocks: Sequence[bytes] = ()
) -> bytes:
    """One record's bytes for byte `offset` of the given segment; see `record_pieces`."""
    return b"".join(record_pieces(header, offset, kind, seq, body, blocks))


def record_pieces(
    header: SegmentHeader,
    offset: int,
    kind: Kind,
    seq: int,
    body: bytes | memoryview,
    blocks: Sequence[bytes] = (),
    *,
    compress: bool = True,
) -> list[bytes]:
    """One record for byte `offset` of the given segment, in pieces that stand one after the other.

    Args:
        header: of the segment.
        offset: where the record is to stand.
        kind: of the record.
        seq: its number.
        body: its body, which is compressed where that makes it smaller,
        blocks: and the rest of it, which is compressed already and stays as it is.
        compress: whether the body may be.
    """
    codec, lead, front = Codec.RAW, b"", None
    if compress and COMPRESS_FROM <= len(body) <= COMPRESS_UPTO:
        packed = lz4.block.compress(body, mode="fast", acceleration=ACCELERATION, store_size=False)
        if len(packed) < len(body):
            codec, front = Codec.LZ4, packed
            if blocks:
                codec, lead = Codec.FRONT, _FRONT.pack(len(packed), len(body))
    stored = (lead, bytes(body) if front is None else front, *blocks)
    size = len(body) + sum(map(len, blocks))
    frame = _FRAME.pack(RECORD_MAGIC, 0, sum(map(len, stored)), size, seq, kind, codec)
    crc = _crc(header.salt, offset, frame, stored)
    return [b"".join((RECORD_MAGIC, crc.to_bytes(4, "little"), frame[_CRC_END:], *stored[:2])), *blocks]


def _crc(salt: bytes, offset: int, frame: bytes, stored: Sequence[bytes]) -> int:
    crc = google_crc32c.extend(google_crc32c.value(salt + offset.to_bytes(8, "little")), frame[_CRC_END:])
    for piece in stored:
        crc = google_crc32c.extend(crc, piece)
    return int(crc)


def scan_segment(path: Path, origin: bytes) -> tuple[SegmentHeader | None, Iterator[Record | Damage]]:
    """The header (None if damaged) and then, in order, every whole record and every stretch of bytes that is none.

    Args:
        path: the segment.
        origin: of the data directory, for a segment whose header cannot tell it.

    Raises:
        CorruptSegment: the segment is of another version.
    """
    return scan_bytes(path.read_bytes(), int(path.stem), origin)


def scan_bytes(raw: Raw, number: int, origin: bytes) -> tuple[SegmentHeader | None, Iterator[Record | Damage]]:
    """As scan_segment, of the bytes of the segment of that number."""
    header = unpack_header(raw[:HEADER_SIZE], segment_name(number))
    salt = header.salt if header is not None else salt_of(origin, number)
    return header, scan_from(raw, salt, HEADER_SIZE if header is not None else 0)


def record_in(raw: Raw, salt: bytes, at: int, base: int = 0) -> Record | None:
    """The record at byte `at` of some bytes that begin at byte `base` of a segment; None if there is no whole one.

    Raises CorruptSegment for one of a kind that is not known.
    """
    found = _record_at(raw, at, salt, base)
    return None if found is None else found[0]


def scan_from(raw: Raw, salt: bytes, at: int) -> Iterator[Record | Damage]:
    """What stands from byte `at` of a segment on."""
    while at < len(raw):
        found = _record_at(raw, at, salt)
        if found is None:
            resume = _next_record(raw, at + 1, salt)
            yield Damage(at, resume if resume is not None else len(raw), torn=resume is None)
            if resume is None:
                return
            at = resume
            continue
        record, at = found
        yield record


def _record_at(raw: Raw, at: int, salt: bytes, base: int = 0) -> tuple[Record, int] | None:
    if at + _FRAME.size > len(raw):
        return None
    magic, crc, stored, size, seq, kind, codec = _FRAME.unpack_from(raw, at)
    end = at + _FRAME.size + stored
    if magic != RECORD_MAGIC or end > len(raw):
        return None
    frame, body = raw[at : at + _FRAME.size], raw[at + _FRAME.size : end]
    if _crc(salt, base + at, frame, (body,)) != crc:
        return None
    if kind not in _KINDS or codec not in _CODECS:
        raise CorruptSegment(f"byte {at}: a record of kind {kind}, codec {codec} is not known to this version of Weir")
    if codec == Codec.LZ4:
        body = lz4.block.decompress(body, uncompressed_size=size)
    elif codec == Codec.FRONT:
        packed, unpacked = _FRONT.unpack_from(body)
        end_of_front = _FRONT.size + packed
        front = lz4.block.decompress(body[_FRONT.size : end_of_front], uncompressed_size=unpacked)
        body = front + body[end_of_front:]
    return Record(base + at, base + end, Kind(kind), seq, body), end


def _next_record(raw: Raw, at: int, salt: bytes) -> int | None:
    while (at := raw.find(RECORD_MAGIC, at)) >= 0:
        if _record_at(raw, at, salt) is not None:
            return at
        at += 1
    return None


def write_all(fd: int, data: bytes) -> None:
    """Writes all of `data`; the kernel may take less at a time. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """Makes names just created, renamed or removed in a directory durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
