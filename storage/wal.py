"""The write-ahead log: one writer appends records to numbered segments and makes them durable.

Invariant: a segment in which a write or a sync failed is never appended to again. Its file is cut to where the failed
record began, and the next append opens a new one, so that the log recovers by itself when there is room. Records that
were acknowledged are never cut off, synced or not.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgpack
import numpy as np

from storage.batch import I32, Labels, empty_batch
from storage.errors import StorageUnavailable
from storage.figures import Counters
from storage.freed import Freed, gain
from storage.kernels.arrival import all_marked
from storage.outbox.marks import Mark
from storage.record import Encoder, Section, counts_of
from storage.segment import (
    Kind,
    SegmentHeader,
    pack_header,
    pack_record,
    record_pieces,
    segment_name,
    sync_directory,
    write_all,
)
from storage.unwritable import DISK_FULL, refusal

log = logging.getLogger("weir.wal")

_NO_STREAMS: I32 = np.zeros(0, np.int32)


class SyncMode(StrEnum):
    """When a record is made durable: before it is acknowledged, every interval, or at leisure."""

    COMMIT = "commit"
    INTERVAL = "interval"
    OFF = "off"


class Journal(Protocol):
    """Who keeps what of the log is owed to others."""

    def written(self, segment: int, mark: Mark) -> None:
        """An entries record is in the log; it is not cut off any more."""

    def synced(self) -> None:
        """All records that were told of are as durable as the mode makes them."""

    def keeps(self, segment: int, path: Path) -> bool:
        """A segment is to go: whether it was moved away, or has to stay where it is, as records of it are owed."""


class Wal:
    """Appends to the log. All methods are called by one thread; only the interval sync runs in its own."""

    def __init__(
        self,
        directory: Path,
        origin: bytes,
        *,
        next_segment: int,
        next_seq: int,
        counters: Counters,
        sync: SyncMode = SyncMode.COMMIT,
        interval: float = 1.0,
        segment_size: int = 64 << 20,
        freed: Freed | None = None,
        journal: Journal | None = None,
    ) -> None:
        """`freed`: is told of segments that are removed; `journal`: of records, and before segments go."""
        self._directory = directory
        self._freed = freed or Freed()
        self._journal = journal
        self._origin = origin
        self._sync = sync
        self._segment_size = segment_size
        self._counters = counters
        self._fd: int | None = None
        self._header: SegmentHeader | None = None
        self._next_segment = next_segment
        self.next_seq = next_seq
        self.written_at = 0
        """ns, when the last record was written."""
        self._size = 0
        self._synced = 0
        self._encoder = Encoder()
        self._known: dict[str, np.ndarray] = {}
        self._echo: dict[str, tuple[Sequence[Labels], I32]] = {}
        self._gaps: list[tuple[int, int]] = []
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._timer: threading.Thread | None = None
        if sync is SyncMode.INTERVAL:
            self._timer = threading.Thread(target=self._sync_often, args=(interval,), name="weir-sync", daemon=True)
            self._timer.start()

    @property
    def segment(self) -> int:
        """Number of the segment that the next record goes to, or of the last one if none is open."""
        return self._header.number if self._header is not None else self._next_segment - 1

    def append(self, sections: Sequence[Section]) -> int:
        """Writes one entries record and makes it durable as the sync mode says; returns its number.

        Raises StorageUnavailable; nothing of the record is kept then, and its number is never used again.
        """
        with self._guard:
            seq, self.next_seq = self.next_seq, self.next_seq + 1
            self.written_at = at = time.time_ns()
            try:
                began = self._write(Kind.ENTRIES, seq, sections, at, sync=self._sync is SyncMode.COMMIT)
            except BaseException as error:
                self._give_up(seq)
                if isinstance(error, OSError):
                    raise self._refusal(error) from error
                raise
            if self._journal is not None:
                rows, size = counts_of(sections)
                self._journal.written(self.segment, Mark(seq, began, self._size, rows, size, at))
                if self._sync is not SyncMode.INTERVAL:
                    self._journal.synced()
        return seq

    def carry(self, sections: Sequence[Section]) -> None:
        """Writes rows of older segments again, so that those may go; synced in any mode, as those may have been.

        Raises StorageUnavailable.
        """
        with self._guard:
            try:
                self._write(Kind.CARRIED, 0, sections, sync=True)
            except OSError as error:
                raise self._refusal(error) from error

    def rotate(self) -> int:
        """Closes the segment; returns the number up to which segments are complete. Raises StorageUnavailable."""
        with self._guard:
            try:
                self._finish()
            except OSError as error:
                raise self._refusal(error) from error
            return self._next_segment - 1

    def remove(self, upto: int) -> None:
        """Removes the segments up to a number. What cannot be removed is left for the next time.

        A segment is always left: its header keeps the next record number when all records are in blocks.
        """
        began = time.perf_counter()
        with self._guard:
            if self._fd is None:
                try:
                    self._open_segment(self.next_seq)
                except OSError as error:
                    log.warning("no new WAL segment could be made, the last one stays: %s", error)
                    upto = min(upto, self._next_segment - 2)
        for path in sorted(self._directory.glob("*.wal")):
            number = int(path.stem)
            if number > upto or number == self.segment:
                continue
            if self._journal is not None and self._journal.keeps(number, path):
                continue
            size = gain(path)
            try:
                path.unlink()
            except OSError as error:
                log.warning("WAL segment %s could not be removed: %s", path, error)
                continue
            self._freed.note(size)
            self._counters.wal_segments_removed += 1
        self._counters.wal_truncate.observe(time.perf_counter() - began)

    def close(self) -> None:
        """Syncs and closes. Raises OSError if the sync fails."""
        self._stop.set()
        if self._timer is not None:
            self._timer.join()
        with self._guard:
            self._finish()

    # -- inside

    def _write(self, kind: Kind, seq: int, sections: Sequence[Section], at: int = 0, *, sync: bool) -> int:
        """Writes a record of time `at` (ns); the byte of the segment at which it begins."""
        if self._size >= self._segment_size:
            self._finish()
        if self._fd is None:
            self._open_segment(seq or self.next_seq)
        assert self._fd is not None
        assert self._header is not None
        began = self._size
        try:
            body = self._encoder.encode(self._with_names(sections), at)
            for piece in record_pieces(self._header, began, kind, seq, body.front, body.blocks):
                write_all(self._fd, piece)
                self._size += len(piece)
            if sync:
                self._sync_now()
        except BaseException:  # whatever it was: the segment may end in half a record, or lack names it is said to have
            self._abandon(began)
            raise
        self._counters.wal_records += 1
        self._counters.wal_bytes += self._size - began
        self._counters.wal_raw_bytes += len(body)
        return began

    def _give_up(self, seq: int) -> None:
        """Notes that a number was drawn for nothing."""
        if self._gaps and self._gaps[-1][1] + 1 == seq:
            self._gaps[-1] = (self._gaps[-1][0], seq)
        else:
            self._gaps.append((seq, seq))

    def _with_names(self, sections: Sequence[Section]) -> list[Section]:
        """The sections with the label sets that this segment has not named yet, and those that the last record named.

        Every label set is thus in two records: if one of them is damaged, later records still have its labels.
        """
        echo, self._echo = self._echo, {}
        named = []
        for section in sections:
            numbers = self._unnamed(section)
            if len(numbers):
                self._echo[section.tenant] = (section.batch.streams, numbers)
            again = echo.pop(section.tenant, None)
            if again is not None:
                numbers = np.concatenate([again[1], numbers])
            if not len(numbers):
                named.append(section)
                continue
            table = section.batch.streams
            named.append(replace(section, new_streams=tuple((n, table[n]) for n in numbers.tolist())))
        for tenant, (table, numbers) in echo.items():
            names = tuple((n, table[n]) for n in numbers.tolist())
            named.append(Section(tenant, names, (), empty_batch(table)))
        return named

    def _unnamed(self, section: Section) -> I32:
        """The stream numbers of a section that this segment has not named yet; they count as named from now on."""
        known = self._known.get(section.tenant)
        streams = len(section.batch.streams)
        if known is None or len(known) < streams:
            grown = np.zeros(max(2 * streams, 64), np.bool_)
            if known is not None:
                grown[: len(known)] = known
            known = self._known[section.tenant] = grown
        parts = (section.batch, *section.more)
        if all(all_marked(part.stream, known) for part in parts):
            return _NO_STREAMS
        numbers = np.unique(np.concatenate([part.stream[~known[part.stream]] for part in parts]))
        known[numbers] = True
        return numbers.astype(np.int32)

    def _open_segment(self, first_seq: int) -> None:
        number = self._next_segment
        header = SegmentHeader(self._origin, number, first_seq)
        path = self._directory / segment_name(number)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._next_segment = number + 1
        try:
            data = pack_header(header)
            for gap in self._gaps:
                data += pack_record(header, len(data), Kind.GAP, 0, msgpack.packb(gap))
            write_all(fd, data)
            os.fsync(fd)
            sync_directory(self._directory)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._gaps.clear()
        self._fd, self._header = fd, header
        self._size = self._synced = len(data)
        self._known.clear()
        self._echo.clear()

    def _sync_now(self) -> None:
        assert self._fd is not None
        if self._size > self._synced:
            began = time.perf_counter()
            try:
                os.fdatasync(self._fd)
            except OSError:
                self._counters.wal_sync_failures += 1
                raise
            self._counters.wal_sync.observe(time.perf_counter() - began)
        self._synced = self._size

    def _finish(self) -> None:
        """Syncs the open segment, if there is one, and closes it, even when the sync fails. Raises OSError."""
        if self._fd is None:
            return
        try:
            if self._sync is not SyncMode.OFF:
                self._sync_now()
        finally:
            self._close()

    def _close(self) -> None:
        assert self._fd is not None
        os.close(self._fd)
        self._fd = self._header = None
        self._size = self._synced = 0
        if self._journal is not None:
            self._journal.synced()  # what was acknowledged is in the file, whatever became of its sync

    def _abandon(self, end: int) -> None:
        """Gives the segment up: cut to the byte where the failed record began, closed.

        A cut that fails leaves a record that nobody was told is stored; its number is on record as a gap in the next
        segment, and replay leaves it out.
        """
        assert self._fd is not None
        try:
            os.ftruncate(self._fd, end)
            os.fsync(self._fd)
        except OSError as error:
            log.warning("WAL segment %d could not be cut after a failed write: %s", self.segment, error)
        self._close()

    def _refusal(self, error: OSError) -> StorageUnavailable:
        self._counters.wal_failures += 1
        if error.errno in DISK_FULL:
            self._counters.wal_disk_full += 1
        return refusal(error, "the write-ahead log")

    def _sync_often(self, interval: float) -> None:
        while not self._stop.wait(interval):
            with self._guard:
                if self._fd is None:
                    continue
                try:
                    self._sync_now()
                    if self._journal is not None:
                        self._journal.synced()
                except OSError as error:
                    log.error("the sync of WAL segment %d failed: %s", self.segment, error)  # noqa: TRY400 - one line says it
                    self._counters.wal_failures += 1
                    self._close()  # not cut: its records were acknowledged
