"""Gateway: what every door of one server shares. Found by requests as `request.app.state.gateway`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from config.settings import Settings
from gateway.auth import Gate, Muffled, Scope, ScopedRoute
from gateway.collect.figures import CollectorFigures
from gateway.commits import Commits
from gateway.export.places import Places
from gateway.forward.figures import ForwardFigures
from gateway.notify import Alerts
from gateway.patterns.book import PatternBook
from gateway.query.pool import QueryPool
from gateway.query.running import RunningQueries
from gateway.query.shared import SharedRuns
from gateway.query.slow import SlowQueries
from gateway.rejected.journal import Journal
from gateway.relay.central import Central
from gateway.relay.relays import Relays
from gateway.tail.tails import Tails
from gateway.tls import Tls
from gateway.turns import Turns
from logql.result_cache import ResultCache
from logql.source import Matcher, Source
from storage.batch import Batch, Labels
from storage.errors import CorruptBlock, StorageError
from storage.figures import Condition, Figures

if TYPE_CHECKING:
    from gateway.metrics import Metrics
    from gateway.push.streams import TenantStreams
    from storage import (
        BatchId,
        DeleteProgress,
        DeleteRecord,
        Grouping,
        IndexStats,
        Instance,
        Receipt,
        RetentionOptions,
        Shard,
        StreamActivity,
        Volume,
        Watcher,
    )
    from storage.outbox.outbox import Outbox
    from storage.patterns import BlockPatterns


class NotReady(Exception):  # noqa: N818 - a state, not a mistake: the caller is to come back later
    """The store is not open (yet, or any more); the text says why (503)."""


class IngestBusy(Exception):  # noqa: N818 - a state, not a mistake: the caller is to come back later
    """Push bodies in work fill the budget and did not drain in time (503)."""


class BodyTooSlow(Exception):  # noqa: N818 - named for what happened
    """Nothing of a request's body came for a long time (408)."""


class ReadStore(Source, Protocol):
    """What is read of a tenant, or of several (gateway.query.several)."""

    def label_names(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> list[str]:
        """Sorted names of labels of matching streams with entries between start and end (ns)."""

    def label_values(self, tenant: str, name: str, matchers: Sequence[Matcher], start: int, end: int) -> list[str]:
        """Sorted values of one label."""

    def series(self, tenant: str, groups: Sequence[Sequence[Matcher]], start: int, end: int) -> list[Labels]:
        """Label sets matching any group; no groups: all."""

    def index_stats(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> IndexStats:
        """How much of matching streams lies between start and end (ns)."""

    def volumes(
        self, tenant: str, matchers: Sequence[Matcher], start: int, end: int, step: int, grouping: Grouping
    ) -> list[Volume]:
        """Bytes of matching streams in start <= ts <= end (ns), in buckets of `step` ns (0: one)."""

    def shards(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int, target: int) -> list[Shard]:
        """Ranges of stream ids with about `target` bytes each in start <= ts <= end (ns)."""

    def missing(self, tenant: str, start: int, end: int) -> tuple[str, ...]:
        """What is not in an answer about a time range (ns) because its block is damaged."""


class Moment(Source, Protocol):
    """A tenant's entries at one moment."""

    @property
    def number(self) -> int:
        """Of the last commit that is in it."""


class LogStore(ReadStore, Protocol):
    """What the gateway asks of the store: storage.Store, and what tests put in its place."""

    def append(
        self,
        tenant: str,
        batch: Batch,
        done: Callable[[Receipt | StorageError], None],
        *,
        batch_id: BatchId | None = None,
    ) -> None:
        """Stores a batch; returns at once, `done` is called when it is on disk or refused."""

    def block_patterns(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> BlockPatterns | None:
        """Blocks that may say something of patterns of matching streams; None: there are no such streams."""

    def met_damage(self, error: CorruptBlock) -> bool:
        """Whether the block that raised this is out of the way, so that the rest can be asked."""

    def delete(self, tenant: str, query: str, first: int, last: int, who: str) -> DeleteRecord:
        """Deletes what a query chooses between first and last (ns, both included); blocks until nobody sees it."""

    def deletes(self, tenant: str) -> list[DeleteProgress]:
        """A tenant's deletes of all times, oldest first."""

    def cancel_delete(self, tenant: str, delete_id: str, *, force: bool = False) -> DeleteRecord:
        """Calls a delete off."""

    def flush(self) -> None:
        """Blocks until everything is in blocks and durable."""

    def compact(self) -> list[str]:
        """Blocks until all blocks that may be joined are; returns what is wrong with others."""

    def activity(
        self, tenant: str, matchers: Sequence[Matcher], start: int, end: int, limit: int
    ) -> tuple[int, list[StreamActivity]]:
        """How many streams match, and when the last of them wrote; how much, of start <= ts <= end (ns)."""

    def set_retention(self, options: RetentionOptions) -> None:
        """How long entries are kept from now on."""

    def watch(self, watcher: Watcher | None) -> None:
        """Has each commit from now on told to `watcher`, and to no other; None: to nobody."""

    def snapshot(self, tenant: str) -> Moment:
        """What a tenant has now, as far as commits tell it apart."""

    def close(self) -> None:
        """Syncs and closes; blocking."""

    def condition(self) -> Condition:
        """What may be wrong with storage now."""

    def figures(self) -> Figures:
        """What storage counts about itself."""

    def instances(self) -> list[Instance]:
        """What each server that passes batches on has brought each tenant; blocking."""

    @property
    def outbox(self) -> Outbox:
        """The log as relays read it."""


class Phase(StrEnum):
    """Where the server is in its life."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class ByteBudget:
    """Bytes of push bodies being worked on, so that memory stays flat however many pushers there are.

    First come, first served: a big body is not starved by small ones. One bigger than the whole budget is let in when
    nothing else is, or it could never be.
    """

    def __init__(self, limit: int, wait: float) -> None:
        """`limit` in bytes; `wait` in seconds, how long a push may wait for room."""
        self.limit = limit
        self.used = 0
        self._wait = wait
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Pushes that wait for room."""
        return len(self._queue)

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Room for `size` bytes for the time of the block.

        Raises:
            IngestBusy: there was no room for `wait` seconds.
        """
        if not self.take(size):
            await self.wait_for(size)
        try:
            yield
        finally:
            self.give_back(size)

    def take(self, size: int) -> bool:
        """Takes room for `size` bytes if it is there now; what was taken must be given back."""
        if self._queue or not self._fits(size):
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Ends the use of room for `size` bytes."""
        self.used -= size
        if self._queue:
            self._admit()

    async def wait_for(self, size: int) -> None:
        """Takes room for `size` bytes after those who came before.

        Raises:
            IngestBusy: there was no room for `wait` seconds.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self._queue.append(entry)
        try:
            async with asyncio.timeout(self._wait):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.used -= size  # let in and called off in the same turn of the loop
            with suppress(ValueError):  # _admit drops the entries of those who left
                self._queue.remove(entry)
            self._admit()
            if isinstance(error, TimeoutError):
                raise IngestBusy("too many bytes are being ingested, try again later") from error
            raise

    def _fits(self, size: int) -> bool:
        return self.used == 0 or self.used + size <= self.limit

    def _admit(self) -> None:
        while self._queue and self._fits(self._queue[0][0]):
            size, turn = self._queue.popleft()
            if not turn.done():
                self.used += size
                turn.set_result(None)


@dataclass(slots=True, eq=False)
class InFlight:
    """One request being answered.

    Attributes:
        method: of the request.
        path: as asked for.
        client: address and port, or "-".
        started: time.monotonic() seconds.
        scope: the ASGI scope; holds the route once it is found.
    """

    method: str
    path: str
    client: str
    started: float
    scope: MutableMapping[str, Any]

    @property
    def route_label(self) -> str:
        """The `route` label of metrics; "other" where no route is found."""
        found = self.scope.get("route")
        return found.label if isinstance(found, ScopedRoute) else "other"

    @property
    def permission(self) -> Scope:
        """What the route needs; OPEN where no route is found."""
        found = self.scope.get("route")
        return found.permission if isinstance(found, ScopedRoute) else Scope.OPEN

    def __str__(self) -> str:
        age = time.monotonic() - self.started
        return f"{self.method} {self.path} from {self.client}, {age:.1f} s old"


@dataclass(slots=True)
class OverridesFigures:
    """How reading the overrides again went.

    Attributes:
        is_good: whether the last reading could be used.
        changed: time.time() of the last that was; 0: there is no such file.
    """

    is_good: bool = True
    changed: float = 0.0


@dataclass(slots=True, eq=False)
class Gateway:
    """One server.

    Attributes:
        settings: in force; the overrides of tenants may change while it serves.
        metrics: counters of the doors.
        stream_states: what push validation remembers of streams.
        queries: worker threads for queries.
        ingest: budget of push bodies in work.
        requests: requests being answered.
        phase: where the server is in its life.
        progress: what it is doing while it starts.
        commits: decoded pushes on their way to the store.
        turns: small pushes that are decoded together.
        forward: what the Fluent Forward door counts.
        collector: what the collector of this server counts.
        results: of metric queries over blocks, kept for the next.
        runs: queries at work that others may wait for.
        running: queries that wait or are at work.
        slow: the last queries that took long.
        rejected: what was refused, for a while.
        patterns: of the lines that are stored.
        tails: live tails.
        overrides: how reading the limits of tenants again went.
        exports: places for exports.
        relays: what is sent on to others.
        central: who sends to this server.
        alerts: what is wrong now, and who is told.
        gate: the keys in force, and whom they let in.
        tls: of the doors that speak it.
        not_let_in: how often the log says of one client that it was not let in.
    """

    settings: Settings
    metrics: Metrics
    stream_states: TenantStreams
    queries: QueryPool
    ingest: ByteBudget
    requests: set[InFlight] = field(default_factory=set)
    phase: Phase = Phase.STARTING
    progress: str = "opening the store"
    commits: Commits = field(default_factory=Commits)
    turns: Turns[Any] = field(default_factory=Turns)
    forward: ForwardFigures = field(default_factory=ForwardFigures)
    collector: CollectorFigures = field(default_factory=CollectorFigures)
    results: ResultCache = field(init=False)
    runs: SharedRuns[Any] = field(default_factory=SharedRuns)
    running: RunningQueries = field(default_factory=RunningQueries)
    slow: SlowQueries = field(default_factory=SlowQueries)
    rejected: Journal = field(default_factory=Journal)
    patterns: PatternBook = field(init=False)
    tails: Tails = field(default_factory=Tails)
    overrides: OverridesFigures = field(default_factory=OverridesFigures)
    exports: Places = field(init=False)
    relays: Relays = field(default_factory=lambda: Relays(()))
    central: Central = field(default_factory=Central)
    alerts: Alerts = field(init=False)
    gate: Gate = field(default_factory=Gate)
    tls: list[Tls] = field(default_factory=list)
    not_let_in: Muffled = field(default_factory=Muffled)
    _store: LogStore | None = None

    def __post_init__(self) -> None:
        """As much is kept as the settings say."""
        self.results = ResultCache(self.settings.query.result_cache_bytes)
        self.patterns = PatternBook(self.settings.patterns)
        self.exports = Places(self.settings.query.max_exports)
        self.alerts = Alerts(self.settings.notify, self.settings.instance_name)

    @property
    def store(self) -> LogStore:
        """The open store.

        Raises:
            NotReady: it is not open yet.
        """
        if self._store is None:
            raise NotReady(f"not ready: {self.progress}")
        return self._store

    @property
    def open_store(self) -> LogStore | None:
        """The store if it is open."""
        return self._store

    def opened(self, store: LogStore) -> None:
        """The store is open: from now on requests are served."""
        self._store = store
        self.phase = Phase.READY
