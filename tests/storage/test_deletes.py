"""A delete hides what came before it, in every state, over restarts, and nothing that came after."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import DeleteOptions, DeleteStatus, Store
from storage.batch import Batch, Mask
from storage.blockread import Block
from storage.control import DeleteRecord
from storage.errors import (
    BadDelete,
    CorruptBlock,
    CorruptCatalog,
    DeleteBegun,
    StorageError,
    StorageUnavailable,
    UnknownDelete,
)
from storage.streams import LabelMatcher
from storage.tombstones import Chooser
from tests.server import wait_until
from tests.storage.entries import (
    ALWAYS,
    DAY,
    HOUR,
    NOON,
    Entry,
    Matcher,
    entry,
    in_order,
    quiet,
    read,
    send,
    start,
    stored,
    without_repeats,
)


def compiler(query: str) -> tuple[Sequence[LabelMatcher], Chooser | None]:
    """`a` are the entries of app a, `*` all; `a/x` those of them with an x in the line."""
    app, _, needle = query.partition("/")
    matchers = [] if app == "*" else [Matcher("app", "=", app)]
    if app == "?":
        raise BadDelete("what?")

    def has_needle(batch: Batch) -> Mask:
        return np.fromiter((needle.encode() in line for line in batch.lines.tolist()), np.bool_, len(batch))

    return matchers, has_needle if needle else None


def options(*, cancel_period: float = 1e6, **others: Any) -> Any:
    return replace(quiet(small_tenant=1 << 20, **others), deletes=DeleteOptions(compiler, cancel_period))


def opened(folder: Path, **others: Any) -> Store:
    return start(folder, options(**others))


def delete(
    store: Store, query: str, first: int = ALWAYS[0], last: int = NOON + 9 * DAY, tenant: str = "t"
) -> DeleteRecord:
    return store.delete(tenant, query, first, last, "a test")


ROWS = [entry(app, NOON + n * HOUR, f"{app}{n}") for app in "ab" for n in range(-20, 21, 4)]
B_ROWS = in_order(row for row in ROWS if row[0] == (("app", "b"),))

STATES = ["memory", "flushed", "half", "carried", "replayed", "frozen"]


def in_state(folder: Path, state: str) -> Store:
    """A store with ROWS in it."""
    store = opened(folder)
    stored(store, ROWS[::2])
    if state in ("flushed", "half"):
        store.flush()
    stored(store, ROWS[1::2])
    if state == "flushed":
        store.flush()
    if state == "carried":
        store._flusher.flush(everything=False)
    if state == "replayed":
        store.close()
        store = opened(folder)
    if state == "frozen":
        tenant = store._state.tenants["t"]
        store._flusher._freeze()
        assert tenant.view.frozen
    return store


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("after", ["at once", "flush", "restart", "flush and restart", "no index.db", "later rows"])
def test_what_came_before_is_gone_whatever_happens_next(tmp_path: Path, state: str, after: str) -> None:
    store = in_state(tmp_path, state)
    delete(store, "a")
    assert read(store) == B_ROWS
    again = [entry("a", NOON, "a0"), entry("a", NOON + HOUR, "new")]
    expected = B_ROWS
    if after == "later rows":
        stored(store, again)
        expected = in_order([*B_ROWS, *again])
        assert read(store) == expected
    if "flush" in after:
        store.flush()
    if after != "at once":
        store.close()
        if after == "no index.db":
            for path in tmp_path.glob("index.db*"):
                path.unlink()
        store = opened(tmp_path)
    assert read(store) == expected
    store.flush()
    assert read(store) == expected
    store.close()
    store = opened(tmp_path)
    assert read(store) == expected
    store.close()


@pytest.mark.parametrize("state", STATES)
def test_both_ends_of_its_time_are_included(tmp_path: Path, state: str) -> None:
    store = in_state(tmp_path, state)
    delete(store, "*", NOON - 4 * HOUR, NOON + 4 * HOUR)
    assert read(store) == in_order(row for row in ROWS if not NOON - 4 * HOUR <= row[1] <= NOON + 4 * HOUR)
    store.close()


@pytest.mark.parametrize("state", STATES)
def test_a_filter_chooses_among_the_entries(tmp_path: Path, state: str) -> None:
    store = in_state(tmp_path, state)
    delete(store, "*/8")
    left = in_order(row for row in ROWS if b"8" not in row[2])
    assert read(store) == left
    stored(store, [entry("a", NOON + 8 * HOUR, "a8")])
    store.close()
    store = opened(tmp_path)
    assert read(store) == in_order([*left, entry("a", NOON + 8 * HOUR, "a8")])
    store.close()


def test_the_delete_of_one_tenant_never_touches_anothers(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for tenant in ("t", "u"):
        stored(store, ROWS, tenant)
    delete(store, "*")
    for _ in range(2):
        assert read(store) == []
        assert read(store, "u") == in_order(ROWS)
        assert [each.record.tenant for each in store.deletes("t")] == ["t"]
        assert store.deletes("u") == []
        with pytest.raises(UnknownDelete):
            store.cancel_delete("u", store.deletes("t")[0].record.id)
        store.close()
        store = opened(tmp_path)
    store.close()


def test_memory_that_a_delete_does_not_concern_stays_there(tmp_path: Path) -> None:
    store = in_state(tmp_path, "memory")
    delete(store, "c")
    delete(store, "a", NOON + 2 * DAY, NOON + 3 * DAY)
    assert not store._state.tenants["t"].view.blocks
    assert {each.record.status for each in store.deletes("t")} == {DeleteStatus.PROCESSED}
    assert read(store) == in_order(ROWS)
    store.close()


def test_streams_that_come_after_it_are_not_of_it(tmp_path: Path) -> None:
    store = in_state(tmp_path, "memory")
    delete(store, "*")
    late = [entry("new", NOON, "x"), entry("a", NOON, "a0")]
    stored(store, late)
    for _ in range(3):
        assert read(store) == in_order(late)
        store.flush()
        store.close()
        store = opened(tmp_path)
    store.close()


# -- against a model


@dataclass
class Model:
    """What should be seen: every row as it came, and which deletes hide it."""

    rows: list[tuple[Entry, set[str]]] = field(default_factory=list)

    def push(self, rows: list[Entry]) -> None:
        self.rows += [(row, set()) for row in rows]

    def delete(self, delete_id: str, query: str, first: int, last: int) -> None:
        app, _, needle = query.partition("/")
        for (labels, ts, line, _), hidden in self.rows:
            if app in ("*", labels[0][1]) and first <= ts <= last and needle.encode() in line:
                hidden.add(delete_id)

    def cancel(self, delete_id: str) -> None:
        for _, hidden in self.rows:
            hidden.discard(delete_id)

    def seen(self) -> list[Entry]:
        return in_order(without_repeats(row for row, hidden in self.rows if not hidden))


near = st.tuples(
    st.sampled_from("ab").map(lambda app: (("app", app),)),
    st.sampled_from([NOON, NOON + 1, NOON + 2, NOON + HOUR, NOON + DAY]),
    st.sampled_from([b"x", b"y", b"xy"]),
    st.just(()),
)
queries = st.sampled_from(["a", "b", "*", "*/x", "a/y"])
moments = st.sampled_from([(ALWAYS[0], NOON + 9 * DAY), (NOON, NOON + 1), (NOON + 1, NOON + DAY - 1)])
steps = st.lists(
    st.one_of(
        st.lists(near, min_size=1, max_size=6),
        st.tuples(queries, moments),
        st.sampled_from(["flush", "carry", "restart", "no index", "again", "cancel", "settle", "compact", "compact"]),
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=50)
@given(steps, st.sampled_from([0.0, 1e6]))
def test_any_order_of_events(tmp_path_factory: pytest.TempPathFactory, todo: list[Any], cancel_period: float) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = opened(folder, row_group_rows=2, cancel_period=cancel_period)
    model = Model()
    last: list[Entry] = []
    ids: list[DeleteRecord] = []
    for step in todo:
        if isinstance(step, list):
            last = step
            stored(store, step)
            model.push(step)
        elif isinstance(step, tuple):
            query, (first, until) = step
            found = delete(store, query, first, until)
            model.delete(found.id, query, first, until)
            ids.append(found)
        elif step == "again":
            stored(store, last)
            model.push(last)
        elif step == "flush":
            store.flush()
        elif step == "carry":
            store._flusher.flush(everything=False)
        elif step == "settle":
            store._deletes.settle()
        elif step == "compact":
            store.compact()
        elif step == "cancel":
            if ids:
                found = ids.pop()
                try:
                    store.cancel_delete("t", found.id)
                except DeleteBegun:
                    assert cancel_period == 0.0 or not found.is_open
                else:
                    model.cancel(found.id)
        else:
            store.close()
            if step == "no index":
                for path in folder.glob("index.db*"):
                    path.unlink()
            store = opened(folder, row_group_rows=2, cancel_period=cancel_period)
        assert read(store) == model.seen()
    stats = store.index_stats("t", (), *ALWAYS)
    assert stats.entries >= len(model.seen())
    store.close()


# -- at the same time


def test_a_push_and_a_flush_at_the_same_time_lose_nothing_and_bring_nothing_back(tmp_path: Path) -> None:
    store = opened(tmp_path, row_group_rows=64)
    before = [entry("a", NOON + n, f"before {n}") for n in range(3000)]
    after = [entry("a", NOON + n, f"after {n}") for n in range(200)]
    for at in range(0, len(before), 500):
        stored(store, before[at : at + 500])
    go_on = threading.Event()

    def flush() -> None:
        while not go_on.is_set():
            store._flusher.flush(everything=True)
            store._flusher.flush(everything=False)

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        record = delete(store, "*")
        assert read(store) == []
        sent = [send(store, after[at : at + 10]) for at in range(0, len(after), 10)]
        for one in sent:
            one.get()
        assert read(store) == in_order(after)
    finally:
        go_on.set()
        thread.join()
    store.close()
    store = opened(tmp_path)
    assert read(store) == in_order(after)
    store.cancel_delete("t", record.id)
    assert read(store) == in_order([*before, *after])
    store.close()


def test_it_waits_for_a_flush_that_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    stored(store, ROWS)
    under_way, go_on = threading.Event(), threading.Event()
    real = store._flusher._write_days

    def slow(*args: Any) -> Any:
        under_way.set()
        assert go_on.wait(20)
        return real(*args)

    monkeypatch.setattr(store._flusher, "_write_days", slow)
    flushing = threading.Thread(target=store.flush)
    flushing.start()
    assert under_way.wait(20)
    stored(store, [entry("a", NOON + 7, "in memory meanwhile")])
    deleting = threading.Thread(target=delete, args=(store, "a"))
    deleting.start()
    go_on.set()
    flushing.join()
    deleting.join()
    assert read(store) == B_ROWS
    store.close()


def test_without_room_for_memory_it_is_refused_and_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = in_state(tmp_path, "half")

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store._flusher, "_write_tenants", full)
        with pytest.raises(StorageUnavailable, match="free some space"):
            delete(store, "*")
    assert read(store) == in_order(ROWS)
    assert store.deletes("t") == []
    delete(store, "*")
    assert read(store) == []
    store.close()


def test_a_control_db_that_cannot_be_written_refuses_it(tmp_path: Path) -> None:
    store = in_state(tmp_path, "half")
    store._control._db.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageError, match=r"control\.db"):
        delete(store, "*")
    assert read(store) == in_order(ROWS)
    store.close()


# -- calling off


@pytest.mark.parametrize("state", STATES)
def test_what_is_called_off_in_time_is_as_if_it_had_never_been(tmp_path: Path, state: str) -> None:
    store = in_state(tmp_path, state)
    record = delete(store, "a")
    stored(store, [entry("a", NOON, "a0"), entry("a", NOON + 1, "late")])
    found = store.cancel_delete("t", record.id)
    assert (found.status, found.ended > 0) == (DeleteStatus.CANCELLED, True)
    for _ in range(2):
        assert read(store) == in_order([*ROWS, entry("a", NOON + 1, "late")])
        with pytest.raises(UnknownDelete):
            store.cancel_delete("t", record.id)
        store.close()
        store = opened(tmp_path)
    store.close()


def claims(store: Store) -> list[bool]:
    return [one.claim() for one in store._state.tenants["t"].view.tombstones]


def test_it_is_not_begun_before_its_time_and_then_cannot_be_called_off(tmp_path: Path) -> None:
    store = in_state(tmp_path, "flushed")
    waiting = delete(store, "b")
    assert claims(store) == [False]
    store.close()
    store = opened(tmp_path, cancel_period=0.0)
    at_once = delete(store, "a")
    assert claims(store) == [False, True]  # a period that was promised holds
    assert [each.record.status.value for each in store.deletes("t")] == ["received", "started"]
    with pytest.raises(DeleteBegun):
        store.cancel_delete("t", at_once.id)
    store.close()
    store = opened(tmp_path)
    assert claims(store) == [False, True]
    with pytest.raises(DeleteBegun):
        store.cancel_delete("t", at_once.id)
    store.cancel_delete("t", waiting.id)
    store.cancel_delete("t", at_once.id, force=True)
    assert read(store) == in_order(ROWS)
    store.close()


def test_a_reader_of_an_older_view_cannot_begin_what_was_called_off(tmp_path: Path) -> None:
    store = in_state(tmp_path, "flushed")
    record = delete(store, "a")
    (held,) = store._state.tenants["t"].view.tombstones
    store.cancel_delete("t", record.id, force=True)
    assert not held.claim()
    store.close()


# -- the record of it


def test_what_is_asked_again_is_told_of_all_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "weir.deletes")
    store = in_state(tmp_path, "flushed")
    began = time.time_ns()
    records = [delete(store, query, NOON - DAY, NOON + DAY) for query in ("a", "b/8", "nobody")]
    store.cancel_delete("t", records[0].id)
    for _ in range(2):
        told = store.deletes("t")
        assert [each.record.query for each in told] == ["a", "b/8", "nobody"]
        assert [each.record.status.value for each in told] == ["cancelled", "received", "processed"]
        first, second, third = told
        assert (second.record.who, second.record.first, second.record.last) == ("a test", NOON - DAY, NOON + DAY)
        assert began <= second.record.created <= second.record.due
        assert (second.blocks, second.percent) == (second.record.blocks, 0)
        assert second.bytes == second.record.bytes > 0
        assert (first.blocks, third.blocks, third.percent) == (0, 0, 100)
        figures = store.figures().deletes
        assert {key: count for key, count in figures.by_status.items() if count} == {
            ("t", "cancelled"): 1,
            ("t", "received"): 1,
            ("t", "processed"): 1,
        }
        assert (figures.pending, figures.oldest) == (1, second.record.created)
        store.close()
        store = opened(tmp_path)
    store.close()
    steps = [(record.message, getattr(record, "fields")["query"]) for record in caplog.records]  # noqa: B009 - of extra
    assert steps == [
        ("delete accepted", "a"),
        ("delete accepted", "b/8"),
        ("delete accepted", "nobody"),
        ("delete cancelled", "a"),
    ]


def test_one_that_is_open_and_the_same_is_not_made_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    stored(store, [entry("a", NOON), entry("a", NOON + 1)])
    first = delete(store, "a", last=NOON + DAY)
    assert delete(store, "a", last=NOON + DAY) == first
    stored(store, [entry("b", NOON + 2)])
    assert delete(store, "a", last=NOON + DAY) == first  # nothing came that it would delete
    others = [
        delete(store, "a", last=NOON + DAY + 1),
        delete(store, "a/x", last=NOON + DAY),
        delete(store, "a", last=NOON + DAY, tenant="u"),
    ]
    store.cancel_delete("t", first.id)
    others.append(delete(store, "a", last=NOON + DAY))
    stored(store, [entry("a", NOON + 3)])
    others.append(delete(store, "a", last=NOON + DAY))
    assert len({each.id for each in (first, *others)}) == 6
    assert read(store) == [entry("b", NOON + 2)]
    store.close()


def test_while_they_are_not_carried_out_they_hide_and_can_be_called_off(tmp_path: Path) -> None:
    carried_out = False
    store = start(tmp_path, replace(options(), deletes=DeleteOptions(compiler, 0.0, lambda _: carried_out)))
    stored(store, [entry("a", NOON), entry("a", NOON + 1)])
    record = delete(store, "a")
    assert not store.compact()
    assert store.deletes("t")[0].record.status is DeleteStatus.RECEIVED
    assert read(store) == []
    carried_out = True
    assert not store.compact()
    assert store.deletes("t")[0].record.status is not DeleteStatus.RECEIVED
    with pytest.raises(DeleteBegun):
        store.cancel_delete("t", record.id)
    store.close()


def test_a_query_that_is_none_is_refused(tmp_path: Path) -> None:
    store = in_state(tmp_path, "memory")
    with pytest.raises(BadDelete, match="what"):
        delete(store, "?")
    assert store.deletes("t") == []
    store.close()


def test_no_server_starts_on_a_delete_that_it_cannot_read(tmp_path: Path) -> None:
    store = in_state(tmp_path, "flushed")
    delete(store, "a")
    store.close()
    with sqlite3.connect(tmp_path / "control.db") as db:
        db.execute("UPDATE deletes SET query = '?'")
    db.close()
    with pytest.raises(CorruptCatalog, match="what"):
        opened(tmp_path)


# -- done


def drop(store: Store, gone: Block) -> None:
    """What compaction does with a block that has no row left."""
    tenant = store._state.tenants["t"]
    store._catalog.add([], [str(gone.path.relative_to(store._wal_dir.parent))])
    with store._state.lock:
        tenant.set_view(tenant.view.with_replaced([gone], None))
    store._leases.remove_later(gone.path)


def test_it_is_done_when_no_file_and_no_record_of_the_log_has_its_entries(tmp_path: Path) -> None:
    store = opened(tmp_path, cancel_period=0.0)
    rows = [entry("a", NOON + n, f"{n}") for n in range(5)]
    stored(store, rows)
    record = delete(store, "a")
    assert claims(store) == [True]
    reader = store.scan("t", (), *ALWAYS, "forward")
    assert next(reader, None) is None
    lease = store._leases.begin()
    (block,) = store._state.tenants["t"].view.blocks
    drop(store, block)
    store._leases.sweep()
    store._deletes.settle()
    assert store.deletes("t")[0].record.status is DeleteStatus.STARTED  # somebody may read the file
    assert store._state.tenants["t"].view.tombstones
    del lease
    store._leases.sweep()
    segments = set(tmp_path.glob("wal/*.wal"))
    store._deletes.settle()  # the log goes too, though there was nothing to flush
    assert segments.isdisjoint(tmp_path.glob("wal/*.wal"))
    told = store.deletes("t")[0]
    assert (told.record.status, told.percent) == (DeleteStatus.PROCESSED, 100)
    assert told.record.ended >= told.record.started >= told.record.created
    assert not store._state.tenants["t"].view.tombstones
    with pytest.raises(DeleteBegun, match="already processed"):
        store.cancel_delete("t", record.id)
    with pytest.raises(DeleteBegun):
        store.cancel_delete("t", record.id, force=True)
    stored(store, rows)
    store.close()
    store = opened(tmp_path)
    assert read(store) == in_order(rows)
    store.close()


def test_the_log_brings_back_no_row_of_a_block_that_has_gone(tmp_path: Path) -> None:
    store = opened(tmp_path, cancel_period=0.0)
    rows = [entry("a", NOON + n, f"{n}") for n in range(5)]
    stored(store, rows)
    delete(store, "a/3")
    delete(store, "a")
    late = [entry("a", NOON, "0"), entry("b", NOON, "x")]
    stored(store, late)
    assert all(claims(store))
    (block,) = store._state.tenants["t"].view.blocks
    drop(store, block)
    store._leases.sweep()
    assert not block.path.exists()
    for _ in range(3):
        assert read(store) == in_order(late)
        store.close()
        store = opened(tmp_path)
    assert store.figures().replay.skipped_entries >= len(rows)
    store.close()


def test_no_record_gets_the_number_of_one_from_before_a_delete(tmp_path: Path) -> None:
    """A log that is not synced may lose its end: what is pushed then must not count as from before the delete."""
    store = opened(tmp_path)
    for n in range(4):
        stored(store, [entry("a", NOON + n, f"{n}")])
    record = delete(store, "a")
    store.close()
    for path in [*tmp_path.glob("wal/*.wal"), *tmp_path.glob("blocks/*/*/*.parquet"), *tmp_path.glob("index.db*")]:
        path.unlink()
    store = opened(tmp_path)
    again = [entry("a", NOON + 1, "1")]
    stored(store, again)
    assert store._wal.next_seq > record.seq + 1
    store.close()
    store = opened(tmp_path)
    assert read(store) == again
    store.flush()
    assert read(store) == again
    store.close()


def test_progress_is_told_by_files(tmp_path: Path) -> None:
    store = opened(tmp_path, cancel_period=0.0)
    stored(store, [entry("a", NOON + day * DAY + n, "x" * 50 + f"{n}") for day in range(4) for n in range(100)])
    store.flush()
    delete(store, "a")
    assert claims(store) == [True]
    seen = []
    for block in store._state.tenants["t"].view.blocks:
        told = store.deletes("t")[0]
        seen.append((told.blocks, told.percent))
        drop(store, block)
    assert [blocks for blocks, _ in seen] == [4, 3, 2, 1]
    assert [percent for _, percent in seen] == pytest.approx([0, 25, 50, 75], abs=3)
    told = store.deletes("t")[0]
    assert (told.blocks, told.percent) == (0, 99)  # the files are there until nobody reads them
    store.close()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("query", ["a", "*/8", "*"])
def test_compaction_takes_the_entries_off_the_disk(tmp_path: Path, state: str, query: str) -> None:
    store = opened(tmp_path, cancel_period=0.0)
    stored(store, [entry("secret" if query == "*" else "a", NOON, "the word 8 is xyzzy")])
    store.close()
    store = in_state(tmp_path, state)
    store.close()
    store = opened(tmp_path, cancel_period=0.0)
    delete(store, query)
    again = entry("a", NOON + 8 * HOUR, "a8")
    stored(store, [again])
    left = read(store)
    assert again in left
    store.compact()
    assert read(store) == left
    assert wait_until(lambda: store.deletes("t")[0].record.status is DeleteStatus.PROCESSED)
    assert wait_until(lambda: not store._state.tenants["t"].view.tombstones)
    assert read(store) == left
    store.close()
    for path in [*tmp_path.glob("blocks/*/*/*"), *tmp_path.glob("wal/*")]:
        assert b"xyzzy" not in lines_in(path)
    store = opened(tmp_path)
    assert read(store) == left
    store.close()


def lines_in(path: Path) -> bytes:
    """The lines of a block, or the bytes of a file of the log, in which small records are not compressed."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    return b"\n".join(pq.read_table(path, columns=["line"])["line"].cast("binary").to_pylist())


def test_compaction_begins_when_a_delete_is_due(tmp_path: Path) -> None:
    """The plan of blocks that do not change is not made anew every second."""
    store = opened(tmp_path, cancel_period=1.0)
    stored(store, ROWS)
    record = delete(store, "*")
    assert not store._engine.pending()
    assert time.time_ns() < record.due, "the machine was too slow for this test"
    assert wait_until(lambda: bool(store._engine.pending()))
    assert time.time_ns() >= record.due
    store.close()


def test_labels_that_only_deleted_entries_had_are_gone_when_it_is_done(tmp_path: Path) -> None:
    store = opened(tmp_path, cancel_period=0.0)
    stored(store, [entry("a", NOON), entry("a", NOON + DAY), entry("b", NOON + 1)])
    delete(store, "a", last=NOON + HOUR)
    delete(store, "*", NOON + DAY, NOON + 2 * DAY)
    stored(store, [entry("c", NOON + 2)])
    store.compact()
    assert wait_until(lambda: all(not each.record.is_open for each in store.deletes("t")))
    for _ in range(2):
        assert store.label_values("t", "app", (), *ALWAYS) == ["b", "c"]
        assert store.series("t", (), NOON + DAY, NOON + 2 * DAY) == []
        store.close()
        store = opened(tmp_path)
    stored(store, [entry("a", NOON + 9)])
    assert store.label_values("t", "app", (), *ALWAYS) == ["a", "b", "c"]
    store.close()


@pytest.mark.parametrize("query", ["*/needle", "a"])
def test_a_block_without_any_of_its_entries_is_not_written_anew(tmp_path: Path, query: str) -> None:
    store = opened(tmp_path, cancel_period=0.0, row_group_rows=4)
    rows = [entry(app, NOON + day * DAY + n, f"{n}") for app in "ab" for day in range(3) for n in (0, 10)]
    needle = entry("a", NOON + DAY + 5, "needle")
    stored(store, [*rows, needle])
    store.flush()
    store.compact()  # settles the days, so that nothing else is left to do
    before = {path.parent.name: path.name for path in tmp_path.glob("blocks/*/*/*.parquet")}
    assert len(before) == 3
    # The first and the second day, or the second alone between two of its entries.
    delete(store, query, NOON - DAY if "/" in query else NOON + DAY + 1, NOON + DAY + 7)
    assert store.deletes("t")[0].blocks == (2 if "/" in query else 1)
    store.compact()
    assert wait_until(lambda: store.deletes("t")[0].record.status is DeleteStatus.PROCESSED)
    after = {path.parent.name: path.name for path in tmp_path.glob("blocks/*/*/*.parquet")}
    assert after.keys() == before.keys()
    assert sorted(before[day] == after[day] for day in before) == [False, True, True]
    assert read(store) == in_order(rows)
    delete(store, "a", NOON + DAY + 1, NOON + DAY + 7)  # nothing stands there
    store.compact()
    assert wait_until(lambda: store.deletes("t")[1].record.status is DeleteStatus.PROCESSED)
    assert {path.parent.name: path.name for path in tmp_path.glob("blocks/*/*/*.parquet")} == after
    store.close()
    store = opened(tmp_path)
    assert read(store) == in_order(rows)
    store.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_damaged_block_that_is_mended_brings_nothing_back(tmp_path: Path, when: str) -> None:
    store = in_state(tmp_path, "flushed")
    if when == "before":
        delete(store, "b/2")
    block = store._state.tenants["t"].view.blocks[0]
    good = block.path.read_bytes()
    block.path.write_bytes(good[:-100])
    assert store.met_damage(CorruptBlock("a page", block.path))
    if when == "after":
        delete(store, "b/2")
    store._deletes.settle()
    assert [each.record.is_open for each in store.deletes("t")] == [True]
    store.close()
    (tmp_path / "quarantine" / block.path.relative_to(tmp_path)).unlink()
    block.path.write_bytes(good)
    store = opened(tmp_path)
    assert read(store) == [row for row in in_order(ROWS) if not (row[0] == (("app", "b"),) and b"2" in row[2])]
    store.close()


@pytest.mark.parametrize("query", ["b", "b/b0"])
@pytest.mark.parametrize("last", [NOON, NOON + DAY])
def test_what_is_kept_of_a_row_group_is_not_taken_for_what_a_delete_left(tmp_path: Path, query: str, last: int) -> None:
    store = opened(tmp_path)
    stored(store, [entry(app, NOON + n * HOUR, f"{app}{n}") for app in "ab" for n in range(3)])
    store.flush()

    def identities() -> list[Hashable | None]:
        """Of the whole, and of a window in which nothing is deleted: what is kept is of the whole in both."""
        windows = (ALWAYS, (NOON + 2 * HOUR, NOON + 3 * HOUR))
        return [unit.identity() for window in windows for unit in store.scan("t", (), *window, "forward")]

    before = identities()
    record = delete(store, query, last=last)
    during = identities()
    store.cancel_delete("t", record.id)
    assert identities() == before
    assert not set(before) & set(during)
    assert [len(set(some)) for some in (before, during)] == [1, 1]
    store.close()
