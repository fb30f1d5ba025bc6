"""Archive files: what is owed of a segment that left the log, as zstd frames; FORMAT.md specifies them.

Unpacked, one is a WAL segment: `zstd -d` makes it. Each frame stands alone, with the names of its streams, so that
reading begins at any; an index behind them says which records are where. A file gets its name when it is whole.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import msgpack
import zstandard

from storage.errors import CorruptSegment
from storage.outbox.marks import Mark, Marks
from storage.record import counts_of, decode_dated
from storage.segment import HEADER_SIZE, Kind, SegmentHeader, pack_header, record_in, record_pieces, unpack_header

SUFFIX = ".wal.zst"
FRAME_BYTES = 4 << 20
"""Bytes of records from which a frame ends: what is held to read one of them, and what is lost with a damaged one."""
LEVEL = 1
"""zstd's."""
VERSION = 1
_PIECE = 1 << 20
_SKIPPABLE = struct.Struct("<II")
"""The head of a frame that zstd passes over: magic, bytes."""
_SKIPPABLE_MAGIC = 0x184D2A57
_TAIL = struct.Struct("<II8s")
"""What the index ends with: its bytes, their CRC32C, a magic."""
_TAIL_MAGIC = b"WEIRIDX\x01"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        start: byte of the segment at which it begins.
        offset, size: of the file.
    """

    start: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """What an archive file says of itself.

    Attributes:
        header: of the segment.
        marks: of its records.
        frames: in order.
    """

    header: SegmentHeader
    marks: Marks
    frames: tuple[Frame, ...]

    def frame_of(self, offset: int) -> Frame:
        """The frame with a byte of the segment."""
        return self.frames[bisect_right(self.frames, offset, key=lambda frame: frame.start) - 1]


class ArchiveWriter:
    """Writes an archive file, record by record."""

    def __init__(self, file: BinaryIO, header: SegmentHeader) -> None:
        self._file = file
        self._header = header
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._stream: Any = None
        self._frames: list[Frame] = []
        self._marks = Marks()
        self._at = self._start = self._written = self._offset = 0
        self._put(pack_header(header))

    @property
    def is_new_frame(self) -> bool:
        """Whether the next record is the first of its frame, and so has to name all its streams."""
        return self._stream is None or (self._start == 0 and self._at == HEADER_SIZE)

    def add(self, mark: Mark, body: bytes) -> None:
        """Adds a record whose place is to be here. Raises OSError."""
        began = self._at
        for piece in record_pieces(self._header, began, Kind.ENTRIES, mark.seq, body, compress=False):
            self._put(piece)
        self._marks.add(Mark(mark.seq, began, self._at, mark.rows, mark.bytes, mark.at))
        if self._at - self._start >= FRAME_BYTES:
            self._end_frame()

    def finish(self) -> Index:
        """Writes what is left, and the index. Raises OSError."""
        self._end_frame()
        body = msgpack.packb(
            {
                "version": VERSION,
                "origin": self._header.origin,
                "number": self._header.number,
                "first_seq": self._header.first_seq,
                "frames": [(one.start, one.offset, one.size) for one in self._frames],
                "marks": self._marks.columns(),
            }
        )
        tail = _TAIL.pack(len(body), google_crc32c.value(body), _TAIL_MAGIC)
        self._file.write(_SKIPPABLE.pack(_SKIPPABLE_MAGIC, len(body) + len(tail)) + body + tail)
        return Index(self._header, self._marks, tuple(self._frames))

    def _put(self, data: bytes) -> None:
        if self._stream is None:
            self._stream = self._compressor.compressobj()
            self._start, self._offset = self._at, self._written
        self._write(self._stream.compress(data))
        self._at += len(data)

    def _end_frame(self) -> None:
        if self._stream is None:
            return
        self._write(self._stream.flush())
        self._stream = None
        self._frames.append(Frame(self._start, self._offset, self._written - self._offset))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._written += len(data)


def read_index(path: Path) -> Index:
    """What an archive file says of itself. Raises CorruptSegment, OSError."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL.size))
        tail = file.read()
        if len(tail) < _TAIL.size:
            raise CorruptSegment(f"archive {path.name}: it ends before its index")
        length, crc, magic = _TAIL.unpack(tail)
        if magic != _TAIL_MAGIC or length + _TAIL.size > size:
            raise CorruptSegment(f"archive {path.name}: it has no index at its end")
        file.seek(size - _TAIL.size - length)
        body = file.read(length)
    if google_crc32c.value(body) != crc:
        raise CorruptSegment(f"archive {path.name}: the checksum of its index is wrong")
    try:
        said = msgpack.unpackb(body)
        if said["version"] != VERSION:
            raise CorruptSegment(f"archive {path.name}: version {said['version']} is not known to this version of Weir")
        header = SegmentHeader(said["origin"], said["number"], said["first_seq"])
        return Index(header, Marks.of_columns(said["marks"]), tuple(Frame(*one) for one in said["frames"]))
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptSegment(f"archive {path.name}: its index cannot be read: {error}") from error


def rebuilt_index(path: Path) -> Index:
    """What an archive file would say of itself, of its frames: for one whose index is damaged.

    From the first frame that is damaged on nothing is known. Raises CorruptSegment, OSError.
    """
    header, marks, frames = None, Marks(), []
    with path.open("rb") as file:
        start = offset = 0
        while True:
            file.seek(offset)
            try:
                raw, size = _next_frame(file)
            except zstandard.ZstdError:
                break
            if not raw:
                break
            header = header or unpack_header(raw[:HEADER_SIZE], path.name)
            if header is None:
                break
            at = 0 if start else HEADER_SIZE
            while at < len(raw) and (record := record_in(raw, header.salt, at, start)) is not None:
                sections, written = decode_dated(record.body)
                marks.add(Mark(record.seq, record.offset, record.end, *counts_of(sections), written))
                at = record.end - start
            frames.append(Frame(start, offset, size))
            start, offset = start + len(raw), offset + size
    if header is None or not len(marks):
        raise CorruptSegment(f"archive {path.name}: neither its index nor its first frame can be read")
    return Index(header, marks, tuple(frames))


def _next_frame(file: BinaryIO) -> tuple[bytes, int]:
    """(what the frame unpacks to, bytes of the frame) of the frame at which a file stands. Raises ZstdError."""
    stream = zstandard.ZstdDecompressor().decompressobj()
    pieces, size = [], 0
    while not stream.eof and (piece := file.read(_PIECE)):
        pieces.append(stream.decompress(piece))
        size += len(piece)
    if not stream.eof:
        raise zstandard.ZstdError("the file ends within a frame")
    return b"".join(pieces), size - len(stream.unused_data)


def read_frame(fd: int, frame: Frame, name: str) -> bytes:
    """The bytes of the segment that a frame has. Raises CorruptSegment, OSError."""
    packed = os.pread(fd, frame.size, frame.offset)
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    except zstandard.ZstdError as error:
        raise CorruptSegment(f"archive {name}: the frame at byte {frame.offset} is damaged: {error}") from error
