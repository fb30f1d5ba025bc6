"""When streams last came in, in memory and in blocks."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from storage import StoreOptions, open_store
from storage.batch import Labels
from storage.build import BatchBuilder
from storage.store import Store
from tests.storage.entries import DAY, NOON, Matcher

MS = 1_000_000
A: Labels = (("app", "a"),)
B: Labels = (("app", "b"),)


def put(store: Store, *entries: tuple[Labels, int, bytes]) -> None:
    builder = BatchBuilder()
    for labels, ts, line in entries:
        builder.add(builder.add_stream(labels), ts, line, ())
    done = threading.Event()
    store.append("t", builder.build(), lambda _outcome: done.set())
    assert done.wait(60)
    store.flush()


def test_streams_are_told_of_the_last_first(tmp_path: Path) -> None:
    store = open_store(tmp_path, StoreOptions())
    before = time.time_ns()
    put(store, (A, NOON, b"one"), (A, NOON + DAY, b"two"), (B, NOON + 5 * MS, b"three"))
    try:
        count, (a, b) = store.activity("t", (), NOON, NOON + 10 * MS, 10)
        assert count == 2
        assert (a.labels, a.first, a.last, a.is_expired) == (A, NOON, NOON + DAY, False)
        assert (b.labels, b.first, b.last) == (B, NOON + 5 * MS, NOON + 5 * MS)
        assert before <= a.arrived <= time.time_ns()
        assert ((a.rows, a.size), (b.rows, b.size)) == ((1, 3), (1, 5))
        count, found = store.activity("t", (Matcher("app", "=", "b"),), NOON, NOON, 10)
        assert (count, [(one.labels, one.rows) for one in found]) == (1, [(B, 0)])
        assert [one.labels for one in store.activity("t", (), NOON, NOON, 1)[1]] == [A]
        assert store.activity("nobody", (), NOON, NOON, 1) == (0, [])
    finally:
        store.close()


@pytest.mark.parametrize("flushed", [True, False])
def test_when_a_stream_came_is_not_known_after_a_restart(tmp_path: Path, flushed: bool) -> None:
    store = open_store(tmp_path, StoreOptions())
    builder = BatchBuilder()
    builder.add(builder.add_stream(A), NOON, b"one", ())
    done: list[object] = []
    store.append("t", builder.build(), done.append)
    if flushed:
        store.flush()
    store.close()
    assert done
    store = open_store(tmp_path, StoreOptions())
    try:
        _, (one,) = store.activity("t", (), NOON, NOON + MS, 10)
        assert (one.last, one.arrived, one.rows) == (NOON, 0, 1)
        put(store, (A, NOON + MS, b"two"))
        _, (one,) = store.activity("t", (), NOON, NOON + MS, 10)
        assert one.arrived > 0
    finally:
        store.close()
