"""Tails that ask the same in the same way: their query runs once for what is committed, their frames are made once.

`delay_for` holds entries back until they are so old, so that those that come late find their place among the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from gateway.tail.frames import Elements, Form, Frame, Shape, encoded, frames_of, joined
from gateway.tail.outbox import Outbox
from logql import LiveQuery
from logql.live import by_stream
from storage.batch import I64, Batch, Texts
from storage.rows import concat_batches

HELD_BYTES = 16 << 20
"""Bytes of entries that are held back; past that all are sent."""

Key: TypeAlias = tuple[str, str, Form, int]
"""Tenant, query as LogQL prints it, form, ns of delay."""


@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """Rows of one tenant that were committed.

    Attributes:
        batch: on the tenant's stream table.
        number: int64[n], the commit that each came with.
    """

    batch: Batch
    number: I64

    @classmethod
    def of(cls, parts: Sequence[tuple[Batch, int]]) -> Fresh:
        """Batches, at least one, and the commit that each came with."""
        batches = [batch for batch, _ in parts]
        numbers = np.array([number for _, number in parts], np.int64)
        return cls(concat_batches(batches), np.repeat(numbers, [len(batch) for batch in batches]))


@dataclass(slots=True, eq=False)
class Group:
    """The tails with one key.

    `readers` is the event loop's; all else is for the thread that evaluates.

    Attributes:
        key: what they ask.
        query: likewise.
        readers: each tail's outbox.
    """

    key: Key
    query: LiveQuery
    readers: set[Outbox] = field(default_factory=set)
    _held: list[tuple[I64, Elements]] = field(default_factory=list)
    _held_bytes: int = 0

    @property
    def form(self) -> Form:
        """How they want their frames."""
        return self.key[2]

    @property
    def delay(self) -> int:
        """How long entries are held back, ns."""
        return self.key[3]

    def take(self, fresh: Fresh, now: int, check: Callable[[], None]) -> Iterator[Frame]:
        """The frames for fresh rows, as they are made; with a delay they are held instead. `now` in ns."""
        rows = self.query.matching(fresh.batch)
        if not len(rows):
            return
        stream_only = self.form.shape is Shape.STREAM
        for places, entries in self.query.entries(fresh.batch, rows, check, stream_only=stream_only):
            made = encoded(entries, self.form, fresh.number[places])
            if self.delay:
                self._hold(made, now)
            else:
                yield from frames_of(made, self.form)

    def skipped(self, fresh: Fresh, counts: I64) -> tuple[Elements, I64] | None:
        """Fresh rows of matching streams as entries without a text: there is no time to look at their lines.

        With them the `counts` that are theirs.
        """
        rows = self.query.matching(fresh.batch)
        if not len(rows):
            return None
        entries = by_stream(fresh.batch, rows)
        shown = [self.form.shown(labels) for labels in entries.label_sets]
        nothing = Texts(np.zeros(0, np.uint8), np.zeros(len(rows) + 1, np.int64))
        return Elements(entries.ts, fresh.number[rows], nothing, entries.labels, shown), counts[rows]

    def _hold(self, entries: Elements, now: int) -> None:
        # A client whose clock is ahead waits as long as others, and not until its time has come.
        self._held.append((np.minimum(entries.ts, now) + self.delay, entries))
        self._held_bytes += entries.texts.nbytes

    def due(self, now: int) -> Iterator[Frame]:
        """The frames of what was held back long enough."""
        if not self._held:
            return
        until = now if self._held_bytes <= HELD_BYTES else None
        ready, kept = [], []
        for times, entries in self._held:
            over = times <= now if until is not None else np.ones(len(times), np.bool_)
            if over.all():
                ready.append(entries)
                continue
            if over.any():
                ready.append(entries.take(np.flatnonzero(over)))
            left = np.flatnonzero(~over)
            kept.append((times[left], entries.take(left)))
        self._held = kept
        self._held_bytes = sum(entries.texts.nbytes for _, entries in kept)
        if ready:
            yield from frames_of(joined(ready), self.form)

    def next_due(self) -> int | None:
        """The time (ns) at which something is due; None: nothing is held."""
        return min((int(times.min()) for times, _ in self._held), default=None)
