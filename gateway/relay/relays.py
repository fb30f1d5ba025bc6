"""All relays of a server: started when its store is open, stopped before that is closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.logs import event
from gateway.relay.errors import UnknownBatch, UnknownRelay
from gateway.relay.figures import RelayFigures
from gateway.relay.relay import Alerting, Relay
from gateway.relay.sink import RelayOptions, Sink
from gateway.relay.way import Way, read_path
from storage.outbox.ledger import RelayBatch
from storage.outbox.places import Place

if TYPE_CHECKING:
    from storage import Store
    from storage.outbox.outbox import Outbox

_log = logging.getLogger("weir.relay")


class Relays:
    """The relays of a server. For the event loop, but for `on_commit`.

    Attributes:
        way: what is known of the way of the rows this server has.
    """

    def __init__(self, parts: Sequence[tuple[RelayOptions, Sink]], way: Way | None = None) -> None:
        """`parts`: what each relay does, and where it sends to."""
        self.way = way or Way("")
        self._parts = list(parts)
        self._relays: dict[str, Relay] = {}
        self._gone: dict[str, Place] = {}
        self._outbox: Outbox | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, parts: Sequence[tuple[RelayOptions, Sink]]) -> None:
        """More relays, before `start`."""
        self._parts += parts

    async def start(self, store: Store, alerts: Alerting) -> None:
        """Starts all. Raises StorageError."""
        self._outbox = outbox = store.outbox
        self._loop = asyncio.get_running_loop()
        self.way.opened(store.origin.hex())
        for instance in await asyncio.to_thread(store.instances):
            self.way.heard(read_path(", ".join(instance.path)), instance.last_received)
        names = {options.name for options, _ in self._parts}
        cursors = await asyncio.to_thread(outbox.cursors)
        self._gone = {name: place for name, place in cursors.items() if name not in names}
        for name, place in self._gone.items():
            kept = await asyncio.to_thread(outbox.backlog, place)
            event(
                _log,
                logging.WARNING,
                f"relay {name} is in no setting any more: what it was to send is kept until `weir relay remove "
                f"--relay {name}`",
                relay=name,
                backlog_records=kept.rows,
                backlog_bytes=kept.bytes,
                disk_bytes=kept.disk_bytes,
            )
        for options, sink in self._parts:
            relay = self._relays[options.name] = Relay(options, sink, outbox, alerts)
            await relay.start()
        if self._relays:
            outbox.wake(self.on_commit)

    def on_commit(self) -> None:
        """Something came in. Called on the writer's thread, after each commit: does nothing where nobody waits."""
        if self._loop is not None and any(relay.is_idle for relay in self._relays.values()):
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for relay in self._relays.values():
            relay.woken()

    async def stop(self, seconds: float) -> bool:
        """Ends all; batches in flight have so many seconds. Whether none had to be cut: those are sent again."""
        if self._outbox is not None:
            self._outbox.wake(None)
        return all(await asyncio.gather(*(relay.stop(seconds) for relay in self._relays.values())))

    def hurry(self) -> None:
        """Cuts batches in flight: the next start sends them again. After `stop` was called, which then ends."""
        for relay in self._relays.values():
            relay.hurry()

    # -- for the API

    def known(self) -> list[RelayFigures]:
        """Each relay of the settings as it was at its last look: at once, for /metrics."""
        return [relay.figures() for relay in self._relays.values()]

    async def figures(self) -> list[RelayFigures]:
        """Each relay as it is now, those that are in no setting any more among them. Raises StorageError."""
        return [
            *(await asyncio.gather(*(relay.look() for relay in self._relays.values()))),
            *(await asyncio.gather(*(asyncio.to_thread(self._of_gone, name) for name in self._gone))),
        ]

    def _of_gone(self, name: str) -> RelayFigures:
        assert self._outbox is not None  # or nothing was found gone
        return RelayFigures(
            name=name,
            kind="",
            destination="",
            state="gone",
            size=0,
            target=0,
            totals=self._outbox.ledger.totals(name).by_status,
            deduplicated=0,
            given_up=0,
            backlog=self._outbox.backlog(self._gone[name]),
            retries=0,
            failures=0,
            last_success=0,
            last_error="",
        )

    async def retry(self, uuid: UUID) -> RelayBatch:
        """Has a batch sent now, be it refused or between two tries. Raises UnknownBatch, StorageError."""
        for relay in self._relays.values():
            if relay.has(uuid):
                return await relay.retry(uuid)
        raise UnknownBatch(str(uuid))

    async def retry_all(self, name: str | None = None) -> list[RelayBatch]:
        """As `retry`, for every open batch of a relay, or of all. Raises UnknownRelay, StorageError."""
        if name is not None and name not in self._relays:
            raise UnknownRelay(name)
        batches: list[RelayBatch] = []
        for relay in self._relays.values():
            if name in (None, relay.name):
                batches += await relay.retry_all()
        return batches

    async def remove(self, uuid: UUID) -> RelayBatch:
        """Gives an open batch up. Raises UnknownBatch, StorageError."""
        for relay in self._relays.values():
            if relay.has(uuid):
                return await relay.remove(uuid, "removed by an operator")
        raise UnknownBatch(str(uuid))

    async def remove_relay(self, name: str) -> int:
        """Gives up all that a relay has to send; one that is in no setting any more is forgotten. How many records.

        Raises UnknownRelay, StorageError.
        """
        if name in self._relays:
            return await self._relays[name].remove_all("removed by an operator")
        if name not in self._gone or self._outbox is None:
            raise UnknownRelay(name)
        outbox = self._outbox
        kept = await asyncio.to_thread(outbox.backlog, self._gone[name])
        await asyncio.to_thread(outbox.unsubscribe, name)
        del self._gone[name]
        event(_log, logging.WARNING, f"relay {name} was removed", relay=name, records=kept.rows)
        return kept.rows
