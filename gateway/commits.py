"""From the event loop to the store and back: pushes go over together, their outcomes come back together.

What a commit costs is mostly the group's, not the push's (docs/adr/0006): so the batches that one turn of the event
loop decoded are handed over at its end, in one go. No timer: a push that is alone waits for nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from storage import BatchId, Receipt
from storage.batch import Batch
from storage.errors import StorageError

if TYPE_CHECKING:
    from gateway.state import LogStore


Settle = Callable[[Receipt | Exception], None]
"""What is told on the event loop what became of a batch."""


class _Commit:
    """A batch on its way; `home` is the event loop's thread."""

    __slots__ = ("_batch", "_home", "_identity", "_loop", "_settle", "_store", "_tenant")

    def __init__(self, store: LogStore, tenant: str, batch: Batch, identity: BatchId | None, settle: Settle) -> None:
        self._store = store
        self._tenant = tenant
        self._batch = batch
        self._identity = identity
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._home = threading.get_ident()

    def start(self) -> None:
        """Hands it over."""
        try:
            self._store.append(self._tenant, self._batch, self._done, batch_id=self._identity)
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            self._settle(error)

    def _done(self, outcome: Receipt | StorageError) -> None:
        # The store of a server calls on the event loop, once a commit group; others may call from their own thread.
        if threading.get_ident() == self._home:
            self._settle(outcome)
        else:
            self._loop.call_soon_threadsafe(self._settle, outcome)


def settle(future: asyncio.Future[Receipt], outcome: Receipt | Exception) -> None:
    """Gives a future its outcome, unless nobody waits for it any more."""
    if future.done():  # the client left
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


class Commits:
    """Batches that wait for the end of this turn of the event loop. Used on the loop's thread alone."""

    def __init__(self) -> None:
        self._waiting: list[_Commit] = []

    def put(self, store: LogStore, tenant: str, batch: Batch, identity: BatchId | None) -> asyncio.Future[Receipt]:
        """Stores a batch.

        Returns:
            What becomes of it: a Receipt when it is on disk, or the StorageError that refused it.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._hand_over)
        future: asyncio.Future[Receipt] = loop.create_future()
        self._waiting.append(_Commit(store, tenant, batch, identity, partial(settle, future)))
        return future

    def send(self, store: LogStore, tenant: str, batch: Batch, told: Settle) -> None:
        """Stores a batch that is a turn's already, at once; `told` what becomes of it."""
        _Commit(store, tenant, batch, None, told).start()

    def _hand_over(self) -> None:
        waiting, self._waiting = self._waiting, []
        for commit in waiting:
            commit.start()
