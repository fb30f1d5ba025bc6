"""One relay: takes batches from its book, gives them to its sink in order, and has what comes of it written down.

One task on the event loop; the book's work is done by a thread of the relay's own, one call at a time. A batch is sent
until the destination has it or an operator gives it up: nothing else moves the cursor, but for `max_backlog` and
`on_failure: discard`, where they are set.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar
from uuid import UUID

from gateway.logs import event
from gateway.relay.backoff import delay
from gateway.relay.book import Book, Log
from gateway.relay.errors import UnknownBatch
from gateway.relay.figures import RelayFigures, State
from gateway.relay.selection import Selection
from gateway.relay.sink import Archived, Conflict, Failed, Outcome, Outgoing, Refused, RelayOptions, Sink
from gateway.relay.size import AdaptiveSize
from storage.errors import StorageError
from storage.outbox.ledger import RelayBatch
from storage.outbox.places import Backlog

_log = logging.getLogger("weir.relay")
_T = TypeVar("_T")

LOOK_EVERY = 0.1
"""Seconds between two looks at what came in, at least: a log of many small commits is not read one by one."""
IDLE = 5.0
"""Seconds between two looks at most."""
TOO_SLOW = 3
"""Tries of a batch that may end for want of time before it is halved. Not sooner: if the destination has stored it
without a word, its halves come under new ids."""


class Alerting(Protocol):
    """Who is told of what is wrong (gateway.notify)."""

    def raised(self, key: str, summary: str, details: Mapping[str, str], severity: str = ...) -> None:
        """Something is wrong; told once until it is resolved."""

    def resolved(self, key: str) -> None:
        """It is over; nothing if it was not raised."""


class Relay:
    """One destination of what comes in."""

    def __init__(self, options: RelayOptions, sink: Sink, log: Log, alerts: Alerting) -> None:
        """Raises LogQLError: the selector is none."""
        self.options = options
        self.sink = sink
        selection = Selection(options.selector, options.add_labels)
        self._book = Book(options.name, log, selection, holds_retention=options.holds_retention)
        self._opened = False
        self._alerts = alerts
        self._size = AdaptiveSize(options.batch_size, options.batch_size_min, options.batch_size_recovery)
        self._thread = ThreadPoolExecutor(1, f"relay-{options.name}")
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._came = asyncio.Event()
        self._asked = asyncio.Event()
        self._state: State = "starting"
        self._backlog = Backlog()
        self._outgoing: Outgoing | None = None
        self._slow = 0
        self._renewed: UUID | None = None
        self._failures = 0
        self._retries = 0
        self._deduplicated = 0
        self._given_up = 0
        self._last_success = 0
        self._last_error = ""

    @property
    def name(self) -> str:
        """Of the relay, its cursor, and its alerts."""
        return self.options.name

    @property
    def is_idle(self) -> bool:
        """Whether it waits to be told that something came in. For any thread."""
        return self._state == "waiting" and not self._came.is_set()

    def has(self, uuid: UUID) -> bool:
        """Whether a batch is one of its open ones."""
        return any(batch.uuid == uuid for batch in self._book.open_batches)

    # -- life

    async def start(self) -> None:
        """Begins where the last process left; a new one with what comes in from now on."""
        try:
            await self._open()
        except (StorageError, OSError) as error:
            self._tell_failure(f"the outbox cannot be used: {error}", None)
        self._task = asyncio.create_task(self._run(), name=f"relay {self.name}")

    def woken(self) -> None:
        """Something came in."""
        self._came.set()

    async def stop(self, seconds: float) -> bool:
        """Ends it; a batch in flight has so many seconds. Whether it ended in time: if not, the next start sends it."""
        self._stopping.set()
        self._came.set()
        self._asked.set()
        in_time = True
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=max(0.0, seconds))
            self._task.cancel()
            await asyncio.wait({self._task})
            in_time = not self._task.cancelled()
        # A call that is at work ends: nothing may touch the store once it is closed.
        await asyncio.to_thread(self._thread.shutdown)
        await self.sink.close()
        self._state = "stopped"
        return in_time

    def hurry(self) -> None:
        """Cuts a batch in flight."""
        if self._task is not None:
            self._task.cancel()

    async def _open(self) -> None:
        await self._do(self._book.open)
        self._opened = True

    async def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                if not self._opened:
                    await self._open()
                await self._turn()
                failures = 0
            except UnknownBatch as error:
                self._outgoing = None
                event(_log, logging.INFO, f"a batch was given up while it was sent: {error}", relay=self.name)
            except (StorageError, OSError) as error:
                failures += 1
                self._tell_failure(f"the outbox cannot be used: {error}", None)
                await self._pause(delay(failures))
            except Exception as error:  # noqa: BLE001 - a relay outlives whatever a batch is
                failures += 1
                event(_log, logging.ERROR, "relay failed", relay=self.name, exc_info=error)
                self._tell_failure(f"unexpected: {error!r}", None)
                await self._pause(delay(failures))

    async def _turn(self) -> None:
        """Sends the next batch, or waits for one."""
        self._came.clear()  # before anything is looked at: what comes after that is waited for no longer
        if self.options.max_backlog:
            await self._trim()
        batch = self._book.next
        self._backlog = await self._do(self._book.backlog)
        if batch is not None:
            await self._deliver(batch)
            return
        self._state = "waiting"
        if await self._do(self._book.gather, self._size.now, self.options.batch_interval):
            return
        waited = self._book.waiting()
        left = (self.options.batch_interval - waited) / 1e9 if waited else IDLE
        await _until(self._came, min(max(left, 0.001), IDLE))
        if waited == 0 or left > LOOK_EVERY:
            await _until(self._stopping, LOOK_EVERY)

    # -- a batch

    async def _deliver(self, batch: RelayBatch) -> None:
        outgoing = self._outgoing
        if outgoing is None or outgoing.uuid != batch.uuid:
            self._slow = 0
            rows = await self._do(self._book.rows, batch)
            outgoing = Outgoing(self.name, batch.uuid, self.options.tenant or batch.tenant, rows, len(rows))
            self._outgoing = outgoing
        if not outgoing.records:
            reason = "nothing of it is selected any more, or it was lost to damage"
            self._removed(await self._do(self._book.give_up, batch, reason))
            return
        if outgoing.records != batch.records:
            self._event(
                "batch is not what it was: the selector was changed, or rows were lost to damage",
                batch,
                logging.WARNING,
                found=outgoing.records,
            )
        batch = await self._do(self._book.sending, batch)
        self._state = "sending"
        self._event("batch started", batch, tenant=batch.tenant, bytes=batch.bytes)
        began = time.monotonic()
        outcome = await self.sink.send(outgoing)
        if not self._book.has(batch.uuid):
            self._event("batch was given up meanwhile", batch, outcome=type(outcome).__name__)
            return
        await self._ended(batch, outcome, time.monotonic() - began)

    async def _ended(self, batch: RelayBatch, outcome: Outcome, seconds: float) -> None:
        if isinstance(outcome, Conflict) and self._renewed == batch.uuid:
            # An id that was never used before: it is something else, and another id will not help.
            outcome = Failed(outcome.reason)
        match outcome:
            case Archived():
                await self._archived(batch, outcome, seconds)
            case Conflict(reason):
                renewed = await self._do(self._book.renew, batch, reason)
                self._renewed = renewed.uuid
                self._retries += 1
                self._event(
                    "batch failed", batch, logging.WARNING, status="conflict", error=reason, sent_as=str(renewed.uuid)
                )
            case Refused(reason, too_large):
                await self._refused(batch, reason, too_large=too_large)
            case Failed(reason, retry_after, too_slow):
                await self._failed(batch, reason, retry_after, too_slow=too_slow)

    async def _archived(self, batch: RelayBatch, outcome: Archived, seconds: float) -> None:
        await self._do(self._book.archived, batch)
        self._outgoing = None
        self._failures = 0
        self._last_success = time.time_ns()
        self._last_error = ""
        self._deduplicated += outcome.deduplicated
        self._event("batch archived", batch, seconds=round(seconds, 3), deduplicated=outcome.deduplicated)
        self._alerts.resolved(f"relay/{self.name}")
        if not self._book.refused:
            self._alerts.resolved(f"relay/{self.name}/refused")
        if self._size.succeeded():
            self._tell_size(batch)

    async def _refused(self, batch: RelayBatch, reason: str, *, too_large: bool) -> None:
        self._last_error = reason
        if too_large and await self._do(self._book.halve, batch, reason):
            self._retries += 1
            self._event("batch failed", batch, logging.WARNING, status="too large", error=reason)
            if self._size.failed():
                self._tell_size(batch)
            return
        await self._do(self._book.set_aside, batch, reason)
        self._event("batch refused", batch, logging.ERROR, status="refused", error=reason)
        self._alerts.raised(
            f"relay/{self.name}/refused",
            f"{self.name}: a batch was refused and set aside",
            self._details(reason) | {"batch": str(batch.uuid), "records": str(batch.records)},
        )

    async def _failed(self, batch: RelayBatch, reason: str, retry_after: float | None, *, too_slow: bool) -> None:
        batch = await self._do(self._book.failed, batch, reason)
        self._retries += 1
        self._slow = self._slow + 1 if too_slow else 0
        wait = delay(self._failures + 1, retry_after)
        self._event("batch failed", batch, logging.WARNING, status="failed", error=reason, again_in=round(wait, 3))
        self._tell_failure(reason, batch)
        if self._size.failed():
            self._tell_size(batch)
        if self.options.on_failure == "discard" and self._failures >= self.options.notify_after:
            self._failures = 0
            self._removed(await self._do(self._book.give_up, batch, reason))
            return
        if self._slow >= TOO_SLOW and await self._do(self._book.halve, batch, reason):
            self._event("batch halved", batch, logging.WARNING, error=reason)
        await self._pause(wait)

    async def _trim(self) -> None:
        most = self.options.max_backlog
        for batch in await self._do(self._book.trim, most, f"more than {most} bytes wait (max_backlog)"):
            self._removed(batch)

    def _removed(self, batch: RelayBatch) -> None:
        self._given_up += batch.records
        self._event("batch given up", batch, logging.ERROR, status="removed", error=batch.error)

    # -- what others ask for, on the event loop

    async def retry(self, uuid: UUID) -> RelayBatch:
        """Sends a refused batch again, and whatever waits at once. Raises UnknownBatch, StorageError."""
        batch = await self._do(self._book.retry, uuid)
        self._asked.set()
        self._came.set()
        return batch

    async def retry_all(self) -> list[RelayBatch]:
        """As `retry`, for every open batch. Raises StorageError."""
        batches = []
        for each in reversed(self._book.open_batches):
            with suppress(UnknownBatch):  # it got through meanwhile
                batches.append(await self._do(self._book.retry, each.uuid))
        self._asked.set()
        self._came.set()
        return batches

    async def remove(self, uuid: UUID, reason: str) -> RelayBatch:
        """Gives an open batch up. Raises UnknownBatch, StorageError."""
        batch = await self._do(self._book.remove, uuid, reason)
        self._removed(batch)
        if not self._book.refused:
            self._alerts.resolved(f"relay/{self.name}/refused")
        await self._forget_failures()
        self._asked.set()
        return batch

    async def remove_all(self, reason: str) -> int:
        """Gives up all that is owed now; how many records. Raises StorageError."""
        before = self._given_up
        for batch in await self._do(self._book.remove_all, reason):
            self._removed(batch)
        self._alerts.resolved(f"relay/{self.name}/refused")
        await self._forget_failures()
        self._asked.set()
        return self._given_up - before

    async def _forget_failures(self) -> None:
        """With nothing left to send there is nothing that fails: no later success would say so."""
        self._backlog = await self._do(self._book.backlog)
        if not self._backlog.rows:
            self._failures, self._last_error = 0, ""
            self._alerts.resolved(f"relay/{self.name}")

    def figures(self) -> RelayFigures:
        """As they were at the last look; at once."""
        return RelayFigures(
            name=self.name,
            kind=self.sink.kind,
            destination=self.sink.destination,
            state=self._state,
            size=self._size.now,
            target=self._size.target,
            totals=self._book.totals,
            deduplicated=self._deduplicated,
            given_up=self._given_up,
            backlog=self._backlog,
            retries=self._retries,
            failures=self._failures,
            last_success=self._last_success,
            last_error=self._last_error,
        )

    async def look(self) -> RelayFigures:
        """As `figures`, the backlog as it is now. Raises StorageError."""
        self._backlog = await self._do(self._book.backlog)
        return self.figures()

    # -- parts

    async def _do(self, call: Callable[..., _T], *args: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    async def _pause(self, seconds: float) -> None:
        """Waits for the next try, for the stop, or until an operator wants it now."""
        self._state = "failing"
        until = time.monotonic() + seconds
        self._asked.clear()
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            if await _until(self._asked, min(left, IDLE)):
                return
            self._backlog = await self._do(self._book.backlog)

    def _tell_failure(self, reason: str, batch: RelayBatch | None) -> None:
        self._failures += 1
        self._last_error = reason
        if self._failures >= self.options.notify_after:
            more = {} if batch is None else {"batch": str(batch.uuid), "records": str(batch.records)}
            self._alerts.raised(
                f"relay/{self.name}",
                f"{self.name}: nothing gets through to {self.sink.destination}",
                self._details(reason) | more,
            )

    def _details(self, reason: str) -> dict[str, str]:
        return {
            "relay": self.name,
            "destination": self.sink.destination,
            "error": reason,
            "failures": str(self._failures),
            "backlog_records": str(self._backlog.rows),
            "backlog_bytes": str(self._backlog.bytes),
        }

    def _tell_size(self, batch: RelayBatch) -> None:
        self._event("batch size changed", batch)

    def _event(self, text: str, batch: RelayBatch, level: int = logging.INFO, **fields: Any) -> None:
        """One line of the log: what happened to which batch, and the size that batches have now."""
        event(
            _log,
            level,
            text,
            relay=self.name,
            batch=str(batch.uuid),
            records=batch.records,
            **fields,
            size=self._size.now,
            percent=self._size.percent,
        )


async def _until(happened: asyncio.Event, seconds: float) -> bool:
    """Whether it happened within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await happened.wait()
    except TimeoutError:
        return False
    return True
