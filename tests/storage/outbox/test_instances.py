"""What each server that passes batches on has brought: exact, whatever comes between."""

from __future__ import annotations

import shutil
from pathlib import Path

from storage import BatchId, Instance, Sender, batch_digest
from tests.storage.entries import NOON, batch_of, entry, put, start, stored

EDGE, OTHER = Sender("edge-1", ("a1",)), Sender("edge-2", ("b2", "c3"))


def brought(number: int, sender: Sender, count: int = 3) -> tuple[list, BatchId]:  # type: ignore[type-arg]
    rows = [entry("a", NOON + number * 100 + n, f"{number} {n}") for n in range(count)]
    return rows, BatchId(number.to_bytes(16, "big"), batch_digest(batch_of(rows)), sender)


def told(instances: list[Instance]) -> list[tuple[str, str, int, int, tuple[str, ...]]]:
    return [(one.tenant, one.name, one.batches, one.records, one.path) for one in instances]


def test_batches_count_once_by_instance_and_tenant(tmp_path: Path) -> None:
    store = start(tmp_path)
    for number, sender, tenant in ((1, EDGE, "t"), (2, EDGE, "t"), (3, OTHER, "t"), (4, EDGE, "u")):
        rows, name = brought(number, sender)
        stored(store, rows, tenant, name)
    rows, name = brought(2, EDGE)
    assert stored(store, rows, "t", name).deduplicated
    rows, name = brought(5, EDGE)
    stored(store, rows, "t", BatchId(name.id, name.digest))  # of nobody who says who it is
    expected = [("t", "edge-1", 2, 6, ("a1",)), ("t", "edge-2", 1, 3, ("b2", "c3")), ("u", "edge-1", 1, 3, ("a1",))]
    before = store.instances()
    assert told(before) == expected
    assert all(one.last_received > NOON for one in before)
    store.flush()
    assert store.instances() == before
    store.close()
    store = start(tmp_path)
    assert store.instances() == before
    rows, name = brought(6, EDGE)
    stored(store, [*rows, rows[0]], "t", name)  # entries as they were sent: one repeats another
    assert store.instances()[0].records == 6 + 4
    assert store.instances()[0].last_received > before[0].last_received
    store.close()


def test_a_kill_between_control_db_and_the_log_counts_nothing_twice(tmp_path: Path) -> None:
    """The ids are in control.db, and the segment is still there."""
    store = start(tmp_path / "whole")
    for number in range(1, 4):
        rows, name = brought(number, EDGE)
        stored(store, rows, "t", name)
    before = store.instances()
    shutil.copytree(tmp_path / "whole" / "wal", tmp_path / "wal")
    store.flush()
    store.close()
    shutil.rmtree(tmp_path / "whole" / "wal")
    (tmp_path / "wal").rename(tmp_path / "whole" / "wal")
    for _ in range(2):
        store = start(tmp_path / "whole")
        assert store.instances() == before
        rows, name = brought(2, EDGE)
        assert put(store, rows, "t", name) == stored(store, rows, "t", name)
        store.flush()
        assert store.instances() == before
        store.close()
