from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import BatchId, Receipt, Store, batch_digest, open_store
from storage.batch import Labels, empty_batch
from storage.errors import BatchIdConflict, DirectoryLocked, StorageError, StorageUnavailable
from storage.segment import Kind
from tests.storage.entries import (
    ALWAYS,
    DAY,
    HOUR,
    NOON,
    Entry,
    Matcher,
    Outcome,
    batch_of,
    entries_with_few,
    entry,
    in_order,
    label_sets,
    metadata_of,
    put,
    quiet,
    read,
    send,
    start,
    stored,
    without_repeats,
)
from tests.storage.logs import SlowSync, records_of

# -- equal answers in every state

near = st.tuples(
    label_sets,
    st.one_of(st.integers(NOON, NOON + 3), st.sampled_from([NOON - DAY, NOON + DAY, NOON + 3_600_000_000_000])),
    st.sampled_from([b"", b"x", b"y", b"\xff"]),
    st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from([b"", b"v"]), max_size=2).map(metadata_of),
)
steps = st.lists(
    st.one_of(
        st.lists(st.one_of(near, entries_with_few), max_size=8),
        st.sampled_from(["flush", "carry", "restart", "again"]),
    ),
    min_size=2,
    max_size=9,
)


@settings(max_examples=60)
@given(steps, st.sampled_from([1, 3, 32_768]))
def test_an_entry_shows_once_and_in_its_place_in_every_state(
    tmp_path_factory: pytest.TempPathFactory, todo: list[list[Entry] | str], group: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    options = quiet(small_tenant=1 << 20, row_group_rows=group)
    store = start(folder, options)
    sent: list[Entry] = []
    last: list[Entry] = []
    for step in todo:
        if isinstance(step, list):
            last = step
            stored(store, step)
            sent += step
        elif step == "again":
            stored(store, last)
        elif step == "flush":
            store.flush()
        elif step == "carry":
            store._flusher.flush(everything=False)
        else:
            store.close()
            store = start(folder, options)
        expected = in_order(without_repeats(sent))
        assert read(store) == expected
        assert read(store, matchers=[Matcher("app", "=", "a")], start=NOON, end=NOON + 2) == [
            row for row in expected if dict(row[0]).get("app") == "a" and NOON <= row[1] < NOON + 2
        ]
    store.close()


# -- labels


def sets_of(rows: list[Entry]) -> list[Labels]:
    return sorted({row[0] for row in rows})


@pytest.mark.parametrize("state", ["memory", "blocks", "replayed", "restarted"])
def test_labels_values_and_series_are_those_of_the_time_asked_for(tmp_path: Path, state: str) -> None:
    rows: list[Entry] = [
        ((("app", "a"), ("env", "prod")), NOON, b"", ()),
        ((("app", "b"),), NOON + DAY, b"", ()),
        ((("app", "c"), ("zone", "z")), NOON + 3 * DAY, b"", ()),
    ]
    store = start(tmp_path)
    stored(store, rows)
    if state in ("blocks", "restarted"):
        store.flush()
    if state in ("replayed", "restarted"):
        store.close()
        store = start(tmp_path)
    assert store.label_names("t", (), *ALWAYS) == ["app", "env", "zone"]
    assert store.label_names("t", (), NOON, NOON + 2 * DAY) == ["app", "env"]
    assert store.label_names("t", [Matcher("app", "=~", "b|c")], *ALWAYS) == ["app", "zone"]
    assert store.label_values("t", "app", (), NOON + 1_000_000, NOON + 4 * DAY) == ["b", "c"]
    assert store.label_values("t", "env", (), NOON + DAY, NOON + 4 * DAY) == []
    assert sorted(store.series("t", (), *ALWAYS)) == sets_of(rows)
    groups = [[Matcher("app", "=", "a")], [Matcher("zone", "!=", "")]]
    assert sorted(store.series("t", groups, *ALWAYS)) == sets_of([rows[0], rows[2]])
    assert store.series("t", groups, NOON + DAY, NOON + 2 * DAY) == []
    assert store.label_names("nobody", (), *ALWAYS) == []
    assert store.label_values("nobody", "app", (), *ALWAYS) == []
    assert store.series("nobody", (), *ALWAYS) == []
    store.close()


def test_tenants_see_nothing_of_each_other(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON, "of one")], "one")
    stored(store, [entry("a", NOON, "of two")], "two")
    for _ in range(2):
        assert read(store, "one") == [entry("a", NOON, "of one")]
        assert read(store, "two") == [entry("a", NOON, "of two")]
        store.flush()
    store.close()


# -- group commit


def test_many_writers_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = start(tmp_path)
    sync = SlowSync(monkeypatch, 0.01)

    def write(writer: int) -> None:
        for n in range(25):
            stored(store, [entry(f"app{writer}", NOON + n, f"{writer}-{n}")])

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(store)) == 200
    assert sync.calls <= 80
    assert store.figures().counters.wal_records == sync.calls
    store.close()


class HeldSync:
    """An fdatasync that waits for the test, and then succeeds or fails as told."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.fail = False
        patch.setattr("storage.wal.os.fdatasync", self._call)

    def _call(self, _fd: int) -> None:
        self.entered.release()
        assert self.go.acquire(timeout=20)
        if self.fail:
            raise OSError(5, "Input/output error")


def test_a_failed_sync_refuses_its_whole_group_and_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = start(tmp_path)
    with monkeypatch.context() as patch:
        sync = HeldSync(patch)
        first = send(store, [entry("a", NOON, "first")])
        assert sync.entered.acquire(timeout=20)
        group = [send(store, [entry(f"new{n}", NOON + n, "refused")], batch_id=number(n, "x")) for n in range(5)]
        sync.go.release()
        assert first.get() == Receipt()
        assert sync.entered.acquire(timeout=20)
        sync.fail = True
        sync.go.release()
        assert all(isinstance(outcome.get(), StorageUnavailable) for outcome in group)
    assert read(store) == [entry("a", NOON, "first")]
    assert store.label_values("t", "app", (), *ALWAYS) == ["a"]
    again = [entry("new0", NOON, "refused")]
    assert stored(store, again, batch_id=number(0, "x")) == Receipt()
    counters = store.figures().counters
    assert (counters.refused_batches, counters.wal_failures) == (5, 1)
    store.close()
    found = records_of(tmp_path / "wal")
    assert [record.seq for record in found if record.kind is Kind.ENTRIES] == [1, 3]
    assert [msgpack.unpackb(record.body) for record in found if record.kind is Kind.GAP] == [[2, 2]]
    store = start(tmp_path)
    assert read(store) == in_order([entry("a", NOON, "first"), *again])
    assert store.figures().replay.torn_tails == 0
    store.close()


def test_answers_come_a_group_at_a_time(tmp_path: Path) -> None:
    delivered: list[Callable[[], None]] = []
    arrived = threading.Semaphore(0)

    def deliver(answer: Callable[[], None]) -> None:
        delivered.append(answer)
        arrived.release()

    store = open_store(tmp_path, quiet(), deliver)
    outcomes: list[Any] = []
    store.append("t", batch_of([entry("a", NOON)]), outcomes.append)
    assert arrived.acquire(timeout=20)
    assert outcomes == []  # nobody is called but through `deliver`
    delivered[0]()
    assert outcomes == [Receipt()]
    store.close()


def test_a_receiver_that_fails_keeps_nobody_from_an_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("receiver")

    store = start(tmp_path)
    for n in range(3):
        store.append("t", batch_of([entry("a", NOON + 2 * n)]), fail)
        stored(store, [entry("a", NOON + 2 * n + 1)])
    assert len(read(store)) == 6
    assert "receiver" in caplog.text
    store.close()


def test_a_deliver_that_fails_does_not_end_the_writer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tries = threading.Semaphore(0)
    working = False

    def deliver(answer: Callable[[], None]) -> None:
        if not working:
            tries.release()
            raise RuntimeError("the event loop is closed")
        answer()

    store = open_store(tmp_path, quiet(), deliver)
    store.append("t", batch_of([entry("a", NOON)]), lambda _: None)
    assert tries.acquire(timeout=20)
    working = True
    stored(store, [entry("a", NOON + 1)])
    assert len(read(store)) == 2
    assert "event loop is closed" in caplog.text
    store.close()


def test_a_batch_that_cannot_be_written_is_refused_and_the_next_is_stored(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON, "kept")])
    poison: Entry = ((("app", "\ud800"),), NOON, b"x", ())  # a lone surrogate is no UTF-8
    assert isinstance(put(store, [poison]), StorageError)
    stored(store, [entry("b", NOON, "after")])
    assert read(store) == in_order([entry("a", NOON, "kept"), entry("b", NOON, "after")])
    store.close()
    store = start(tmp_path)
    assert read(store) == in_order([entry("a", NOON, "kept"), entry("b", NOON, "after")])
    store.flush()
    store.close()


def test_a_batch_without_entries_is_stored_as_nothing(tmp_path: Path) -> None:
    store = start(tmp_path)
    outcome = Outcome()
    store.append("t", empty_batch([(("app", "a"),)]), outcome.settle)
    assert outcome.get() == Receipt()
    assert read(store) == []
    store.flush()
    store.close()


def test_after_close_everything_is_refused_and_nothing_queued_is_lost(tmp_path: Path) -> None:
    store = start(tmp_path)
    outcomes = [send(store, [entry("a", NOON + n)]) for n in range(50)]
    store.close()
    assert all(outcome.get() == Receipt() for outcome in outcomes)
    assert isinstance(put(store, [entry("a", NOON)]), StorageUnavailable)
    again = start(tmp_path)
    assert len(read(again)) == 50
    again.close()


def test_a_second_store_on_a_directory_is_refused(tmp_path: Path) -> None:
    store = start(tmp_path)
    with pytest.raises(DirectoryLocked):
        start(tmp_path)
    stored(store, [entry("a", NOON)])
    store.close()


# -- duplicates


def test_what_is_in_memory_already_is_counted_and_not_stored(tmp_path: Path) -> None:
    store = start(tmp_path)
    rows = [entry("a", NOON + n, f"{n}", k="v") for n in range(5)]
    assert stored(store, rows) == Receipt()
    assert stored(store, [*rows[2:], entry("a", NOON + 9), entry("a", NOON + 9)]) == Receipt(duplicates=4)
    assert stored(store, rows) == Receipt(duplicates=5)
    figures = store.figures()
    assert figures.counters.duplicate_entries == 9
    assert figures.tenants["t"].duplicate_bytes == 8 + len(b"line")
    assert figures.tenants["t"].memory_rows == 6
    store.close()


# -- batch ids


def number(n: int, contents: str) -> BatchId:
    return BatchId(n.to_bytes(16, "big"), batch_digest(batch_of([entry("a", NOON + n, contents)])))


def restart(store: Store, folder: Path) -> Store:
    store.close()
    return start(folder, quiet(small_tenant=1 << 20))


def leave(store: Store, _folder: Path) -> Store:
    return store


def flushed(store: Store, _folder: Path) -> Store:
    store.flush()
    return store


def carried(store: Store, _folder: Path) -> Store:
    store._flusher.flush(everything=False)
    return store


def flushed_and_restarted(store: Store, folder: Path) -> Store:
    return restart(flushed(store, folder), folder)


def carried_and_restarted(store: Store, folder: Path) -> Store:
    return restart(carried(store, folder), folder)


@pytest.mark.parametrize("after", [leave, restart, flushed, carried, flushed_and_restarted, carried_and_restarted])
def test_a_batch_sent_again_under_its_id_is_stored_once(tmp_path: Path, after: Callable[[Store, Path], Store]) -> None:
    store = start(tmp_path, quiet(small_tenant=1 << 20))
    rows = [entry("a", NOON, "x")]
    assert stored(store, rows, batch_id=number(1, "x")) == Receipt()
    store = after(store, tmp_path)
    assert stored(store, rows, batch_id=number(1, "x")) == Receipt(deduplicated=True)
    assert isinstance(put(store, [entry("a", NOON, "y")], batch_id=number(1, "y")), BatchIdConflict)
    assert stored(store, [entry("a", NOON, "z")], "other", batch_id=number(1, "z")) == Receipt()
    assert read(store) == rows
    assert store.figures().counters.deduplicated_batches == 1
    store.close()


def test_two_of_one_id_in_one_group_are_stored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = start(tmp_path)
    with monkeypatch.context() as patch:
        sync = HeldSync(patch)
        sync.go.release(1)
        send(store, [entry("a", NOON + 1)]).get()
        send(store, [entry("a", NOON + 2)])
        assert sync.entered.acquire(timeout=20)
        assert sync.entered.acquire(timeout=20)
        group = [
            send(store, [entry("a", NOON, "x")], batch_id=number(7, "x")),
            send(store, [entry("a", NOON, "x")], batch_id=number(7, "x")),
            send(store, [entry("a", NOON, "other")], batch_id=number(7, "other")),
        ]
        sync.go.release(2)
        first, second, third = (outcome.get() for outcome in group)
    assert (first, second) == (Receipt(), Receipt(deduplicated=True))
    assert isinstance(third, BatchIdConflict)
    assert len(read(store)) == 3
    store.close()


def test_digests_tell_batches_apart() -> None:
    base = entry("a", NOON, "line", k="v")
    others = [
        [entry("b", NOON, "line", k="v")],
        [entry("a", NOON + 1, "line", k="v")],
        [entry("a", NOON, "lines", k="v")],
        [entry("a", NOON, "line", k="w")],
        [entry("a", NOON, "line", l="v")],
        [entry("a", NOON, "line")],
        [base, base],
        [],
    ]
    digests = [batch_digest(batch_of(rows)) for rows in ([base], *others)]
    assert len(set(digests)) == len(digests)
    assert batch_digest(batch_of([base])) == digests[0]


# -- figures


def test_figures_count_what_is_there(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON, "12345"), entry("b", NOON, "678")])
    stored(store, [entry("a", NOON + 1, "9")])
    figures = store.figures()
    assert figures.tenants["t"].memory_rows == 3
    assert (figures.tenants["t"].memory_streams, figures.tenants["t"].streams_created) == (2, 2)
    assert figures.memory_bytes == figures.tenants["t"].memory_bytes > 9
    assert figures.counters.wal_records == 2
    segments = list((tmp_path / "wal").iterdir())
    assert (figures.wal_segments, figures.wal_disk_bytes) == (1, sum(path.stat().st_size for path in segments))
    assert figures.counters.wal_bytes == figures.wal_disk_bytes - 64
    assert sum(figures.counters.wal_sync.counts) == 2
    assert figures.reserve_held
    assert figures.queued_batches == 0
    store.flush()
    after = store.figures()
    assert (after.memory_chunks, after.memory_bytes, after.tenants["t"].memory_rows) == (0, 0, 0)
    assert after.tenants["t"].memory_streams == 0
    assert after.tenants["t"].block_rows == 3
    blocks = list((tmp_path / "blocks").glob("*/*/*.parquet"))
    assert (after.blocks, after.block_disk_bytes) == (1, sum(path.stat().st_size for path in blocks))
    counters = after.counters
    assert (counters.flushes, counters.flushed_blocks, counters.flushed_rows) == (1, 1, 3)
    assert counters.flushed_bytes == after.block_disk_bytes
    assert sum(counters.flush.counts) == 1
    assert figures.counters.flushes == 0  # what was taken before does not move
    store.close()


def test_figures_of_a_replay_tell_what_the_log_held(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON, "12345"), entry("b", NOON, "678")])
    store.close()
    store = start(tmp_path)
    replay = store.figures().replay
    assert (replay.segments, replay.records, replay.entries, replay.bytes) == (1, 1, 2, 8)
    assert store.figures().tenants["t"].memory_rows == 2
    store.close()


def test_entries_with_many_keys_keep_them_all(tmp_path: Path) -> None:
    rows = [entry("a", NOON + n, "x", **{f"k{n}-{k}": "v" for k in range(30)}) for n in range(10)]
    store = start(tmp_path)
    for row in rows:
        stored(store, [row])
    for _ in range(2):
        assert read(store) == rows
        store.flush()
    store.close()
    again = start(tmp_path)
    assert Counter(read(again)) == Counter(rows)
    again.close()


def test_patterns_are_asked_of_the_blocks_of_a_day(tmp_path: Path) -> None:
    """What was counted of a day goes with the next block of it, whose rows may all be of another hour."""
    store = start(tmp_path)
    stored(store, [entry("a", NOON)])
    store.flush()
    (block,) = store._state.tenants["t"].view.blocks
    for first, last, expected in (
        (NOON + HOUR, NOON + 2 * HOUR, (block.path,)),
        (NOON - 2 * HOUR, NOON - HOUR, (block.path,)),
        (NOON + DAY, NOON + DAY + HOUR, ()),
        (NOON - DAY, NOON - DAY + HOUR, ()),
    ):
        found = store.block_patterns("t", (), first, last)
        assert found is not None
        assert found.paths == expected
    store.close()
