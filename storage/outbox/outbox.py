"""The outbox: cursors on the log, rows from a place on, and what is kept until every cursor has passed it.

Only rows that are not cut off any more are handed out, and the same ones for the same places for as long as they are
owed. Nothing owed is ever removed; how much may pile up is the disk's affair, and that of whoever gives a relay up.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from storage.archived import Archived
from storage.batch import Batch, Pairs
from storage.control import Control
from storage.errors import CorruptSegment, StorageError
from storage.outbox.ledger import Ledger
from storage.outbox.marks import Mark, Marks
from storage.outbox.places import Backlog, Part, Place, Stretch
from storage.outbox.progress import Progress
from storage.outbox.reading import RecordReader, Share
from storage.outbox.segments import Form, Segment, Segments
from storage.rows import concat_batches
from storage.state import State

log = logging.getLogger("weir.outbox")

MOST_OPEN = 4
"""Segments that are open for reading at once: of each a frame of an archive file may be in memory."""
MOST_KEPT = 2
"""Records that are kept unpacked between two reads: a batch that is sent again mostly ends in one of them."""
LOOK_EVERY = 5.0
"""Seconds between two looks at what may go and what is to be packed."""
GRACE = 90.0
"""Seconds for which a segment that left the log is not packed: cursors that are well pass it by then."""
GRACE_BYTES = 128 << 20
"""Bytes of segments out of the log from which they are packed at once."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a relay is, and whether retention waits for it."""

    place: Place
    holds_retention: bool


class Outbox:
    """See the module. All methods block and are safe for use by any number of threads."""

    def __init__(
        self,
        data_dir: Path,
        origin: bytes,
        state: State,
        control: Control,
        clock: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] | None = None,
    ) -> None:
        """Before the log is replayed. Raises StorageError, OSError.

        Args:
            data_dir: where `wal/` and `archive/` are.
            origin: 16 bytes, of the data directory.
            state: has the tenants' tables.
            control: control.db.
            clock: the time of day, ns.
            steady: a clock that does not jump, by which it is noted how far relays are; without one `clock`.
        """
        self._control = control
        self._clock = clock
        self._steady = steady or clock
        self._lock = threading.Lock()
        """Over cursors and the end of the log."""
        self._cursors = {
            name: Cursor(Place(seq, row), bool(holds))
            for name, seq, row, holds in control.rows("SELECT name, seq, row, holds_retention FROM relays")
        }
        self._origin = origin.hex()
        self._progress = Progress(control)
        self._segments = Segments(data_dir, origin, lambda tenant: state.tenant(tenant).table)
        self._pending: list[tuple[int, Mark]] = []
        self._written = 0
        self._durable = 0
        self._call: Callable[[], None] | None = None
        self._reading = threading.Lock()
        """Over what is kept between reads."""
        self._readers: OrderedDict[Path, RecordReader] = OrderedDict()
        self._records: OrderedDict[int, tuple[Share, ...]] = OrderedDict()
        self.ledger = Ledger(control, self._moved, clock)
        self._looking = threading.Lock()
        self._cramped = False
        self.lost = 0
        """Records that were owed and could not be read."""
        self._kept_since: dict[int, float] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # -- the log

    @property
    def next_seq(self) -> int:
        """No record may get a smaller number: cursors have passed those, whatever the log has of them."""
        return max([cursor.place.seq for cursor in self._cursors.values()], default=1)

    @property
    def next_segment(self) -> int:
        """No segment may get a smaller number."""
        return self._segments.next_number

    def found(self, segment: int, mark: Mark) -> None:
        """A record that a replay found."""
        if self._cursors:
            self._segments.add(segment, mark, is_own=False)

    def opened(self, next_seq: int, gaps: tuple[tuple[int, int], ...]) -> None:
        """The replay is over: where the log goes on, and which records of it do not count."""
        self._segments.forget_given_up(gaps)
        self._written = self._durable = next_seq - 1
        if self._cursors:
            self._segments.drop_passed(self._owed_from())
            self._start()
        elif self._segments.all():
            self._segments.drop_passed(next_seq)

    def written(self, segment: int, mark: Mark) -> None:
        """A wal.Journal."""
        with self._lock:
            self._written = mark.seq
            if self._cursors:
                self._pending.append((segment, mark))

    def synced(self) -> None:
        """A wal.Journal."""
        with self._lock:
            pending, self._pending = self._pending, []
            for segment, mark in pending:
                self._segments.add(segment, mark, is_own=True)
            self._durable = self._written

    def keeps(self, segment: int, path: Path) -> bool:
        """A wal.Journal."""
        kept = self._segments.keep(segment, path, self._owed_from())
        if kept:
            self._wake.set()
        return kept

    def committed(self) -> None:
        """To be called after each commit, on the writer's thread."""
        call = self._call
        if call is not None:
            call()

    def wake(self, call: Callable[[], None] | None) -> None:
        """Has `call` called on the writer's thread after each commit, and no other; None: nobody. It must be quick."""
        self._call = call

    # -- cursors

    def subscribe(self, name: str, *, holds_retention: bool = True) -> Place:
        """Where a relay is; a new one is at the end of the log. Durable on return.

        Args:
            name: of the relay.
            holds_retention: entries do not expire before it has passed them, and their age counts from then.

        Raises:
            StorageUnavailable: control.db cannot be written.
        """
        with self._lock:
            known = self._cursors.get(name)
            cursor = Cursor(Place(self._written + 1) if known is None else known.place, holds_retention)
            begins = holds_retention and not any(one.holds_retention for one in self._cursors.values())
            self._cursors[name] = cursor  # before anything else is written: from now on records are marked
        if known == cursor:
            return cursor.place
        try:
            with self._control.transaction() as db:
                if begins:
                    self._progress.begin(db, cursor.place.seq)
                db.execute(
                    "INSERT INTO relays VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                    "holds_retention = excluded.holds_retention",
                    (name, cursor.place.seq, cursor.place.row, holds_retention, self._clock()),
                )
        except StorageError:
            with self._lock:
                if known is None:
                    del self._cursors[name]
                else:
                    self._cursors[name] = known
            raise
        if begins:
            self._progress.begun(cursor.place.seq)
        self._start()
        return cursor.place

    def unsubscribe(self, name: str) -> None:
        """Gives a relay up: what was kept for it alone may go. Its batches that are done, and totals, stay.

        Raises StorageUnavailable if control.db cannot be written.
        """
        self.ledger.unsubscribe(name)
        with self._lock:
            self._cursors.pop(name, None)
        self._wake.set()

    def cursors(self) -> dict[str, Place]:
        """Where each relay is."""
        with self._lock:
            return {name: cursor.place for name, cursor in self._cursors.items()}

    def end(self) -> Place:
        """Behind the last record that may be read."""
        with self._lock:
            return Place(self._durable + 1)

    def _moved(self, relay: str, cursor: Place | None) -> None:
        """The ledger has changed."""
        if cursor is not None:
            with self._lock:
                known = self._cursors.get(relay)
                if known is not None:
                    self._cursors[relay] = replace(known, place=cursor)
        self._wake.set()

    def archived(self) -> Archived | None:
        """What retention waits for; None: for nothing, as no relay says that it has to."""
        with self._lock:
            if not any(cursor.holds_retention for cursor in self._cursors.values()):
                return None
        return self._progress.archived(self._origin, self._owed_from(holding=True))

    def _owed_from(self, *, holding: bool = False) -> int:
        """Number of the first record that a relay is owed, of which it may have some rows already.

        `holding`: of the relays that retention waits for.
        """
        with self._lock:
            places = {
                name: cursor.place for name, cursor in self._cursors.items() if cursor.holds_retention or not holding
            }
            end = self._written + 1
        found = [end, *(place.seq for place in places.values())]
        found += [first.seq for name in places if (first := self.ledger.first_open(name)) is not None]
        return min(found)

    def disk(self) -> tuple[int, int]:
        """(files, bytes) of what is kept out of the log."""
        sizes = [segment.size for segment in self._segments.all() if segment.form is not Form.LOG]
        return len(sizes), sum(sizes)

    def log_owed(self) -> frozenset[Path]:
        """The segments of the log with records that a relay is owed."""
        found = self._segments.with_records_from(self._owed_from())
        return frozenset(segment.path for segment in found if segment.form is Form.LOG)

    # -- reading

    def read(self, first: Place, rows: int, *, upto: Place | None = None, nbytes: int = 8 << 20) -> Stretch:
        """The next rows from a place on; none at the end of what may be read.

        Args:
            first: where to begin.
            rows: at most.
            upto: not beyond: with what an earlier read said and the same limits, the rows are the same.
            nbytes: of lines, at most, but for a single row.

        Raises:
            OSError: a file cannot be read now.
        """
        shares: dict[str, list[Batch]] = {}
        place = first
        end = self.end() if upto is None else min(upto, self.end())
        with self._reading:
            while rows > 0 and nbytes > 0 and place < end:
                found = self._next(place)
                if found is None:
                    break
                segment, mark = found
                if mark.seq >= end.seq + (end.row > 0):
                    break
                start = place.row if mark.seq == place.seq else 0
                stop = min(mark.rows, start + rows, end.row if mark.seq == end.seq else mark.rows)
                record = self._shares(segment, mark)
                if record is None:
                    continue  # it was packed in this moment
                stop, size = _take(record, start, stop, nbytes, shares)
                rows, nbytes = rows - (stop - start), nbytes - size
                place = Place(mark.seq + 1) if stop >= mark.rows else Place(mark.seq, stop)
                if stop < mark.rows:
                    break
        return Stretch(first, place, tuple(Part(tenant, concat_batches(some)) for tenant, some in shares.items()))

    def _next(self, place: Place) -> tuple[Segment, Mark] | None:
        """The first record with rows from a place on."""
        for segment in self._segments.with_records_from(place.seq):
            marks = self._marks(segment)
            at = marks.find(place.seq)
            if at < len(marks) and marks[at].seq == place.seq and place.row >= marks[at].rows:
                at += 1
            if at < len(marks):
                return segment, marks[at]
        return None

    def _marks(self, segment: Segment) -> Marks:
        """The records of a segment; none, if its file cannot be read any more: the rest is sent all the same."""
        if segment.marks is not None:
            return segment.marks
        try:
            return self._segments.index(segment).marks
        except (CorruptSegment, FileNotFoundError) as error:
            if segment in self._segments.all():
                self.lost += 1
                log.error("%s; %d rows that are owed are lost, the file stays", error, segment.rows)  # noqa: TRY400 - it names the file
                self._segments.drop(segment)
            return Marks()

    def _shares(self, segment: Segment, mark: Mark) -> tuple[Share, ...] | None:
        """What a record has; nothing, if it is damaged; None: the segment is in another file now."""
        known = self._records.get(mark.seq)
        if known is not None:
            self._records.move_to_end(mark.seq)
            return known
        try:
            found = self._reader(segment).read(mark)
        except CorruptSegment as error:
            self.lost += 1
            log.error("%s; %d rows that are owed are lost", error, mark.rows)  # noqa: TRY400 - it names file and place
            found = ()
        except FileNotFoundError as error:
            if segment not in self._segments.all():
                return None
            self.lost += 1
            log.error("%s; %d rows that are owed are lost", error, mark.rows)  # noqa: TRY400 - it names the file
            found = ()
        self._records[mark.seq] = found
        if len(self._records) > MOST_KEPT:
            self._records.popitem(last=False)
        return found

    def _reader(self, segment: Segment) -> RecordReader:
        known = self._readers.get(segment.path)
        if known is not None:
            self._readers.move_to_end(segment.path)
            return known
        found = self._readers[segment.path] = self._segments.open(segment)
        if len(self._readers) > MOST_OPEN:
            self._readers.popitem(last=False)[1].close()
        return found

    def backlog(self, first: Place) -> Backlog:
        """What is behind a place, without reading a line. Raises OSError."""
        rows = size = disk = oldest = 0
        for segment in self._segments.with_records_from(first.seq):
            if segment.marks is None and segment.first_seq > first.seq:
                part, at = (segment.rows, segment.bytes), segment.oldest
            else:
                marks = self._marks(segment)
                place = marks.find(first.seq)
                if place >= len(marks):
                    continue
                part, at = marks.behind(place)[:2], marks[place].at
                head = marks[place]
                if head.seq == first.seq and first.row:
                    gone = min(first.row, head.rows)
                    part = part[0] - gone, part[1] - head.bytes * gone // max(1, head.rows)
            rows, size = rows + part[0], size + part[1]
            disk += self._segments.disk_bytes(segment, first.seq)
            oldest = oldest or at
        return Backlog(rows, size, disk, oldest if rows else 0)

    # -- the thread

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or not self._cursors or self._stop.is_set():
                return
            self._thread = threading.Thread(target=self._run, name="weir-outbox", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread; a segment that is being packed is packed first."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with self._reading:
            while self._readers:
                self._readers.popitem()[1].close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(LOOK_EVERY)
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self.look()
            except (OSError, StorageError) as error:
                log.warning("what is owed stays as it is for now: %s", error)
            except Exception:  # the thread must live: nothing is lost, and the next look may succeed
                log.exception("what is owed stays as it is for now")
            self._stop.wait(0.2)

    def look(self) -> None:
        """Removes what every cursor has passed, and packs what is out of the log. Raises OSError, StorageError."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        owed_from = self._owed_from()
        if self._segments.drop_passed(owed_from):
            self._let_go()
        self._sample()
        kept = self._segments.kept()
        now = time.monotonic()
        self._kept_since = {one.number: self._kept_since.get(one.number, now) for one in kept}
        crowded = sum(one.size for one in kept) > GRACE_BYTES
        for segment in kept:
            if self._stop.is_set():
                return
            if crowded or now - self._kept_since[segment.number] >= GRACE:
                if not self._has_room(segment):
                    return
                self._segments.pack(segment, owed_from)
                self._let_go()

    def _has_room(self, segment: Segment) -> bool:
        """Whether the disk has room for a segment packed, beside what it is now."""
        state = os.statvfs(segment.path.parent)
        has_room = state.f_bavail * state.f_frsize >= segment.size
        if not has_room and not self._cramped:
            log.warning("the disk has no room to pack what is owed: it stays as it is for now")
        self._cramped = not has_room
        return has_room

    def _sample(self) -> None:
        """Notes how far the relays are that retention waits for, now and then. Raises StorageUnavailable."""
        archived = self.archived()
        if archived is None:
            return
        now = self._steady()
        if self._progress.is_due(now, archived.owed_from):
            self._progress.sample(now, archived.owed_from)

    def _let_go(self) -> None:
        """Closes what is open of files that are there no more."""
        there = {segment.path for segment in self._segments.all()}
        with self._reading:
            for path in [path for path in self._readers if path not in there]:
                self._readers.pop(path).close()


def _take(
    record: tuple[Share, ...], start: int, stop: int, nbytes: int, shares: dict[str, list[Batch]]
) -> tuple[int, int]:
    """Adds rows start..stop of a record to `shares`, up to so many bytes of lines, but for the first row of all.

    Returns:
        The row at which they end, and their bytes; at least `nbytes` if these were not enough.
    """
    taken = base = 0
    for share in record:
        low, high = max(start - base, 0), min(stop - base, share.rows)
        base += share.rows
        if low >= high or share.batch is None:
            continue
        ends = share.batch.lines.offsets[low + 1 : high + 1] - share.batch.lines.offsets[low]
        fitting = int(np.searchsorted(ends, nbytes - taken, side="right"))
        if not fitting and not shares:
            fitting = 1
        if fitting:
            taken += int(ends[fitting - 1])
            shares.setdefault(share.tenant, []).append(_rows(share.batch, low, low + fitting))
        if fitting < high - low:
            return base - share.rows + low + fitting, max(taken, nbytes)
    return stop, taken


def _rows(batch: Batch, low: int, high: int) -> Batch:
    """Rows low..high of a batch, as far as possible as views."""
    if low == 0 and high == len(batch):
        return batch
    rest = batch.rest
    if rest is not None:
        first, last = int(rest.offsets[low]), int(rest.offsets[high])
        rest = Pairs(
            rest.offsets[low : high + 1] - first, rest.keys[first:last], rest.names, rest.values.slice(first, last)
        )
    at = np.arange(low, high)
    return Batch(
        batch.streams,
        batch.stream[low:high],
        batch.ts[low:high],
        batch.lines.slice(low, high),
        {key: column.take(at) for key, column in batch.metadata.items()},
        rest,
    )
