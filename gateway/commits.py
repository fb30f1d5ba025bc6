"""From the event loop to the store and back: pushes go over together, their outcomes come back together.

What a commit costs is mostly the group's, not the push's (docs/adr/0006): so the batches that one turn of the event
loop decoded are handed over at its end, in one go. No timer: a push that is alone waits for nothing.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from storage import BatchId, Receipt
from storage.batch import Batch
from storage.errors import StorageError

if TYPE_CHECKING:
    from gateway.state import LogStore


class _Commit:
    """A batch on its way; `home` is the event loop's thread."""

    __slots__ = ("_batch", "_future", "_home", "_identity", "_store", "_tenant")

    def __init__(
        self,
        store: LogStore,
        tenant: str,
        batch: Batch,
        identity: BatchId | None,
        future: asyncio.Future[Receipt],
        home: int,
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._batch = batch
        self._identity = identity
        self._future = future
        self._home = home

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
            self._future.get_loop().call_soon_threadsafe(self._settle, outcome)

    def _settle(self, outcome: Receipt | Exception) -> None:
        if self._future.done():  # the client left
            return
        if isinstance(outcome, Exception):
            self._future.set_exception(outcome)
        else:
            self._future.set_result(outcome)


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
        self._waiting.append(_Commit(store, tenant, batch, identity, future, threading.get_ident()))
        return future

    def _hand_over(self) -> None:
        waiting, self._waiting = self._waiting, []
        for commit in waiting:
            commit.start()
