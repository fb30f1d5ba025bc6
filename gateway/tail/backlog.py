"""What has been committed and waits for the thread that evaluates: bounded, each tenant's share its own.

What does not fit is missed: of the first rows stream and time are kept, of more only how many each stream had, and the
last. So every tail whose streams missed something is told, whatever another tail or tenant does.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gateway.tail.group import Fresh
from storage import Commit
from storage.batch import I32, I64, Batch, Labels, Texts
from storage.rows import batch_bytes

BACKLOG_BYTES = 32 << 20
"""Bytes of batches that wait; past that a tenant has its share of as many again, and one commit at least."""

MISSED_ROWS = 64_000
"""Missed rows, over all tenants, that are kept one by one."""


class Missed:
    """The rows that one tenant's tails will not see."""

    def __init__(self) -> None:
        self._kept = 0
        self._parts: list[tuple[Batch, int]] = []
        # By stream, of what is past the rows kept one by one.
        self._streams: Sequence[Labels] = ()
        self._rows = np.zeros(0, np.int64)
        self._ts = np.zeros(0, np.int64)
        self._number = np.zeros(0, np.int64)

    def add(self, commit: Commit, most: int) -> None:
        """Notes a commit; `most`: rows to keep one by one."""
        for batch in commit.batches:
            if self._kept + len(batch) <= most:
                self._kept += len(batch)
                self._parts.append((_lineless(batch.streams, batch.stream.copy(), batch.ts.copy()), commit.number))
                continue
            self._streams = batch.streams
            if (more := int(batch.stream.max(initial=-1)) + 1 - len(self._rows)) > 0:
                room = np.zeros(max(more, len(self._rows)), np.int64)
                self._rows, self._ts, self._number = (
                    np.concatenate([own, room]) for own in (self._rows, self._ts, self._number)
                )
            np.add.at(self._rows, batch.stream, 1)
            self._ts[batch.stream] = batch.ts
            self._number[batch.stream] = commit.number

    def told(self) -> Iterator[tuple[Fresh, I64]]:
        """Rows without lines, and int64[n], how many missed rows each stands for."""
        if self._parts:
            fresh = Fresh.of(self._parts)
            yield fresh, np.ones(len(fresh.batch), np.int64)
        used = np.flatnonzero(self._rows)
        if len(used):
            batch = _lineless(self._streams, used.astype(np.int32), self._ts[used])
            yield Fresh(batch, self._number[used]), self._rows[used]


class Backlog:
    """Counts what waits. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes: Counter[str] = Counter()
        self._missed: dict[str, Missed] = {}

    def let_in(self, commit: Commit, tenants: int) -> Commit | None:
        """What the thread is to get of a commit: all of it, or nothing but a sign that there is something missed.

        Args:
            commit: just made.
            tenants: how many have tails.
        """
        size = _size(commit)
        with self._lock:
            own = self._bytes[commit.tenant]
            over = self._bytes.total() + size > BACKLOG_BYTES
            if not own or not over or own + size <= BACKLOG_BYTES // tenants:
                self._bytes[commit.tenant] += size
                return commit
            # Where there is a note already, the thread has its sign.
            sign = None if commit.tenant in self._missed else replace(commit, batches=())
            self._missed.setdefault(commit.tenant, Missed()).add(commit, MISSED_ROWS // tenants)
            return sign

    def done(self, commits: Sequence[Commit]) -> None:
        """These do not wait any more."""
        with self._lock:
            for commit in commits:
                self._bytes[commit.tenant] -= _size(commit)
                if not self._bytes[commit.tenant]:
                    del self._bytes[commit.tenant]

    def missed(self) -> dict[str, Missed]:
        """What was missed since the last time, by tenant."""
        with self._lock:
            missed, self._missed = self._missed, {}
        return missed


def _size(commit: Commit) -> int:
    return sum(map(batch_bytes, commit.batches))


def _lineless(streams: Sequence[Labels], stream: I32, ts: I64) -> Batch:
    return Batch(streams, stream, ts, Texts(np.zeros(0, np.uint8), np.zeros(len(ts) + 1, np.int64)))
