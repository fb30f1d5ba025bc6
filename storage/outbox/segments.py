"""The segments of which something may be owed: in the log, out of it as they were, or packed as archive files.

A segment leaves the log by a rename to `archive/`, which needs no room to speak of. It is packed there at leisure, and
the packed file takes its place when it is whole: whatever fails on the way, its records are in one file or the other.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from storage.errors import CorruptSegment
from storage.outbox.archive import SUFFIX, ArchiveWriter, Index, read_index, rebuilt_index
from storage.outbox.marks import Mark, Marks
from storage.outbox.reading import (
    ArchiveReader,
    OwnReader,
    RecordReader,
    SegmentReader,
    Tables,
    mapped,
    marks_of,
    salt_in,
)
from storage.record import encode
from storage.segment import SegmentHeader, segment_name, sync_directory

log = logging.getLogger("weir.outbox")

FOLDER = "archive"
_INDICES = 4
"""Archive files whose index is kept: 48 bytes a record."""


class Form(Enum):
    """How a segment's records are kept."""

    LOG = "log"
    KEPT = "kept"
    PACKED = "packed"


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One segment.

    Attributes:
        number: of it.
        path: its file.
        form: how it is kept.
        marks: its records; None: the file says.
        is_own: this process wrote it.
        packed_from, packed_upto: of a packed one, numbers of the first and the last record.
        rows, bytes, oldest: likewise, rows of all, bytes of their lines, ns when the first was written.
        size: bytes of a file that is not in the log.
    """

    number: int
    path: Path
    form: Form
    marks: Marks | None
    is_own: bool = False
    packed_from: int = 0
    packed_upto: int = 0
    rows: int = 0
    bytes: int = 0
    oldest: int = 0
    size: int = 0

    @property
    def first_seq(self) -> int:
        """Number of the first record; 0 if there is none."""
        if self.marks is None:
            return self.packed_from
        return self.marks[0].seq if len(self.marks) else 0

    @property
    def last_seq(self) -> int:
        """Number of the last record; 0 if there is none."""
        return self.packed_upto if self.marks is None else self.marks.last_seq


def _packed(path: Path, index: Index) -> Segment:
    rows, size, _ = index.marks.behind(0)
    return Segment(
        index.header.number,
        path,
        Form.PACKED,
        None,
        packed_from=index.marks[0].seq if len(index.marks) else 0,
        packed_upto=index.marks.last_seq,
        rows=rows,
        bytes=size,
        oldest=index.marks[0].at if len(index.marks) else 0,
        size=path.stat().st_size,
    )


class Segments:
    """All of them. Safe for use by any number of threads; one adds marks, one packs."""

    def __init__(self, data_dir: Path, origin: bytes, tables: Tables) -> None:
        """Lists what is in `archive/`. Raises OSError."""
        self._wal = data_dir / "wal"
        self._folder = data_dir / FOLDER
        self._origin = origin
        self._tables = tables
        self._lock = threading.Lock()
        """Over `_found` and `_order`."""
        self._found: dict[int, Segment] = {}
        self._indices: OrderedDict[Path, Index] = OrderedDict()
        self._order: list[Segment] = []
        """By number; of segments, which ascend as their records do."""
        self._list()

    @property
    def next_number(self) -> int:
        """Greater than the number of any of them."""
        with self._lock:
            return max(self._found, default=0) + 1

    def all(self) -> list[Segment]:
        """Them, by number."""
        with self._lock:
            return self._order

    # -- the log

    def add(self, number: int, mark: Mark, *, is_own: bool) -> None:
        """A record is in a segment of the log."""
        with self._lock:
            segment = self._found.get(number)
            if segment is None:
                path = self._wal / segment_name(number)
                segment = Segment(number, path, Form.LOG, Marks(), is_own)
                self._put(segment)
        if segment.marks is not None and mark.seq > segment.marks.last_seq:
            segment.marks.add(mark)

    def forget_given_up(self, gaps: Iterable[tuple[int, int]]) -> None:
        """Drops marks of records that were given up but could not be cut off. Before anything is read."""
        gaps = list(gaps)
        if not gaps:
            return
        for segment in self.all():
            if segment.marks is None:
                continue
            marks = [segment.marks[at] for at in range(len(segment.marks))]
            kept = [mark for mark in marks if not any(first <= mark.seq <= last for first, last in gaps)]
            if len(kept) < len(marks):
                fresh = Marks()
                for mark in kept:
                    fresh.add(mark)
                with self._lock:
                    self._put(replace(segment, marks=fresh))

    def keep(self, number: int, path: Path, owed_from: int) -> bool:
        """A segment leaves the log: moves it to `archive/` if it has a record from `owed_from` on.

        Returns:
            Whether it is in its place no more, or has to stay there as it could not be moved.
        """
        with self._lock:
            segment = self._found.get(number)
        if segment is None or segment.form is not Form.LOG:
            return False  # nothing of it is owed, or all that is has been packed before a crash
        if segment.last_seq < owed_from:
            self.drop(segment)
            return False
        target = self._folder / time.strftime("%Y/%m/%d", time.gmtime()) / path.name
        try:
            _make_folders(self._folder, *target.parent.relative_to(self._folder).parts)
            size = path.stat().st_size
            with self._lock:  # who does not find the file where it was finds it listed where it is
                path.rename(target)
                self._put(replace(segment, path=target, form=Form.KEPT, size=size))
        except OSError as error:
            log.warning("segment %s, of which records are owed, stays in the log for now: %s", path.name, error)
            return True
        try:
            sync_directory(target.parent)
            sync_directory(path.parent)
        except OSError as error:
            log.warning("the move of segment %s to the archive is not durable yet: %s", path.name, error)
        return True

    # -- packing

    def kept(self) -> list[Segment]:
        """Those that are out of the log and not packed, by number."""
        return [segment for segment in self.all() if segment.form is Form.KEPT]

    def pack(self, segment: Segment, owed_from: int) -> None:
        """Packs a segment that is out of the log, as far as it is owed and can be read.

        Raises OSError: it is as it was.
        """
        assert segment.marks is not None
        final = segment.path.with_name(f"{segment.path.stem}{SUFFIX}")
        temporary = final.with_suffix(".tmp")
        try:
            with temporary.open("wb") as file:
                index = self._write(ArchiveWriter(file, self._header(segment)), segment, segment.marks, owed_from)
                file.flush()
                os.fsync(file.fileno())
            if len(index.marks):
                temporary.rename(final)
                sync_directory(final.parent)
            else:  # nothing of it can be read
                temporary.unlink()
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        if len(index.marks):
            with self._lock:
                self._put(_packed(final, index))
        else:
            self.drop(segment)
        segment.path.unlink()

    def _header(self, segment: Segment) -> SegmentHeader:
        assert segment.marks is not None
        first = segment.marks[0].seq if len(segment.marks) else 0
        return SegmentHeader(self._origin, segment.number, first)

    def _write(self, writer: ArchiveWriter, segment: Segment, marks: Marks, owed_from: int) -> Index:
        reader = self.open(segment)
        named: dict[str, set[int]] = {}
        try:
            for at in range(marks.find(owed_from), len(marks)):
                mark = marks[at]
                try:
                    shares = reader.read(mark)
                except CorruptSegment as error:
                    log.error("%s; it is passed over", error)  # noqa: TRY400 - it names file and place
                    continue
                if writer.is_new_frame:
                    named.clear()
                sections = [share.to_write(named.setdefault(share.tenant, set())) for share in shares]
                writer.add(mark, encode(sections, mark.at))
        finally:
            reader.close()
        return writer.finish()

    # -- reading

    def open(self, segment: Segment) -> RecordReader:
        """A reader of a segment's records. Raises CorruptSegment, OSError."""
        if segment.form is Form.PACKED:
            return ArchiveReader(segment.path, self.index(segment), self._tables)
        kind = OwnReader if segment.is_own else SegmentReader
        return kind(segment.path, segment.number, self._origin, self._tables)

    def with_records_from(self, seq: int) -> list[Segment]:
        """Those with a record of that number or a greater one, by number."""
        found = self.all()
        return found[bisect_left(found, seq, key=lambda segment: segment.last_seq) :]

    def index(self, segment: Segment) -> Index:
        """What a packed segment says of itself. Raises CorruptSegment, OSError."""
        with self._lock:
            known = self._indices.get(segment.path)
            if known is not None:
                self._indices.move_to_end(segment.path)
                return known
        found = self._index_of(segment.path)
        with self._lock:
            self._indices[segment.path] = found
            if len(self._indices) > _INDICES:
                self._indices.popitem(last=False)
        return found

    @staticmethod
    def disk_bytes(segment: Segment, seq: int) -> int:
        """Bytes on disk that are kept for records from a number on."""
        if segment.form is not Form.LOG or segment.marks is None:
            return segment.size
        return segment.marks.behind(segment.marks.find(seq))[2]

    # -- passing

    def drop_passed(self, owed_from: int) -> int:
        """Removes files out of the log with no record from `owed_from` on; how many. Raises OSError."""
        gone = 0
        for segment in self.all():
            if segment.form is not Form.LOG and segment.last_seq < owed_from:
                segment.path.unlink(missing_ok=True)
                self.drop(segment)
                gone += 1
                self._remove_empty(segment.path.parent)
        return gone

    def drop(self, segment: Segment) -> None:
        """Forgets a segment."""
        with self._lock:
            if self._found.get(segment.number) is segment:
                del self._found[segment.number]
                self._order = [one for one in self._order if one is not segment]

    def _put(self, segment: Segment) -> None:
        """Within the lock: puts a segment in its place. Readers hold the list, so it is replaced."""
        self._found[segment.number] = segment
        self._order = sorted(self._found.values(), key=lambda one: one.number)

    def _remove_empty(self, folder: Path) -> None:
        """Removes a folder and those around it, as far as there is nothing in them."""
        while folder != self._folder:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    @staticmethod
    def _index_of(path: Path) -> Index:
        """What an archive file says of itself, or else what its frames do. Raises CorruptSegment, OSError."""
        try:
            return read_index(path)
        except CorruptSegment as error:
            found = rebuilt_index(path)
            log.error("%s; its records were found without: %d of them", error, len(found.marks))  # noqa: TRY400 - it names file and fault
            return found

    def _list(self) -> None:
        for path in self._folder.glob("*/*/*/*.tmp"):
            path.unlink()
        for path in sorted(self._folder.glob(f"*/*/*/*{SUFFIX}")):
            try:
                segment = _packed(path, self._index_of(path))
            except CorruptSegment as error:
                log.error("%s; what of it is owed is lost, the file stays", error)  # noqa: TRY400 - it names file and fault
                continue
            self._put(segment)
            path.with_name(f"{segment_name(segment.number)}").unlink(missing_ok=True)
        for path in sorted(self._folder.glob("*/*/*/*.wal")):
            if not path.stem.isdecimal():
                continue
            number, state = int(path.stem), path.stat()
            raw = mapped(path)
            try:
                marks, gaps = marks_of(raw, salt_in(raw, path, number, self._origin), int(state.st_mtime_ns))
            except CorruptSegment as error:
                log.error("%s; what of it is owed is lost, the file stays", error)  # noqa: TRY400 - it names file and fault
                continue
            self._put(Segment(number, path, Form.KEPT, marks, size=state.st_size))
            self.forget_given_up(gaps)
        for folders in ("*/*/*", "*/*", "*"):  # a crash may have come between them
            for folder in self._folder.glob(folders):
                self._remove_empty(folder)


def _make_folders(folder: Path, *names: str) -> None:
    """Makes a folder and others in it, each in the one before, durably. Raises OSError."""
    folder.mkdir(exist_ok=True)
    sync_directory(folder.parent)  # though it was there: its maker may not have come to that
    if names:
        _make_folders(folder / names[0], *names[1:])
