"""The book of patterns: takes rows as they are stored, learns their patterns beside, hands them to blocks and answers.

Rows wait in a queue of bounded bytes, which a thread of its own works off a few times a second within a budget of CPU:
where that does not do for all, some rows are looked at and stand for the others. Whoever asks or flushes works off what
waits first, so that an answer knows of every row that was acknowledged before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from secrets import randbits
from typing import Protocol

import numpy as np

from config.patterns import Patterns
from gateway.patterns.budget import Budget
from logql.patterns.counts import I64, NO_SAMPLES, Samples, join_samples
from logql.patterns.learner import LEVELS, Learner
from logql.patterns.series import (
    Name,
    PatternSeries,
    decode_series,
    encode_series,
    join_series,
    merge_values,
    of_streams,
)
from logql.source import Matcher
from storage.batch import Batch
from storage.patterns import BlockPatterns, Ids
from storage.streams import StreamTable

log = logging.getLogger("weir.patterns")

GATHER = 0.2
"""Seconds for which rows gather before the thread looks at them: waking it costs as much as a hundred lines."""
QUEUE_BYTES = 32 << 20
"""Bytes of lines that wait at most; the rows of further batches count with those that were looked at."""
FEW_ROWS = 20_000
"""Rows that wait up to which all that is saved of the budget may be spent; of more comes a steady stream."""
LEAST = 0.002
"""Seconds of CPU for who asks or flushes, whatever was spent before."""
DAY = 8_640
"""Buckets of a day."""


class BlockStore(Protocol):
    """What the book asks of the store."""

    def block_patterns(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> BlockPatterns | None:
        """Blocks that may say something of matching streams between start and end (ns); None: no streams."""


@dataclass(slots=True)
class Figures:
    """What the book counts.

    Attributes:
        lines: by what became of them: counted, without (a pattern), late, given_up, unsampled.
        cpu_seconds: spent.
        clusters: that take lines.
        evicted: clusters that had to make room.
    """

    lines: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("counted", "without", "late", "given_up", "unsampled"), 0)
    )
    cpu_seconds: float = 0.0
    clusters: int = 0
    evicted: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    tenant: str
    table: StreamTable
    batch: Batch


class PatternBook:
    """A storage.patterns.PatternKeeper. Safe for any number of threads."""

    def __init__(self, settings: Patterns) -> None:
        """The book of a server; its thread starts with the first row."""
        self._settings = settings
        self._arriving: deque[_Waiting] = deque()
        self._queue = threading.Lock()
        self._queued = 0
        self._missed = 0
        self._lock = threading.Lock()  # of all below
        self._learner: Learner | None = None
        self._share = settings.cpu_percent / 100
        self._budget = Budget(self._share)
        self._cost = 1e-6  # seconds a row, but for new shapes; until it is known
        self._random = np.random.default_rng()
        self._frozen: dict[str, Samples] = {}
        self._frees = False  # whether a flush may have left clusters that are counted nowhere any more
        self._tables: dict[str, StreamTable] = {}
        self._figures = Figures()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def enabled(self) -> bool:
        """Whether patterns are kept."""
        return self._settings.enabled

    # -- in

    def stored(self, tenant: str, table: StreamTable, batch: Batch) -> None:
        """Rows are in memory; see PatternKeeper."""
        if not self._settings.enabled:
            return
        with self._queue:
            size = batch.lines.nbytes
            if self._queued and self._queued + size > QUEUE_BYTES:
                self._missed += len(batch.ts)
            else:
                self._queued += size
                self._arriving.append(_Waiting(tenant, table, batch))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="weir-patterns", daemon=True)
                self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Ends the thread; what waits is not looked at any more."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if self._stop.wait(GATHER):
                return
            self._wake.clear()
            try:
                with self._lock:
                    short = self._budget.level() <= 0
                    if not short:
                        self._work_off()
                        self._free_retired()
            except Exception:  # patterns are a summary: the thread must live, and rows are safe without them
                log.exception("patterns of some lines are not counted")
            else:
                if short:  # what waits is looked at when there is something to spend again
                    self._wake.set()

    def _work_off(self) -> None:
        """Learns of what waits. Called with the lock held."""
        began = time.thread_time()
        with self._queue:
            waiting, missed = list(self._arriving), self._missed
            self._arriving.clear()
            self._queued = self._missed = 0
        if not waiting:
            return
        learner = self._learned()
        rows = sum([len(each.batch.ts) for each in waiting])
        allowed = max(self._allowed(rows), LEAST)
        # Half of it is for shapes that are new; what that leaves is saved.
        stride = max(1, -(-rows // max(1, int(allowed / 2 / self._cost))))
        weight = stride * (rows + missed) / rows
        lines = self._figures.lines
        lines["unsampled"] += missed
        looked, offset, learning = 0, 0, 0.0
        for each in waiting:
            count = len(each.batch.ts)
            some, offset = self._some(count, stride, offset)
            lines["unsampled"] += count - len(some)
            if not len(some):
                continue
            if time.thread_time() - began > 2 * allowed:
                lines["given_up"] += len(some)
                continue
            self._tables[each.tenant] = each.table
            became = learner.learn(each.tenant, each.batch, some, weight, lambda: time.thread_time() - began < allowed)
            looked += len(some)
            learning += became.seconds
            lines["counted"] += became.counted
            lines["without"] += became.without
            lines["late"] += became.late
            lines["given_up"] += became.given_up
        spent = time.thread_time() - began
        if looked:
            self._cost = 0.5 * self._cost + 0.5 * (spent - learning) / looked
        self._budget.spend(spent)
        self._figures.cpu_seconds += spent

    def _free_retired(self) -> None:
        """Frees what flushes since the last call have left. It looks at all tenants. Called with the lock held."""
        if self._frees and self._learner is not None:
            self._frees = False
            self._learner.free_retired(self._frozen.values())

    def _allowed(self, rows: int) -> float:
        """Seconds that may be spent on so many rows."""
        level = self._budget.level()
        return level if rows <= FEW_ROWS else min(level, GATHER * self._share)

    def _some(self, count: int, stride: int, offset: int) -> tuple[I64, int]:
        """One row in `stride` of a batch, and how far into the next batch the next one is."""
        if stride == 1:
            return np.arange(count), 0
        if offset >= count:
            return np.zeros(0, np.int64), offset - count
        some = np.arange(offset, count, stride)
        after = int(some[-1]) + stride - count
        # Not every so many-th: lines that come in turns would all be of one kind.
        return np.minimum(some + self._random.integers(0, stride, len(some)), count - 1), after

    def _learned(self) -> Learner:
        if self._learner is None:
            self._learner = Learner(self._settings.max_clusters, randbits(64))
        return self._learner

    # -- to blocks

    def flushing(self, tenant: str, table: StreamTable) -> TenantFlush:
        """A tenant's memory goes to blocks; see PatternKeeper. Never raises: the rows do not depend on it."""
        self._tables[tenant] = table
        with self._lock:
            try:
                return self._flushing(tenant, table)
            except Exception:
                log.exception("patterns of tenant %s do not go into its blocks", tenant)
                return TenantFlush(self, tenant, PatternSeries((), NO_SAMPLES), NO_SAMPLES)

    def _flushing(self, tenant: str, table: StreamTable) -> TenantFlush:
        self._work_off()
        if self._learner is None:
            return TenantFlush(self, tenant, PatternSeries((), NO_SAMPLES), NO_SAMPLES)
        counts = self._learner.tenant(tenant).counts
        # What a flush that failed has left is taken along.
        samples = join_samples([self._frozen.get(tenant, NO_SAMPLES), counts.clear()])
        self._frozen[tenant] = samples
        return TenantFlush(self, tenant, self._series_of(table, samples), samples)

    def merged(self, kept: Sequence[bytes], streams: Ids, floor: I64 | None) -> bytes | None:
        """What goes into a block that takes the place of others; see PatternKeeper. Never raises."""
        try:
            return merge_values(kept, streams, floor)
        except Exception:
            log.exception("patterns of blocks that were joined are left out")
            return None

    def is_in_blocks(self, tenant: str, left: Samples) -> None:
        """What a flush took is in blocks, but for some. Called with the lock held."""
        self._frozen.pop(tenant, None)
        if self._learner is not None:
            if len(left):
                self._learner.tenant(tenant).counts.add(left)
            self._frees = True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nothing is learned, and nothing goes to blocks, for the time of the context."""
        with self._lock:
            yield

    # -- out

    def series(
        self, store: BlockStore, tenant: str, matchers: Sequence[Matcher], start: int, end: int
    ) -> PatternSeries:
        """Patterns of matching streams around start <= ts <= end (ns), from memory and blocks."""
        with self._lock:
            self._work_off()
            # Under the lock: a flush puts its blocks into the view and takes their counts from memory under it too.
            blocks = store.block_patterns(tenant, matchers, start, end)
            kept = PatternSeries((), NO_SAMPLES)
            if self._learner is not None and (table := self._tables.get(tenant)) is not None:
                samples = join_samples(
                    [self._frozen.get(tenant, NO_SAMPLES), self._learner.tenant(tenant).counts.samples()]
                )
                kept = self._series_of(table, samples)
        if blocks is None:
            return PatternSeries((), NO_SAMPLES)
        parts = [decoded for value in blocks.read() if (decoded := decode_series(value)) is not None]
        chosen = [of_streams(part, blocks.streams, blocks.floor) for part in (*parts, kept)]
        return join_series(chosen)

    def _series_of(self, table: StreamTable, samples: Samples) -> PatternSeries:
        """Samples of clusters under the names of these. Called with the lock held."""
        learner = self._learned()
        numbers, what = np.unique(samples.what, return_inverse=True)
        clusters = [learner.cluster(number) for number in numbers.tolist()]
        ids = table.ids
        names = [Name(int(ids[one.group[1]]), LEVELS[one.group[2]], one.text) for one in clusters]
        single = PatternSeries(tuple(names), Samples(what.astype(np.int64), samples.bucket, samples.count))
        return join_series([single])  # two clusters may have come to the same pattern

    def figures(self) -> Figures:
        """What the book has counted so far."""
        learner = self._learner  # without the lock: the event loop asks, and who has it may be long
        return replace(
            self._figures,
            lines=dict(self._figures.lines),
            clusters=0 if learner is None else learner.clusters,
            evicted=0 if learner is None else learner.evicted,
        )


class TenantFlush:
    """A storage.patterns.Flushing."""

    def __init__(self, book: PatternBook, tenant: str, series: PatternSeries, samples: Samples) -> None:
        """What a flush takes along: `samples` of clusters, and the same by names."""
        self._book = book
        self._tenant = tenant
        self._series = series
        self._samples = samples
        self._days: set[int] = set()

    def of_day(self, day: int) -> bytes | None:
        """What goes into the block of a day."""
        try:
            value = encode_series(self._series.take(self._series.samples.bucket // DAY == day))
        except Exception:
            log.exception("patterns of tenant %s are not in the block of a day", self._tenant)
            return None
        self._days.add(day)
        return value

    @contextmanager
    def published(self) -> Iterator[None]:
        """Held while the blocks come into the view."""
        with self._book.locked():
            yield
            try:
                left = ~np.isin(self._samples.bucket // DAY, sorted(self._days))
                self._book.is_in_blocks(self._tenant, self._samples.take(left))
            except Exception:
                log.exception("patterns of tenant %s are counted twice, in a block and in memory", self._tenant)
