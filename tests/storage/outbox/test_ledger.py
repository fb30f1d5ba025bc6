"""What became of batches, and how much of it is remembered."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import Place
from storage.control import Control
from storage.errors import StorageUnavailable
from storage.outbox.ledger import KEEP_BATCHES, Ledger, RelayBatch, Tally
from tests.storage.entries import NOON
from tests.storage.keeping import Clock
from tests.storage.outbox.owing import RELAY, batch


class World:
    """A ledger on a control.db of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.moves: list[tuple[str, Place | None]] = []
        self.open()
        with self.control.transaction() as db:
            db.execute("INSERT OR IGNORE INTO relays VALUES (?, 1, 0, 1, 0)", (RELAY,))

    def open(self) -> None:
        self.control = Control(self.folder)
        self.ledger = Ledger(self.control, lambda relay, cursor: self.moves.append((relay, cursor)), self.clock)

    def again(self) -> None:
        self.control.close()
        self.open()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.control.close()


def made(first: int, **values: Any) -> RelayBatch:
    return batch(Place(first), Place(first + 1), 5, started=NOON + first, **values)


def test_a_batch_is_what_was_last_said_of_it_across_a_restart(world: World) -> None:
    one, two = made(1), made(2)
    world.ledger.begin([two, one])
    tried = replace(one, status="sending", retries=3, error="no route to host")
    world.ledger.update(tried)
    for _ in range(2):
        assert world.ledger.open_batches(RELAY) == [tried, two]
        assert world.ledger.first_open(RELAY) == Place(1)
        assert world.ledger.batches(RELAY, None, 0, 10) == [two, tried]
        world.again()
    assert world.ledger.open_batches("other") == []
    assert world.ledger.first_open("other") is None


def test_settling_moves_cursor_and_statuses_together(world: World, tmp_path: Path) -> None:
    one, two = made(1), made(2)
    world.ledger.begin([one, two])
    world.ledger.settle(RELAY, [replace(one, status="archived", completed=NOON)], Place(2))
    assert world.moves[-1] == (RELAY, Place(2))
    assert world.ledger.open_batches(RELAY) == [two]
    assert world.control.rows("SELECT seq, row FROM relays") == [(2, 0)]
    before = world.ledger.totals(RELAY)
    with sqlite3.connect(tmp_path / "control.db", isolation_level=None, timeout=0) as other:
        world.control._db.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable):
            world.ledger.settle(RELAY, [replace(two, status="archived", completed=NOON)], Place(3))
        other.execute("ROLLBACK")
    other.close()
    assert world.ledger.open_batches(RELAY) == [two]
    assert world.control.rows("SELECT seq, row FROM relays") == [(2, 0)]
    assert world.ledger.totals(RELAY) == before
    assert world.moves[-1] == (RELAY, Place(2))


def test_refused_and_failed_batches_are_open(world: World) -> None:
    statuses = ("pending", "sending", "failed", "refused", "archived", "removed")
    world.ledger.begin([made(number, status=status) for number, status in enumerate(statuses, 1)])
    assert [one.status for one in world.ledger.open_batches(RELAY)] == list(statuses[:4])
    assert [one.status for one in world.ledger.batches(RELAY, "refused", 0, 10)] == ["refused"]
    assert len(world.ledger.batches(None, None, NOON + 3, 10)) == 4
    assert [one.first.seq for one in world.ledger.batches(None, None, 0, 2)] == [6, 5]


def test_totals_outlast_the_batches(world: World) -> None:
    world.clock.now = NOON
    done = [made(number, status="archived", completed=NOON + number) for number in range(1, 4)]
    world.ledger.begin(done)
    kept = made(9, status="refused")
    world.ledger.begin([kept])
    world.clock.now = NOON + KEEP_BATCHES + 3
    world.ledger.settle(RELAY, [], Place(4))
    assert world.ledger.batches(RELAY, None, 0, 10) == [kept, done[2]]
    totals = world.ledger.totals(RELAY)
    assert totals.of("archived") == Tally(3, 15, 150)
    assert totals.of("archived", "refused") == Tally(4, 20, 200)
    world.again()
    assert world.ledger.totals(RELAY) == totals
    assert world.ledger.totals("other").of("archived") == Tally()
