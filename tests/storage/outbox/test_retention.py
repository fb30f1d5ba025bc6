"""On a server with relays retention by age counts from when entries were passed on, and size takes nothing owed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from storage import Grouping, Place, Store
from storage.archived import ALWAYS, NEVER
from storage.figures import DropReason
from storage.outbox.progress import DAY as A_DAY
from storage.outbox.progress import EVERY, Progress
from storage.retention_report import retention_report
from tests.storage.entries import HOUR, NOON, Entry, entry, read, stored
from tests.storage.keeping import Clock, keeping, later, opened
from tests.storage.outbox.owing import RELAY, batch, look, passed, still

PERIOD = 10 * HOUR
OLD = [entry("a", NOON + n, f"old {n}") for n in range(6)]
NEW = [entry("b", NOON + 8 * HOUR + n, f"new {n}") for n in range(6)]

Bring = Callable[[Store], None]


def in_memory(_: Store) -> None:
    """Rows stay in memory."""


def in_blocks(store: Store) -> None:
    store.flush()


def compacted(store: Store) -> None:
    store.flush()
    store.compact()


def world(tmp_path: Path, clock: Clock, **relays: bool) -> Store:
    store = opened(tmp_path, keeping(period=PERIOD), clock)
    still(store.outbox)
    for name, holds in relays.items():
        store.outbox.subscribe(name, holds_retention=holds)
    return store


def at(store: Store, clock: Clock, now: int) -> None:
    """Sets the clock on; what the outbox notes now and then is noted."""
    later(store, clock, now)
    look(store)


def everything_seen(store: Store) -> list[Entry]:
    """What a scan, the statistics, volumes and the labels agree to be there."""
    rows = read(store)
    ends = 0, NOON + 1000 * HOUR
    stats = store.index_stats("t", (), *ends)
    assert stats.entries == len(rows)
    assert stats.streams == len({row[0] for row in rows})
    seen = {value for _, value in (row[0][0] for row in rows)}
    assert set(store.label_values("t", "app", (), *ends)) == seen
    assert set(store.series("t", [], *ends)) == {row[0] for row in rows}
    volumes = store.volumes("t", (), *ends, 0, Grouping())
    assert {labels for one in volumes for labels, _ in one.series} == {row[0] for row in rows}
    _, streams = store.activity("t", (), *ends, 100)
    assert {one.labels for one in streams if not one.is_expired} == {row[0] for row in rows}
    return rows


@pytest.mark.parametrize("bring", [in_memory, in_blocks, compacted])
def test_age_counts_from_when_a_relay_had_passed(tmp_path: Path, bring: Bring) -> None:
    clock = Clock()
    store = world(tmp_path, clock, up=True)
    stored(store, OLD)
    bring(store)
    at(store, clock, NOON + 50 * HOUR)  # owed for two days
    assert everything_seen(store) == OLD
    assert store.drop_expired() == 0
    assert store.remove_expired().rows == 0
    passed(store, store.outbox.end())
    at(store, clock, NOON + 51 * HOUR)
    at(store, clock, NOON + 51 * HOUR + PERIOD - 1)
    assert everything_seen(store) == OLD
    assert store.drop_expired() == 0
    later(store, clock, NOON + 51 * HOUR + PERIOD + HOUR)
    assert everything_seen(store) == []
    assert store.drop_expired() == (0 if bring is in_memory else 1)
    store.close()


def test_each_block_waits_for_its_own_records(tmp_path: Path) -> None:
    """Old entries that were passed on in time expire beside others, of the same age, that were not."""
    clock = Clock()
    store = world(tmp_path, clock, up=True)
    stored(store, OLD)
    store.flush()
    passed(store, store.outbox.end())
    at(store, clock, NOON + HOUR)
    late = [entry("a", NOON + 100 + n, f"late {n}") for n in range(4)]
    stored(store, [*late, *NEW])
    store.flush()
    at(store, clock, NOON + 12 * HOUR)
    assert everything_seen(store) == [*late, *NEW]
    assert store.drop_expired() == 1
    stored(store, [entry("a", NOON + 200, "later still")])  # memory waits likewise
    assert everything_seen(store) == [*late, entry("a", NOON + 200, "later still"), *NEW]
    store.close()


def test_compaction_leaves_out_what_was_passed_on_long_ago_alone(tmp_path: Path) -> None:
    clock = Clock()
    store = world(tmp_path, clock, up=True)
    stored(store, OLD)
    store.flush()
    passed(store, store.outbox.end())
    at(store, clock, NOON + HOUR)
    late = [entry("a", NOON + 100 + n, f"late {n}") for n in range(4)]
    stored(store, late)
    store.flush()
    at(store, clock, NOON + 12 * HOUR)
    store.compact()
    assert len(store._state.tenants["t"].view.blocks) == 1
    assert store.figures().counters.compaction.expired_rows == len(OLD)
    assert everything_seen(store) == late
    store.close()


def test_what_came_before_the_first_relay_expires_by_its_age(tmp_path: Path) -> None:
    clock = Clock()
    store = world(tmp_path, clock)
    stored(store, OLD)
    store.flush()
    store.outbox.subscribe(RELAY)
    stored(store, NEW)
    at(store, clock, NOON + 30 * HOUR)
    assert everything_seen(store) == NEW
    store.close()


def test_an_emitter_and_no_relay_hold_nothing(tmp_path: Path) -> None:
    clock = Clock()
    store = world(tmp_path, clock, emitter=False)
    stored(store, OLD)
    at(store, clock, NOON + 11 * HOUR)
    assert everything_seen(store) == []
    assert store.outbox.archived() is None
    store.outbox.subscribe(RELAY)
    stored(store, [entry("a", NOON + 50, "owed")])
    assert everything_seen(store) == [entry("a", NOON + 50, "owed")]
    store.outbox.unsubscribe(RELAY)
    assert everything_seen(store) == []
    store.close()


def test_the_slowest_relay_and_its_open_batches_count(tmp_path: Path) -> None:
    clock = Clock()
    store = world(tmp_path, clock, up=True, other=True)
    stored(store, OLD)
    store.flush()
    refused = batch(Place(1), Place(2), status="refused")
    store.outbox.ledger.settle(RELAY, [refused], Place(2))
    at(store, clock, NOON + 30 * HOUR)
    passed(store, Place(2), "other")
    at(store, clock, NOON + 60 * HOUR)
    assert everything_seen(store) == OLD
    store.outbox.ledger.settle(RELAY, [replace(refused, status="removed", completed=1)], Place(2))
    at(store, clock, NOON + 61 * HOUR)
    at(store, clock, NOON + 72 * HOUR)
    assert everything_seen(store) == []
    store.close()


def test_a_restart_remembers_when(tmp_path: Path) -> None:
    clock = Clock()
    store = world(tmp_path, clock, up=True)
    stored(store, OLD)
    store.flush()
    passed(store, store.outbox.end())
    at(store, clock, NOON + 5 * HOUR)
    store.close()
    store = world(tmp_path, clock)
    later(store, clock, NOON + 15 * HOUR - 1)
    assert everything_seen(store) == OLD
    later(store, clock, NOON + 15 * HOUR)
    assert everything_seen(store) == []
    store.close()


def test_size_takes_nothing_that_is_owed(tmp_path: Path) -> None:
    clock = Clock()
    options = replace(keeping(), max_total_size=1)
    store = opened(tmp_path, options, clock)
    still(store.outbox)
    store.outbox.subscribe(RELAY)
    stored(store, OLD)
    store.flush()
    passed(store, store.outbox.end())
    stored(store, NEW)
    store.flush()
    assert [one.block.rows for one in store._expiry._held()] == [len(OLD)]  # what free space would take
    report = retention_report(tmp_path, options, clock.now)
    assert {share.reason: share.rows for share in report.blocks}[DropReason.TOTAL_SIZE] == len(OLD)
    assert store.drop_expired() == 1
    assert read(store) == NEW
    store.close()


def test_the_report_says_the_same(tmp_path: Path) -> None:
    clock = Clock()
    store = world(tmp_path, clock, up=True)
    stored(store, OLD)
    store.flush()
    passed(store, store.outbox.end())
    at(store, clock, NOON + HOUR)
    stored(store, [entry("a", NOON + 100, "owed")])
    store.flush()
    options = keeping(period=PERIOD)
    now = NOON + 20 * HOUR
    (share,) = retention_report(tmp_path, options, now).rules
    assert share.rows == len(OLD)
    store.outbox.unsubscribe(RELAY)
    (share,) = retention_report(tmp_path, options, now).rules
    assert share.rows == len(OLD) + 1
    store.close()


def test_samples_are_kept_the_coarser_the_older(tmp_path: Path) -> None:
    """Two records a minute for a hundred days: what is told of each is when it was passed, or somewhat later."""
    store = world(tmp_path, Clock(), up=True)
    progress = store.outbox._progress
    assert [progress.archived("", 1).since(last) for last in (0, 1)] == [ALWAYS, NEVER]
    now, seq = NOON, 1
    for step in range(3000):
        now, seq = NOON + step * 48 * EVERY, seq + 2
        if progress.is_due(now, seq):
            progress.sample(now, seq)
    told = Progress(store._control).archived("", seq)
    assert 60 < len(told.at) < 30 + 24 * 60 + 40 + 2
    assert told.since(seq - 1) == now
    assert told.since(seq) == NEVER
    for step in range(0, 3000, 7):
        true = NOON + step * 48 * EVERY
        late = told.since(2 * (step + 1)) - true
        allowed = A_DAY if now - true > 60 * A_DAY else HOUR if now - true > A_DAY else 0
        assert 0 <= late <= allowed + 48 * EVERY
    store.close()
