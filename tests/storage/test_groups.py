"""Pushes that are committed together: small ones are joined, large ones stay as they came, nothing is stored twice."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import Receipt, Store, open_store
from tests.storage.entries import (
    NOON,
    Entry,
    Outcome,
    batch_of,
    entry,
    in_order,
    metadata_of,
    packed,
    quiet,
    read,
    send,
    start,
    without_repeats,
)

entries = st.tuples(
    st.sampled_from([(("app", "a"),), (("app", "b"),)]),
    st.integers(NOON, NOON + 5),
    st.sampled_from([b"", b"x", b"\xff"]),
    (
        st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from([b"", b"v"]), max_size=2)
        | st.sampled_from([{f"k{n}": b"v" for n in range(first, first + 66)} for first in range(2)])
    ).map(metadata_of),
)
pushes = st.lists(st.lists(entries, min_size=1, max_size=6), min_size=1, max_size=6)


class Gate:
    """Holds the writer between two groups, so that what is sent meanwhile is one group."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._held = threading.Semaphore(0)

    def deliver(self, answer: Callable[[], None]) -> None:
        answer()
        self._held.release()
        assert self._open.wait(20)

    def group(self, store: Store, given_pushes: list[list[Entry]]) -> list[Receipt]:
        self._open.clear()
        while self._held.acquire(blocking=False):
            pass
        first = send(store, [entry("gate", NOON)])
        assert self._held.acquire(timeout=20)
        assert first.get()
        outcomes = [send(store, push) for push in given_pushes]
        self._open.set()
        found = [outcome.get() for outcome in outcomes]
        return [item for item in found if isinstance(item, Receipt)]


@settings(max_examples=30)
@given(st.lists(pushes, min_size=1, max_size=3), st.sampled_from([1, 4, 4096]))
def test_a_group_stores_each_entry_once_whatever_the_sizes_of_its_pushes(
    groups: list[list[list[Entry]]], joined_up_to: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.writer.RUN_ROWS", joined_up_to)
        gate = Gate()
        store = open_store(Path(folder), quiet(), gate.deliver)
        seen: set[Entry] = {entry("gate", NOON)}
        sent = [entry("gate", NOON)]
        for group in groups:
            receipts = gate.group(store, group)
            expected = []
            for push in group:
                fresh = [row for row in without_repeats(push) if row not in seen]
                seen.update(fresh)
                sent += fresh
                expected.append(Receipt(duplicates=len(push) - len(fresh)))
            assert receipts == expected
        records = store.figures().counters.wal_records
        assert records == 2 * len(groups)
        assert read(store) == in_order(sent)
        store.close()
        again = start(Path(folder))
        assert read(again) == in_order(sent)
        again.flush()
        assert read(again) == in_order(sent)
        again.close()


def test_large_pushes_of_a_group_are_runs_of_their_own(tmp_path: Path) -> None:
    gate = Gate()
    store = open_store(tmp_path, quiet(), gate.deliver)
    large = [[entry("a", NOON + 10_000 * push + row) for row in range(5000)] for push in range(2)]
    small = [[entry("b", NOON + push)] for push in range(3)]
    gate.group(store, [*large, *small])
    figures = store.figures()
    assert figures.counters.wal_records == 2
    assert figures.counters.chunks_created == 1 + len(large) + 1
    assert figures.tenants["t"].memory_rows == 10_004
    store.close()


def test_streams_that_are_new_in_a_later_part_of_a_group_need_room_of_their_own(tmp_path: Path) -> None:
    gate = Gate()
    store = open_store(tmp_path, quiet(), gate.deliver)
    large = [entry("a", NOON + row) for row in range(5000)]
    many = [entry(f"new{row}", NOON) for row in range(5000)]
    gate.group(store, [large])
    assert gate.group(store, [large, many]) == [Receipt(duplicates=5000), Receipt()]
    assert store.figures().tenants["t"].memory_rows == 10_001
    store.close()


@pytest.mark.parametrize("again", [0, 7])
def test_lines_that_came_packed_are_in_the_log_and_not_twice_in_memory(tmp_path: Path, again: int) -> None:
    rows = [entry("a", NOON + n, f"line {n} " + "x" * 60) for n in range(200)]
    batch = packed(batch_of([*rows, *rows[:again]]), [b"between"])
    assert batch.lines.packed is not None
    store = start(tmp_path)
    outcome = Outcome()
    store.append("t", batch, outcome.settle)
    assert outcome.get() == Receipt(duplicates=again)
    (run,) = store._state.tenant("t").view.memory
    assert run.batch.lines.packed is None
    assert read(store) == rows
    store.close()
    (segment,) = (tmp_path / "wal").iterdir()
    assert (batch.lines.packed.block in segment.read_bytes()) is not bool(
        again
    )  # rows that are left are not the block's
    store = start(tmp_path)
    assert read(store) == rows
    store.close()
