"""The collector of a server: files of its own machine, stored here or sent to another server.

It runs in a thread. What it reads goes the way of a push, as a body with a batch id, without a socket: so limits,
levels, metrics and the memory of batch ids are those of a push, and no key is needed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as Overdue
from pathlib import Path
from uuid import UUID

from anyio import to_thread

from config.limits import Limits
from gateway.client.errors import BadArgument
from gateway.collect.delivery import Again, Conflict, Delivery, Outcome, Taken, TooLarge
from gateway.collect.making import collector_of, target_of_settings
from gateway.collect.push import HttpDelivery
from gateway.collect.run import Collector
from gateway.logs import event
from gateway.push.counting import Sender, count_push
from gateway.push.decode import decode_push
from gateway.push.encodings import decoded_size
from gateway.push.errors import IngestionBlocked, PushError, PushTooLarge, RateLimited
from gateway.push.threads import decoding
from gateway.push.validate import Verdict, validate
from gateway.rejected.journal import Sender as RejectedSender
from gateway.state import Gateway, IngestBusy, NotReady
from storage import BatchId, batch_digest
from storage.batch import Batch
from storage.errors import BatchIdConflict, StorageError

_log = logging.getLogger("weir.collect")

CLIENT = "weir-collect"
"""What stands for a User-Agent in the metrics of pushes."""
_MEDIA = "application/x-protobuf"
_LONGEST = 120.0
"""Seconds that a batch may take; then it is sent again, under its id."""


class Inside:
    """The collector of one server; its methods are for the event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._collector: Collector | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to follow files, if the settings say so. What is wrong with them is logged."""
        gateway = self._gateway
        settings = gateway.settings.collector
        if not settings.is_on:
            return
        state = Path(settings.state) if settings.state else gateway.settings.data_dir / "collector"
        try:
            connect = _connect(gateway, asyncio.get_running_loop())
            self._collector = collector_of(settings, state, connect, figures=gateway.collector)
        except BadArgument as error:
            event(_log, logging.ERROR, f"the collector cannot start: {error}")
            return
        self._thread = threading.Thread(target=self._run, args=(self._collector,), name="collect", daemon=True)
        self._thread.start()

    async def stop(self, seconds: float) -> None:
        """Ends it; what is not stored by then is sent at the next start."""
        if self._collector is None or self._thread is None:
            return
        self._collector.stop()
        await asyncio.to_thread(self._thread.join, max(0.0, seconds))

    def _run(self, collector: Collector) -> None:
        try:
            collector.run()
        except (BadArgument, OSError) as error:
            event(_log, logging.ERROR, f"the collector ended: {error}")
        except Exception as error:  # noqa: BLE001 - the server goes on without it, and says so
            event(_log, logging.ERROR, "the collector ended", exc_info=error)


class StoreDelivery:
    """Batches to the store of this server; called on a thread of its own."""

    def __init__(self, gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        self._gateway = gateway
        self._loop = loop
        self._tenant = gateway.settings.collector.tenant or gateway.settings.tenancy.default

    def send(self, body: bytes, batch_id: UUID) -> Outcome:
        """As Delivery."""
        stored = self._store(body, batch_id)
        try:
            waiting = asyncio.run_coroutine_threadsafe(stored, self._loop)
        except RuntimeError:  # the loop is closed
            stored.close()
            return Again("unreachable", "the server is ending")
        try:
            return waiting.result(_LONGEST)
        except (Overdue, CancelledError):
            waiting.cancel()
            return Again("unreachable", "the store did not answer in time")

    def close(self) -> None:
        """As Delivery."""

    async def _store(self, body: bytes, batch_id: UUID) -> Outcome:
        gateway, tenant = self._gateway, self._tenant
        try:
            store = gateway.store
            async with gateway.ingest.hold(decoded_size(body, "", _MEDIA)):
                limits = gateway.settings.limits_for(tenant)
                batch, verdict, identity = await to_thread.run_sync(
                    self._taken, body, batch_id, limits, limiter=decoding
                )
                count_push(gateway.metrics, Sender(tenant, CLIENT, _MEDIA, ""), batch, verdict)
                gateway.rejected.lines(tenant, RejectedSender("collector", "-"), verdict.discarded)
                if isinstance(verdict.error, RateLimited | IngestionBlocked):
                    return Again("busy", str(verdict.error))
                receipt = None
                if verdict.batch is not None:
                    receipt = await gateway.commits.put(store, tenant, verdict.batch, identity)
        except PushTooLarge as error:
            return TooLarge(str(error))
        except BatchIdConflict as error:
            return Conflict(str(error))
        except PushError as error:
            return Taken(1, str(error))
        except (StorageError, IngestBusy, NotReady) as error:
            return Again("busy", str(error), 1.0)
        refused = sum(discard.lines for discard in verdict.discarded)
        said = str(verdict.error or "")
        return Taken(refused, said, deduplicated=receipt is not None and receipt.deduplicated)

    def _taken(self, body: bytes, batch_id: UUID, limits: Limits) -> tuple[Batch, Verdict, BatchId]:
        gateway = self._gateway
        batch = decode_push(body, _MEDIA, "", False, limits, repair_names=False, room=gateway.ingest.limit)
        identity = BatchId(batch_id.bytes, batch_digest(batch))
        return batch, validate(batch, self._tenant, limits, time.time_ns(), gateway.stream_states), identity


def _connect(gateway: Gateway, loop: asyncio.AbstractEventLoop) -> Callable[[], Delivery]:
    """The way to where lines are to go. Raises BadArgument."""
    settings = gateway.settings.collector
    if not settings.url:
        return lambda: StoreDelivery(gateway, loop)
    target = target_of_settings(settings, settings.url)
    return lambda: HttpDelivery(target)
