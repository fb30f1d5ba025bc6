"""Deletes: accepting them, telling how far they are, calling them off.

A delete is about what came before it. What of that is in memory is brought to blocks when it is accepted, so that a
tombstone, which hides entries of blocks up to a generation, says all of it; what comes later is in no such block, were
it equal to a deleted entry. control.db has it durably before the tombstone is seen. Compaction takes the entries out
of the blocks; a delete is done when no file has any, nor the log. Its record stays for good.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from storage.batch import Mask
from storage.blockread import Block
from storage.control import Control, DeleteRecord, DeleteStatus
from storage.erased import Compiler, KnownDeletes, no_language
from storage.errors import DeleteBegun, StorageError, UnknownDelete
from storage.expiry import left_of_day
from storage.figures import DeleteFigures
from storage.flush import Flusher
from storage.setaside import SetAside
from storage.state import State, View
from storage.tombstones import Chooser, Tombstone
from storage.ulid import new_ulid
from storage.unwritable import refusal
from storage.writer import Writer

log = logging.getLogger("weir.deletes")

BETWEEN_FLUSHES = 60.0
"""Seconds at least between two flushes that only rid the log of deleted entries, where they would make blocks."""


def _always(_tenant: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How deletes work.

    Attributes:
        compiler: reads their queries.
        cancel_period: seconds for which a delete can be called off: its entries are hidden at once, and stay on disk.
        carried_out: whether a tenant's deletes are carried out now; while they are not, they only hide.
    """

    compiler: Compiler = no_language
    cancel_period: float = 0.0
    carried_out: Callable[[str], bool] = _always


@dataclass(frozen=True, slots=True)
class DeleteProgress:
    """A delete and how far it is.

    Attributes:
        record: what is kept of it.
        blocks, bytes: files that it has yet to be carried out in, and their sizes.
    """

    record: DeleteRecord
    blocks: int = 0
    bytes: int = 0

    @property
    def percent(self) -> int:
        """How much is carried out, by bytes of the files that it reached; 100 when all is."""
        if not self.record.is_open:
            return 100 if self.record.status is DeleteStatus.PROCESSED else 0
        done = self.record.bytes - self.bytes
        return min(99, max(0, 100 * done // max(1, self.record.bytes)))


@dataclass(slots=True, eq=False)
class _Open:
    """A delete that is neither done nor called off.

    Attributes:
        record: as in control.db.
        tombstone: in the tenant's view.
        segment: no later WAL segment has a record from before it.
        days: of blocks that it reached.
        files: of those, as far as they may be there.
        left: the blocks of a view, and those of them that it reaches.
        spared: how many files the tombstone had been found not to concern then.
        is_due: compaction was told that it may begin.
    """

    record: DeleteRecord
    tombstone: Tombstone
    segment: int
    days: set[int] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)
    left: tuple[tuple[Block, ...], tuple[Block, ...]] = ((), ())
    spared: int = 0
    is_due: bool = False


class Deletes:
    """The deletes of an open store. Safe for use by any number of threads, none of them an event loop's."""

    def __init__(
        self,
        state: State,
        control: Control,
        writer: Writer,
        flusher: Flusher,
        wal_dir: Path,
        known: KnownDeletes,
        options: DeleteOptions,
        *,
        origin: bytes,
        aside: SetAside,
    ) -> None:
        """Puts the tombstones of what is not carried out into the views."""
        self._state = state
        self._control = control
        self._writer = writer
        self._flusher = flusher
        self._wal_dir = wal_dir
        self._options = options
        self._origin = origin.hex()
        self._aside = aside
        self._lock = threading.Lock()
        """Over `_open` and what status a delete has. No other lock is taken while it is held."""
        self._open: dict[str, _Open] = {}
        self._counts: Tally[tuple[str, DeleteStatus]] = Tally()
        self._flushed = -BETWEEN_FLUSHES
        self._log_stays = False
        """The last flush did not rid the log of what it was made for."""
        for record in control.deletes():
            self._counts[record.tenant, record.status] += 1
        segment = self._newest_segment()
        for record in known.records:
            if record.is_open:
                found = known.compiled(record)
                tenant = state.tenant(record.tenant)
                self._show(self._opened(record, tenant.table.accepted(found.matchers), found.chooses, segment))

    # -- asking

    def accept(self, tenant_name: str, query: str, first: int, last: int, who: str) -> DeleteRecord:
        """Accepts a delete: nobody sees its entries when this returns, and it is not forgotten.

        One that is the same as another that is not carried out yet, and that nothing came after which it would delete,
        is that other one.

        Args:
            tenant_name: whose entries.
            query: which.
            first: ns.
            last: ns, included.
            who: whoever asks, for the record.

        Raises:
            BadDelete: the query cannot be read.
            StorageUnavailable: memory cannot be brought to blocks, or control.db not be written, now.
        """
        matchers, chooses = self._options.compiler(query)
        tenant = self._state.tenant(tenant_name)
        streams = tenant.table.accepted(matchers)

        def concerned(view: View) -> bool:
            nonlocal streams
            if len(streams) < len(tenant.table):
                streams = tenant.table.accepted(matchers)
            held, bounds = min(len(streams), len(view.bounds.newest)), view.bounds
            near = streams[:held] & bounds.held()[:held]
            return bool((near & (bounds.oldest[:held] <= last) & (bounds.newest[:held] >= first)).any())

        now = time.time_ns()
        try:
            with self._flusher.bring_to_blocks(tenant, concerned) as moment:
                record = DeleteRecord(
                    id=new_ulid(),
                    tenant=tenant_name,
                    query=query,
                    first=first,
                    last=last,
                    who=who,
                    created=now,
                    due=now + int(self._options.cancel_period * 1e9),
                    origin=self._origin,
                    seq=moment.seq,
                    generation=moment.generation,
                    blocks=0,
                    bytes=0,
                )
                opened = self._opened(record, streams, chooses, moment.segment)
                blocks = self._left(opened)
                if (same := self._same(record, blocks)) is not None:
                    return same
                record = replace(record, blocks=len(blocks), bytes=sum(block.size for block in blocks))
                if not blocks and not self._may_come_back(
                    record
                ):  # nothing that came is to be deleted, in memory neither
                    record = replace(record, status=DeleteStatus.PROCESSED, started=now, ended=now)
                opened.record = record
                self._control.add_delete(record)
                with self._lock:
                    self._counts[tenant_name, record.status] += 1
                if record.is_open:
                    self._show(opened)
        except OSError as error:
            raise refusal(error, "what is in memory") from error
        self._tell("accepted", record)
        return record

    def _same(self, record: DeleteRecord, blocks: Iterable[Block]) -> DeleteRecord | None:
        """The open delete of the same entries, if none of the blocks that the record reaches is later than it."""
        asked = (record.tenant, record.query, record.first, record.last)
        newest = max((block.generation for block in blocks), default=0)
        with self._lock:
            for each in self._open.values():
                other = each.record
                if (other.tenant, other.query, other.first, other.last) == asked and newest <= other.generation:
                    return other
        return None

    def listed(self, tenant: str) -> list[DeleteProgress]:
        """A tenant's deletes, by when they were accepted. Raises StorageError."""
        found = []
        for record in self._control.deletes(tenant):
            with self._lock:
                opened = self._open.get(record.id)
            blocks = self._left(opened) if opened is not None else ()
            found.append(DeleteProgress(record, len(blocks), sum(block.size for block in blocks)))
        return found

    def cancel(self, tenant: str, delete_id: str, *, force: bool = False) -> DeleteRecord:
        """Calls a delete off: its entries are seen again, as far as they are on disk.

        Args:
            tenant: whose.
            delete_id: of the request.
            force: even one that is being carried out; what is not taken out of its blocks yet comes back.

        Raises:
            UnknownDelete: the tenant has none of that id.
            DeleteBegun: it is done, or under way and not forced.
            StorageError: control.db cannot be written.
        """
        with self._lock:
            opened = self._open.get(delete_id)
            if opened is not None and opened.record.tenant == tenant:
                if opened.record.status is DeleteStatus.STARTED and not force:
                    raise DeleteBegun(
                        "the delete is being carried out, and what has been deleted does not come back. "
                        "To call off the rest of it, use the ?force query parameter"
                    )
                record = self._change(opened, DeleteStatus.CANCELLED)
                del self._open[delete_id]
            else:
                opened = None
        if opened is None:
            known = [one for one in self._control.deletes(tenant) if one.id == delete_id]
            if any(one.status is not DeleteStatus.CANCELLED for one in known):
                raise DeleteBegun("deletion of request which is in process or already processed is not allowed")
            raise UnknownDelete
        self._unshow(opened)
        self._tell("cancelled", record)
        return record

    # -- carrying out

    def _claim(self, delete_id: str) -> bool:
        """See Tombstone.claim."""
        with self._lock:
            opened = self._open.get(delete_id)
            if opened is None:
                return False  # called off since the view was taken, or done: then it reaches nothing
            if opened.record.status is DeleteStatus.STARTED:
                return True
            if not self._may_begin(opened.record):
                return False
            try:
                record = self._change(opened, DeleteStatus.STARTED)
            except StorageError as error:
                log.warning("delete %s waits: %s", delete_id, error)
                return False
        self._tell("started", record)
        return True

    def _may_begin(self, record: DeleteRecord) -> bool:
        return time.time_ns() >= record.due and self._options.carried_out(record.tenant)

    def settle(self) -> None:
        """Finds what is carried out. For the maintenance thread, now and then; holds no lock while it flushes."""
        if not self._settle():
            return
        rested = time.monotonic() - self._flushed >= BETWEEN_FLUSHES
        if not rested and (self._state.memory_bytes or self._log_stays):
            return
        try:
            self._flusher.flush(everything=False)
        except (OSError, StorageError) as error:
            log.warning("deleted entries stay in the log until the next flush: %s", error)
            self._log_stays = True
        else:
            self._log_stays = self._settle()
        self._flushed = time.monotonic()

    def _settle(self) -> bool:
        """Notes what is carried out; whether there is a delete whose entries are in the log alone."""
        only_the_log = False
        for opened in list(self._open.values()):
            self._tell_when_due(opened)
            if self._left(opened) or self._may_come_back(opened.record):
                continue
            # Somebody may still be reading one.
            opened.files = {path for path in opened.files - opened.tombstone.spared if path.exists()}
            if opened.files:
                continue
            if self._oldest_segment() <= opened.segment:
                only_the_log = True
                continue
            self._finish(opened)
        return only_the_log

    def _may_come_back(self, record: DeleteRecord) -> bool:
        """Whether a damaged block of its time is in quarantine: mended, it is there again with the next start."""
        return bool(self._aside.told(record.tenant, record.first, record.last + 1))

    def _tell_when_due(self, opened: _Open) -> None:
        """Shows the tombstone as if it were new when its delete may begin: compaction looks at what is new."""
        if opened.is_due or not self._may_begin(opened.record):
            return
        opened.is_due = True
        with self._state.lock:
            tenant = self._state.tenants[opened.record.tenant]
            tenant.set_view(tenant.view.with_tombstones((*tenant.view.tombstones,)))

    def _finish(self, opened: _Open) -> None:
        with self._lock:
            if self._open.get(opened.record.id) is not opened:
                return
            try:
                record = self._change(opened, DeleteStatus.PROCESSED)
            except StorageError as error:
                log.warning("delete %s is carried out and not noted: %s", opened.record.id, error)
                return
            del self._open[record.id]
        self._unshow(opened)
        self._forget_days(opened)
        self._tell("processed", record)

    def _forget_days(self, opened: _Open) -> None:
        """Takes out of the labels of some days what only deleted entries had; nothing is committed meanwhile."""
        tenant = self._state.tenants[opened.record.tenant]
        for day in sorted(opened.days):
            with self._writer.commit_lock:
                tenant.table.restart_day(day, *left_of_day(tenant.view, day))

    # -- figures

    def figures(self) -> DeleteFigures:
        """What is counted. Waits for nobody."""
        waiting = [opened.record.created for opened in list(self._open.values())]
        return DeleteFigures(
            {(tenant, status.value): count for (tenant, status), count in list(self._counts.items())},
            len(waiting),
            min(waiting, default=None),
        )

    # -- inside

    def _opened(self, record: DeleteRecord, streams: Mask, chooses: Chooser | None, segment: int) -> _Open:
        tombstone = Tombstone(
            record.id,
            streams,
            record.first,
            record.last + 1,
            record.generation,
            chooses,
            partial(self._claim, record.id),
        )
        opened = _Open(record, tombstone, segment)
        self._left(opened)
        return opened

    def _show(self, opened: _Open) -> None:
        """Puts a tombstone into the view."""
        with self._lock:
            self._open[opened.record.id] = opened
        with self._state.lock:
            tenant = self._state.tenants[opened.record.tenant]
            tenant.set_view(tenant.view.with_tombstones((*tenant.view.tombstones, opened.tombstone)))

    def _unshow(self, opened: _Open) -> None:
        """Takes a tombstone out of the view."""
        with self._state.lock:
            tenant = self._state.tenants[opened.record.tenant]
            rest = tuple(one for one in tenant.view.tombstones if one is not opened.tombstone)
            tenant.set_view(tenant.view.with_tombstones(rest))

    def _change(self, opened: _Open, status: DeleteStatus) -> DeleteRecord:
        """Notes a status durably. Raises StorageError."""
        now, old = time.time_ns(), opened.record
        started = old.started or (now if status is not DeleteStatus.CANCELLED else 0)
        record = replace(old, status=status, started=started, ended=0 if status is DeleteStatus.STARTED else now)
        self._control.update_delete(record)
        self._counts[old.tenant, old.status] -= 1
        self._counts[old.tenant, status] += 1
        opened.record = record
        return record

    def _left(self, opened: _Open) -> tuple[Block, ...]:
        """The blocks that a delete has yet to be carried out in."""
        blocks = self._state.tenants[opened.record.tenant].view.blocks
        if opened.left[0] is not blocks or len(opened.tombstone.spared) != opened.spared:
            opened.spared = len(opened.tombstone.spared)
            opened.left = blocks, tuple(block for block in blocks if opened.tombstone.reaches(block))
            opened.days |= {block.day for block in opened.left[1]}
            opened.files |= {block.path for block in opened.left[1]}
        return opened.left[1]

    def _segments(self) -> Iterable[int]:
        return (int(path.stem) for path in self._wal_dir.glob("*.wal"))

    def _oldest_segment(self) -> int:
        return min(self._segments(), default=1 << 62)

    def _newest_segment(self) -> int:
        return max(self._segments(), default=0)

    @staticmethod
    def _tell(what: str, record: DeleteRecord) -> None:
        log.info("delete %s", what, extra={"fields": asdict(record)})
