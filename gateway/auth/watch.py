"""Keys that change while the server runs: control.db is asked each second whether anybody has written to it.

So a command beside the server needs nothing of it, and the first key can be made before there is any. Reading goes
wrong only where the disk does; then the keys that were read last stay in force.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time

from gateway.auth.grants import GRANT, Grant
from gateway.auth.ring import KeyRing
from gateway.listener import CUT
from gateway.logs import event
from gateway.state import Gateway
from storage import KeyRecord, KeyTable, open_keys
from storage.errors import StorageError

_log = logging.getLogger("weir.auth")

PERIOD = 1.0
"""Seconds after which a key that was made or revoked counts, at most."""


class KeyWatch:
    """Keeps a gateway's keys those of control.db. For the event loop; the file is read on a thread."""

    def __init__(self, gateway: Gateway) -> None:
        self._gate = gateway.gate
        self._requests = gateway.requests
        self._data_dir = gateway.settings.data_dir
        self._table: KeyTable | None = None
        self._version: int | None = None

    async def start(self) -> None:
        """Reads the keys for the first time; the store is open. Nobody is let in before they could be read."""
        self._gate.use(KeyRing())
        await self.look()
        if self._gate.is_good and not self._gate.ring.count(time.time_ns()):
            event(
                _log,
                logging.WARNING,
                "auth.enabled is on and there is no key: make one with weir keys create",
                command=f"weir keys create --data-dir {self._data_dir.absolute()} --description FOR_WHOM",
            )

    async def run(self) -> None:
        """Looks every PERIOD until it is cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            await self.look()
            self._end_sockets()

    async def look(self) -> None:
        """Puts the keys in force that control.db has now."""
        gate = self._gate
        try:
            records = await asyncio.to_thread(self._changed)
        except (StorageError, sqlite3.Error, OSError) as error:
            if gate.is_good:
                event(_log, logging.ERROR, f"the keys stay as they were: {error}")
            gate.is_good = False
            return
        gate.is_good = True
        if records is not None and records != gate.ring.records:
            gate.use(KeyRing(records))
            event(_log, logging.INFO, "the keys were read", keys=gate.ring.count(time.time_ns()))

    def _end_sockets(self) -> None:
        """Ends websockets whose key is no longer good: a live tail may last for months."""
        now = time.time_ns()
        for request in tuple(self._requests):
            grant: Grant | None = request.scope.get(GRANT)
            if request.scope["type"] != "websocket" or grant is None or self._gate.ring.is_good(grant, now):
                continue
            event(_log, logging.INFO, "a websocket is ended: its key is no longer good", key=grant.key)
            if (cut := request.scope.get("state", {}).get(CUT)) is not None:
                cut()

    def close(self) -> None:
        """Closes the file."""
        if self._table is not None:
            self._table.close()

    def _changed(self) -> list[KeyRecord] | None:
        """The keys, if anybody has written to control.db. What is written meanwhile is seen the next time."""
        if self._table is None:
            self._table = open_keys(self._data_dir)
        version = self._table.version
        if version == self._version:
            return None
        records = self._table.all()
        self._version = version
        return records
