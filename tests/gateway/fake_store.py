"""A store in memory: the seam that the gateway sees, with a plain loop where storage has kernels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from logql.source import Direction, Matcher, MatchOp
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
from storage.batch import Batch, Labels
from storage.build import BatchBuilder
from storage.errors import CorruptBlock, StorageError
from storage.figures import Condition, Counters, Figures, ReplayFigures
from storage.outbox.outbox import Outbox
from storage.reading import Survey
from storage.rows import take_rows
from tests.batch_unit import BatchUnit


@dataclass
class FakeStore:
    """Batches as appended. Attributes make it fail or wait on purpose."""

    batches: list[tuple[str, Batch]] = field(default_factory=list)
    refusal: StorageError | None = None
    before_scan: Callable[[], None] = lambda: None
    flushed: int = 0
    compacted: int = 0
    closed: int = 0
    watcher: Watcher | None = None
    retention: RetentionOptions | None = None

    def append(
        self,
        tenant: str,
        batch: Batch,
        done: Callable[[Receipt | StorageError], None],
        *,
        batch_id: BatchId | None = None,  # noqa: ARG002 - of the seam; nothing is stored twice here
    ) -> None:
        if self.refusal is not None:
            done(self.refusal)
            return
        self.batches.append((tenant, batch))
        done(Receipt())

    def add(self, labels: dict[str, str], *entries: tuple[int, bytes] | tuple[int, bytes, dict[str, bytes]]) -> None:
        """Stores entries of tenant "fake" under one label set."""
        builder = BatchBuilder()
        stream = builder.add_stream(tuple(sorted(labels.items())))
        for ts, line, *metadata in entries:
            builder.add(stream, ts, line, metadata[0].items() if metadata else ())
        self.batches.append(("fake", builder.build()))

    def scan(
        self,
        tenant: str,
        matchers: Sequence[Matcher],
        start: int,
        end: int,
        direction: Direction,
        survey: Survey | None = None,
    ) -> Iterator[BatchUnit]:
        if survey is not None:
            survey.runs += len(self.batches)
        self.before_scan()
        units = []
        for arrival, (owner, batch) in enumerate(self.batches):
            rows = [
                row
                for row in range(len(batch))
                if owner == tenant
                and start <= batch.ts[row] < end
                and matches(batch.streams[int(batch.stream[row])], matchers)
            ]
            if rows:
                order = np.array(sorted(rows, key=lambda row: (int(batch.ts[row]), row)))
                units.append(BatchUnit(take_rows(batch, order), arrival))
        forward = direction is Direction.FORWARD
        yield from sorted(units, key=lambda unit: unit.min_ts if forward else -unit.max_ts)

    def _streams(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> set[Labels]:
        return {
            batch.streams[number]
            for unit in self.scan(tenant, matchers, start, end, Direction.FORWARD)
            for batch in (unit.batch,)
            for number in batch.stream.tolist()
        }

    def label_names(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> list[str]:
        return sorted({name for labels in self._streams(tenant, matchers, start, end) for name, _ in labels})

    def label_values(self, tenant: str, name: str, matchers: Sequence[Matcher], start: int, end: int) -> list[str]:
        streams = self._streams(tenant, matchers, start, end)
        return sorted({value for labels in streams for own, value in labels if own == name})

    def series(self, tenant: str, groups: Sequence[Sequence[Matcher]], start: int, end: int) -> list[Labels]:
        return sorted(set().union(*(self._streams(tenant, group, start, end) for group in groups or [()])))

    def index_stats(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int) -> IndexStats:
        units = list(self.scan(tenant, matchers, start, end, Direction.FORWARD))
        streams = {unit.batch.streams[number] for unit in units for number in unit.batch.stream.tolist()}
        size = sum(unit.batch.lines.nbytes for unit in units)
        return IndexStats(len(streams), len(units), size, sum(len(unit.batch) for unit in units))

    def volumes(
        self, tenant: str, matchers: Sequence[Matcher], start: int, end: int, step: int, grouping: Grouping
    ) -> list[Volume]:
        raise NotImplementedError  # volumes are tested with the real store

    def shards(self, tenant: str, matchers: Sequence[Matcher], start: int, end: int, target: int) -> list[Shard]:
        raise NotImplementedError

    def delete(self, tenant: str, query: str, first: int, last: int, who: str) -> DeleteRecord:
        raise NotImplementedError  # deletes are tested with the real store

    def deletes(self, tenant: str) -> list[DeleteProgress]:
        raise NotImplementedError

    def cancel_delete(self, tenant: str, delete_id: str, *, force: bool = False) -> DeleteRecord:
        raise NotImplementedError

    def flush(self) -> None:
        self.flushed += 1

    def compact(self) -> list[str]:
        self.compacted += 1
        return []

    def activity(
        self, tenant: str, matchers: Sequence[Matcher], start: int, end: int, limit: int
    ) -> tuple[int, list[StreamActivity]]:
        raise NotImplementedError  # told with the real store

    def set_retention(self, options: RetentionOptions) -> None:
        self.retention = options

    def close(self) -> None:
        self.closed += 1

    def block_patterns(self, *_asked: object) -> None:
        return None

    def watch(self, watcher: Watcher | None) -> None:
        self.watcher = watcher

    def snapshot(self, tenant: str) -> FakeMoment:
        return FakeMoment(self, tenant)

    def met_damage(self, error: CorruptBlock) -> bool:
        del error
        return False

    def missing(self, tenant: str, start: int, end: int) -> tuple[str, ...]:
        del tenant, start, end
        return ()

    def condition(self) -> Condition:
        return Condition()

    def instances(self) -> list[Instance]:
        return []

    @property
    def outbox(self) -> Outbox:
        raise NotImplementedError

    def figures(self) -> Figures:
        return Figures(
            counters=Counters(),
            replay=ReplayFigures(),
            tenants={},
            memory_chunks=len(self.batches),
            memory_bytes=0,
            memory_label_bytes=0,
            wal_segments=0,
            wal_disk_bytes=0,
            disk_used=0.0,
            blocks=0,
            block_disk_bytes=0,
            reserve_held=True,
            queued_batches=0,
            flush_queue=0,
        )


@dataclass
class FakeMoment:
    """What a FakeStore has; no commit has a number there."""

    store: FakeStore
    tenant: str
    number: int = 0

    def scan(
        self,
        tenant: str,
        matchers: Sequence[Matcher],
        start: int,
        end: int,
        direction: Direction,
        survey: Survey | None = None,
    ) -> Iterator[BatchUnit]:
        del tenant
        return self.store.scan(self.tenant, matchers, start, end, direction, survey)


def matches(labels: Labels, matchers: Sequence[Matcher]) -> bool:
    own = dict(labels)
    for matcher in matchers:
        value = own.get(matcher.name, "")
        equal = value == matcher.value
        found = re.fullmatch(matcher.value, value) is not None if matcher.op in {MatchOp.RE, MatchOp.NRE} else equal
        if found == (matcher.op in {MatchOp.NE, MatchOp.NRE}):
            return False
    return True
