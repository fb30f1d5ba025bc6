"""What the store holds in memory: per tenant a stream table and a view of its blocks and runs.

A view is replaced as a whole, so that a reader who took it sees every row exactly once, whatever a flush does.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np

from storage.batch import I32, I64
from storage.blockread import Block
from storage.memtable import Run
from storage.streams import StreamTable

_OLDEST = np.iinfo(np.int64).max
_NEWEST = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class View:
    """A tenant's rows.

    Attributes:
        blocks: on disk, in order of arrival.
        frozen: runs that a flush is writing, in order of arrival.
        runs: runs that came after it.
    """

    blocks: tuple[Block, ...] = ()
    frozen: tuple[Run, ...] = ()
    runs: tuple[Run, ...] = ()

    @property
    def memory(self) -> tuple[Run, ...]:
        """All runs in memory, in order of arrival; no row repeats another."""
        return self.frozen + self.runs


class Tenant:
    """One tenant."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.table = StreamTable()
        self.view = View()
        self.since: float | None = None
        """time.monotonic() at which the oldest row in memory came."""
        self.nbytes = 0
        """Bytes of the runs in memory."""
        self.duplicate_bytes = 0
        self._oldest = np.full(64, _OLDEST, np.int64)
        self._newest = np.full(64, _NEWEST, np.int64)

    def bounds(self) -> tuple[I64, I64]:
        """(oldest, newest) ts in memory of every stream of the table, int64[streams] ns."""
        missing = len(self.table) - len(self._newest)
        if missing > 0:
            grow = max(missing, len(self._newest))
            self._oldest = np.concatenate([self._oldest, np.full(grow, _OLDEST, np.int64)])
            self._newest = np.concatenate([self._newest, np.full(grow, _NEWEST, np.int64)])
        return self._oldest, self._newest

    def widen(self, stream: I32, ts: I64) -> None:
        """Notes rows that came into memory."""
        oldest, newest = self.bounds()
        np.minimum.at(oldest, stream, ts)
        np.maximum.at(newest, stream, ts)

    def set_view(self, view: View) -> None:
        """Replaces the view; the bounds of what is in memory are taken anew when rows left it."""
        shrunk = len(view.memory) == 0 or view.frozen != self.view.frozen
        self.view = view
        self.nbytes = sum(run.nbytes for run in view.memory)
        if not view.memory:
            self.since = None
        elif self.since is None:
            self.since = time.monotonic()
        if shrunk:
            oldest, newest = (
                np.full(len(self._oldest), _OLDEST, np.int64),
                np.full(len(self._newest), _NEWEST, np.int64),
            )
            for run in view.memory:
                np.minimum.at(oldest, run.batch.stream, run.batch.ts)
                np.maximum.at(newest, run.batch.stream, run.batch.ts)
            self._oldest, self._newest = oldest, newest


@dataclass(slots=True)
class State:
    """All tenants. `lock` is held by whoever replaces a view."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def tenant(self, name: str) -> Tenant:
        """The tenant of that name, made if it is new."""
        found = self.tenants.get(name)
        if found is None:
            with self.lock:
                found = self.tenants.setdefault(name, Tenant(name))
        return found

    @property
    def memory_bytes(self) -> int:
        """Bytes of all runs in memory."""
        return sum(tenant.nbytes for tenant in list(self.tenants.values()))
