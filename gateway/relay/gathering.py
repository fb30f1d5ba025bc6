"""Rows of the log that will be the next batches: read as they come, until one of them is full."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.relay.selection import Selection
from storage.batch import Batch
from storage.outbox.places import Backlog, Place, Stretch
from storage.rows import batch_bytes, concat_batches

MOST_BYTES = 3 << 20
"""Bytes of a batch's columns, about; a single longer line goes alone. Loki's parts refuse messages of 4 MB from one
another as they are set up by default."""
MOST_ROWS = 64 << 10
"""Rows that are read at once, at most."""
FULL = 0.9
"""Part of its size from which a batch is full where more rows would have to be looked for among many others."""


class Rows(Protocol):
    """What is asked of the outbox here."""

    def read(self, first: Place, rows: int, *, upto: Place | None = None, nbytes: int = ...) -> Stretch:
        """The next rows from a place on."""

    def backlog(self, first: Place) -> Backlog:
        """What is behind a place."""


@dataclass(slots=True, eq=False)
class Gathering:
    """The next batches in the making: one a tenant, all between the same two places.

    Attributes:
        first: where their rows begin.
        end: up to where the log was read.
        tenants: rows of each, in pieces.
        counts: how many.
        bytes: of their columns.
        oldest: ns, about when the first of them came in; 0: there are none.
        since: time.monotonic() when it was found.
    """

    first: Place
    end: Place
    tenants: dict[str, list[Batch]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    oldest: int = 0
    since: float = 0.0

    @property
    def most(self) -> int:
        """Rows of the tenant that has the most."""
        return max(self.counts.values(), default=0)

    def is_full(self, size: int) -> bool:
        """Whether a batch of so many records, or one as long as may be, is there."""
        return self.most >= FULL * size or self.bytes >= MOST_BYTES

    def age(self, now: Callable[[], int] = time.time_ns) -> int:
        """How long the oldest row has waited, ns, by whichever clock says more: the time of day may be set back."""
        if not self.oldest:
            return 0
        return max(now() - self.oldest, int((time.monotonic() - self.since) * 1e9))

    def batches(self) -> dict[str, Batch]:
        """The rows of each tenant."""
        return {tenant: concat_batches(parts) for tenant, parts in self.tenants.items()}

    def go_on(self, log: Rows, selection: Selection, size: int) -> None:
        """Reads on until it is full for batches of `size` records, or to the end of the log. Raises StorageError."""
        step = size
        while not self.is_full(size):
            left = size - self.most
            step = min(max(step, left), MOST_ROWS)
            stretch = log.read(self.end, step, nbytes=max(1, MOST_BYTES - self.bytes))
            if stretch.end == self.end:
                return
            found = {part.tenant: selection.rows(part.tenant, part.batch) for part in stretch.parts}
            most = max((self.counts.get(tenant, 0) + len(batch) for tenant, batch in found.items()), default=0)
            if most > size:
                # More of them match than was thought. Never more rows than places are left can be too many.
                step //= 2
                continue
            passed = most - self.most
            self._add(log, stretch, found)
            # Of a selector that few rows pass, or of many tenants: as many rows as it may take, and a little less.
            step = int(0.9 * (size - most) * step / passed) if passed else 2 * step

    def take(self, log: Rows, selection: Selection, rows: int, upto: Place | None = None) -> bool:
        """Reads once, so many rows at most and none from `upto` on; whether there are any. Raises StorageError."""
        stretch = log.read(self.end, rows, upto=upto, nbytes=MOST_BYTES)
        self._add(log, stretch, {part.tenant: selection.rows(part.tenant, part.batch) for part in stretch.parts})
        return stretch.end > stretch.first

    def _add(self, log: Rows, stretch: Stretch, found: dict[str, Batch]) -> None:
        if not self.oldest and any(map(len, found.values())):
            self.oldest = log.backlog(stretch.first).oldest or time.time_ns()
            self.since = time.monotonic()
        for tenant, batch in found.items():
            if len(batch):
                self.tenants.setdefault(tenant, []).append(batch)
                self.counts[tenant] = self.counts.get(tenant, 0) + len(batch)
                self.bytes += batch_bytes(batch)
        self.end = stretch.end
