"""Records of the log read back: from a segment that is as it was written, or from an archive file.

A reader keeps its place: what it has unpacked, and which label sets the segment has named so far. Rows of a tenant
whose label sets were in damaged records are passed over; they count as rows all the same.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Protocol, TypeAlias

import msgpack
import numpy as np

from storage.batch import Batch, Labels
from storage.errors import CorruptSegment
from storage.outbox.archive import Frame, Index, read_frame
from storage.outbox.marks import Mark, Marks
from storage.record import Section, counts_of, decode, decode_dated, with_streams
from storage.segment import (
    HEADER_SIZE,
    Damage,
    Kind,
    Record,
    SegmentHeader,
    record_in,
    salt_of,
    scan_from,
    unpack_header,
)
from storage.streams import StreamTable

log = logging.getLogger("weir.outbox")

Tables: TypeAlias = Callable[[str], StreamTable]
"""A tenant's stream table."""


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """One tenant's rows of a record.

    Attributes:
        tenant: whose.
        rows: how many.
        batch: they, on the tenant's table; None: their label sets are lost.
        section: as it was read.
    """

    tenant: str
    rows: int
    batch: Batch | None
    section: Section

    def to_write(self, named: set[int]) -> Section:
        """The section as it is to be written after others that named some of the table's streams, to which it adds."""
        batch = self.batch
        names: tuple[tuple[int, Labels], ...] = ()
        if batch is None:
            batch = self.section.batch
        else:
            new = [number for number in np.unique(batch.stream).tolist() if number not in named]
            named.update(new)
            names = tuple([(number, batch.streams[number]) for number in new])
        return Section(self.tenant, names, self.section.requests, batch)


class RecordReader(Protocol):
    """Reads records of one segment."""

    def read(self, mark: Mark) -> tuple[Share, ...]:
        """What a record has. Raises CorruptSegment if it is damaged, OSError."""

    def close(self) -> None:
        """Lets go of the file."""


class _Names:
    """The label sets of a segment's stream numbers, as numbers in the tenants' tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._numbers: dict[str, dict[int, int]] = {}

    def learn(self, sections: Sequence[Section]) -> None:
        """Takes the names that some sections give."""
        for section in sections:
            if section.new_streams:
                table = self._tables(section.tenant)
                known = self._numbers.setdefault(section.tenant, {})
                for number, labels in section.new_streams:
                    if number not in known:
                        known[number] = table.intern(labels)

    def share(self, section: Section) -> Share:
        """The rows of a section."""
        table, known = self._tables(section.tenant), self._numbers.get(section.tenant, {})
        used = np.unique(section.batch.stream).tolist()
        if any(number not in known for number in used):
            return Share(section.tenant, len(section.batch), None, section)
        numbers = np.zeros(used[-1] + 1 if used else 0, np.int32)
        numbers[used] = [known[number] for number in used]
        return Share(section.tenant, len(section.batch), with_streams(section, table, numbers), section)


class OwnReader:
    """A segment that this process wrote: its stream numbers are those of the tables."""

    def __init__(self, path: Path, number: int, origin: bytes, tables: Tables) -> None:
        """Raises OSError."""
        self._path = path
        self._salt = salt_of(origin, number)
        self._tables = tables
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, mark: Mark) -> tuple[Share, ...]:
        """What a record has. Raises CorruptSegment if it is damaged, OSError."""
        raw = os.pread(self._fd, mark.end - mark.offset, mark.offset)
        record = _right(record_in(raw, self._salt, 0, mark.offset), mark, self._path)
        return tuple(
            Share(one.tenant, len(one.batch), replace(one.batch, streams=self._tables(one.tenant)), one)
            for one in decode(record.body)
        )

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._fd)


class SegmentReader:
    """A segment that an earlier process wrote. Names are gathered from its beginning, once."""

    def __init__(self, path: Path, number: int, origin: bytes, tables: Tables) -> None:
        """Raises OSError."""
        self._path = path
        self._raw = mapped(path)
        self._salt = salt_in(self._raw, path, number, origin)
        self._names = _Names(tables)
        self._named = 0
        """Names of all records before this byte are known."""

    def read(self, mark: Mark) -> tuple[Share, ...]:
        """What a record has. Raises CorruptSegment if it is damaged, OSError."""
        self._gather(mark.offset)
        record = _right(record_in(self._raw, self._salt, mark.offset), mark, self._path)
        sections = decode(record.body)
        if mark.offset >= self._named:
            self._names.learn(sections)
            self._named = mark.end
        return tuple(map(self._names.share, sections))

    def close(self) -> None:
        """Lets go of the file."""
        if isinstance(self._raw, mmap):
            self._raw.close()

    def _gather(self, upto: int) -> None:
        """Takes the names of all records before a byte."""
        if self._named >= upto:
            return
        for item in scan_from(self._raw, self._salt, max(self._named, HEADER_SIZE)):
            if isinstance(item, Damage):
                if item.start >= upto:
                    break
                continue
            if item.offset >= upto:
                break
            if item.kind is not Kind.GAP:
                self._learn(item)
        self._named = upto

    def _learn(self, record: Record) -> None:
        try:
            self._names.learn(decode(record.body))
        except CorruptSegment as error:
            log.error("segment %s, byte %d: %s; it is passed over", self._path.name, record.offset, error)  # noqa: TRY400 - it says all


class ArchiveReader:
    """An archive file: a frame of it is in memory at a time."""

    def __init__(self, path: Path, index: Index, tables: Tables) -> None:
        """Raises OSError."""
        self._path = path
        self._index = index
        self._tables = tables
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._frame: Frame | None = None
        self._bytes = b""
        self._names = _Names(tables)
        self._next = 0
        """The first mark of the frame whose names are not known yet."""

    def read(self, mark: Mark) -> tuple[Share, ...]:
        """What a record has. Raises CorruptSegment if it is damaged, OSError."""
        self._enter(self._index.frame_of(mark.offset))
        place = self._index.marks.find(mark.seq)
        for number in range(self._next, place):
            self._learn(self._index.marks[number])
        sections = self._sections(mark)
        if place >= self._next:
            self._names.learn(sections)
            self._next = place + 1
        return tuple(map(self._names.share, sections))

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._fd)

    def _enter(self, frame: Frame) -> None:
        if frame == self._frame:
            return
        self._frame, self._bytes = None, b""
        self._bytes = read_frame(self._fd, frame, self._path.name)
        self._frame = frame
        self._names = _Names(self._tables)
        self._next = self._index.marks.at(frame.start)

    def _sections(self, mark: Mark) -> list[Section]:
        assert self._frame is not None
        start = self._frame.start
        found = record_in(self._bytes, self._index.header.salt, mark.offset - start, start)
        return decode(_right(found, mark, self._path).body)

    def _learn(self, mark: Mark) -> None:
        try:
            self._names.learn(self._sections(mark))
        except CorruptSegment as error:
            log.error("archive %s: %s; it is passed over", self._path.name, error)  # noqa: TRY400 - it says all


def mapped(path: Path) -> mmap | bytes:
    """A file's bytes, not in memory of the process. Raises OSError."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return b""
        return mmap(file.fileno(), 0, access=ACCESS_READ)


def salt_in(raw: mmap | bytes, path: Path, number: int, origin: bytes) -> bytes:
    """The seed of a segment's checksums; `origin` for one whose header cannot tell. Raises CorruptSegment."""
    header: SegmentHeader | None = unpack_header(raw[:HEADER_SIZE], path.name)
    return salt_of(origin, number) if header is None else header.salt


def _right(record: Record | None, mark: Mark, path: Path) -> Record:
    if record is None or record.seq != mark.seq or record.kind is not Kind.ENTRIES:
        raise CorruptSegment(f"{path.name}, byte {mark.offset}: record {mark.seq} is not there any more")
    return record


def marks_of(raw: mmap | bytes, salt: bytes, written: int) -> tuple[Marks, list[tuple[int, int]]]:
    """The entries records of a segment, and the record numbers that it says were given up.

    `written`: ns, for records that do not say when that was.
    """
    marks, gaps = Marks(), []
    for item in scan_from(raw, salt, HEADER_SIZE):
        if isinstance(item, Damage):
            continue
        if item.kind is Kind.GAP:
            gaps.append(tuple(msgpack.unpackb(item.body)))
        elif item.kind is Kind.ENTRIES and (mark := mark_of(item, written)) is not None:
            marks.add(mark)
    return marks, gaps


def mark_of(record: Record, written: int) -> Mark | None:
    """The mark of an entries record; None if it cannot be read. `written`: ns, if it does not say when that was."""
    try:
        sections, at = decode_dated(record.body)
    except CorruptSegment:
        return None
    return Mark(record.seq, record.offset, record.end, *counts_of(sections), at or written)
