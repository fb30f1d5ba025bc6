"""All tails of a server: what is committed goes to one thread, which asks each distinct query once, then to outboxes.

While nobody tails the store is not watched. What the thread has not come to is bounded (see backlog.py): past that rows
are dropped and told as such, as far as their streams say that a tail might want them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from gateway.logs import event
from gateway.tail.backlog import Backlog
from gateway.tail.figures import DropReason, TailFigures
from gateway.tail.frames import Elements, Form, Frame
from gateway.tail.group import Fresh, Group, Key
from gateway.tail.outbox import Outbox
from logql import LiveQuery, LogExpr
from storage import Commit, Watcher
from storage.batch import I64
from storage.rows import batch_bytes

_log = logging.getLogger("weir.tail")

PACE = 0.01
"""Seconds from one round of the thread to the next: what is committed meanwhile makes one frame a tail, not one a push.
A round after a rest begins at once."""

TOGETHER_ROWS = 4096
TOGETHER_BYTES = 1 << 20
"""Rows and bytes up to which batches are looked at as one."""

_NS = 1_000_000_000


class Watched(Protocol):
    """What tells of commits."""

    def watch(self, watcher: Watcher | None) -> None:
        """Has each commit from now on told to `watcher`, and to no other; None: to nobody."""


class _Stopped(Exception):  # noqa: N818 - named for what happened
    """The server ends."""


@dataclass(frozen=True, slots=True, eq=False)
class _News:
    """For the event loop: frames for the readers of a group, or rows that they will not see, or that it has failed."""

    group: Group
    frames: Sequence[Frame] = ()
    skipped: tuple[Elements, I64] | None = None
    failed: bool = False


class Tails:
    """The tails of one server. But for the watcher, all is called on the event loop.

    Attributes:
        figures: what is counted.
        stopping: set when the server ends: every tail is to.
    """

    def __init__(self) -> None:
        self.figures = TailFigures()
        self._groups: dict[Key, Group] = {}
        self._ends: dict[Outbox, Callable[[], None]] = {}
        # Replaced as a whole: the thread that writes and the one that evaluates read it.
        self._by_tenant: dict[str, tuple[Group, ...]] = {}
        self._waiting: SimpleQueue[Commit | None] = SimpleQueue()
        self._backlog = Backlog()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.stopping = asyncio.Event()

    def open(
        self, store: Watched, tenant: str, expr: LogExpr, form: Form, delay: int, failed: Callable[[], None]
    ) -> Outbox:
        """A new tail's outbox, which gets what is committed from now on.

        Args:
            store: where entries are committed.
            tenant: whose entries.
            expr: the query.
            form: of the frames.
            delay: ns that entries are held back.
            failed: called when the query cannot go on.
        """
        key = (tenant, str(expr), form, delay)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, LiveQuery(expr))
            self._by_tenant = {**self._by_tenant, tenant: (*self._by_tenant.get(tenant, ()), group)}
            self.figures.queries = len(self._groups)
            if len(self._groups) == 1:
                self._begin(store)
        outbox = Outbox(form, self.figures)
        group.readers.add(outbox)
        self._ends[outbox] = failed
        return outbox

    def close(self, store: Watched, tenant: str, outbox: Outbox) -> None:
        """Forgets a tail."""
        del self._ends[outbox]
        group = next(one for one in self._by_tenant[tenant] if outbox in one.readers)
        group.readers.discard(outbox)
        if group.readers:
            return
        del self._groups[group.key]
        left = tuple(one for one in self._by_tenant[tenant] if one is not group)
        self._by_tenant = {name: groups for name, groups in {**self._by_tenant, tenant: left}.items() if groups}
        self.figures.queries = len(self._groups)
        if not self._groups:
            store.watch(None)

    def stop(self) -> None:
        """Ends all tails, and the thread."""
        self.stopping.set()
        self._waiting.put(None)

    def _begin(self, store: Watched) -> None:
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="weir-tail", daemon=True)
            self._thread.start()
        store.watch(self.committed)

    # -- on the thread that writes

    def committed(self, commit: Commit) -> None:
        """A Watcher."""
        by_tenant = self._by_tenant
        if commit.tenant in by_tenant and (known := self._backlog.let_in(commit, len(by_tenant))) is not None:
            self._waiting.put(known)

    # -- on the thread that evaluates

    def _run(self) -> None:
        began = 0.0
        while True:
            commits = self._next(began)
            if commits is None:
                return
            began = time.monotonic()
            try:
                for news in self._round(commits):
                    self._tell(news)
            except _Stopped:
                return
            except Exception as error:  # noqa: BLE001 - later tails need the thread
                event(_log, logging.ERROR, "live tail failed", exc_info=error)
                self._fail_all()
            self._backlog.done(commits)

    def _next(self, began: float) -> list[Commit] | None:
        """What was committed, at PACE after the last round began; empty: something is due. None: the end."""
        due = min((at for group in self._every() if (at := group.next_due()) is not None), default=None)
        wait = None if due is None else max(0.0, (due - time.time_ns()) / _NS)
        found: list[Commit] = []
        with suppress(Empty):
            first = self._waiting.get(timeout=wait)
            if first is None:
                return None
            found.append(first)
        if (rest := began + PACE - time.monotonic()) > 0:
            time.sleep(rest)
        with suppress(Empty):
            while (more := self._waiting.get_nowait()) is not None:
                found.append(more)
            return None
        return found

    def _every(self) -> Iterator[Group]:
        for groups in self._by_tenant.values():
            yield from groups

    def _round(self, commits: Sequence[Commit]) -> Iterator[_News]:
        by_tenant = self._by_tenant
        for tenant in dict.fromkeys(commit.tenant for commit in commits if commit.batches):
            for fresh in _pieces([commit for commit in commits if commit.tenant == tenant]):
                now = time.time_ns()
                for group in by_tenant.get(tenant, ()):
                    yield from self._of(group, partial(group.take, fresh, now, self._check))
        now = time.time_ns()
        for group in self._every():
            if group.delay:
                yield from self._of(group, partial(group.due, now))
        yield from self._passed_over()

    def _of(self, group: Group, frames: Callable[[], Iterator[Frame]]) -> Iterator[_News]:
        """What a group makes; its failure is its own."""
        try:
            for frame in frames():
                yield _News(group, (frame,))
        except _Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - the thread outlives any query
            event(_log, logging.ERROR, "a tail failed", exc_info=error, query=group.key[1])
            yield _News(group, failed=True)

    def _passed_over(self) -> Iterator[_News]:
        for tenant, missed in self._backlog.missed().items():
            for fresh, counts in missed.told():
                for group in self._by_tenant.get(tenant, ()):
                    if (skipped := group.skipped(fresh, counts)) is not None:
                        yield _News(group, skipped=skipped)

    def _fail_all(self) -> None:
        with suppress(_Stopped):
            for group in self._every():
                self._tell(_News(group, failed=True))

    def _check(self) -> None:
        if self.stopping.is_set():
            raise _Stopped

    def _tell(self, news: _News) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._told, news)
        except RuntimeError as error:  # the loop is closed
            raise _Stopped from error

    # -- on the event loop

    def _told(self, news: _News) -> None:
        for outbox in tuple(news.group.readers):
            for frame in news.frames:
                outbox.put(frame)
            if news.skipped is not None:
                outbox.drop(*news.skipped, DropReason.BEHIND)
            if news.failed:
                self._ends[outbox]()


def _pieces(commits: Sequence[Commit]) -> Iterator[Fresh]:
    """The rows of commits of one tenant, those of small ones together."""
    parts = [(batch, commit.number) for commit in commits for batch in commit.batches]
    first = rows = size = 0
    for at, (batch, _) in enumerate(parts):
        if at > first and (rows + len(batch) > TOGETHER_ROWS or size + batch_bytes(batch) > TOGETHER_BYTES):
            yield Fresh.of(parts[first:at])
            first, rows, size = at, 0, 0
        rows += len(batch)
        size += batch_bytes(batch)
    yield Fresh.of(parts[first:])
