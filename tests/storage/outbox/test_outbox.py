"""Rows from a place on: the same from the log, from a segment that left it, from an archive file, and after a start."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from storage import Place, Store, SyncMode
from storage.errors import StorageError
from storage.outbox import segments
from storage.outbox.places import Backlog
from storage.segment import scan_segment, sync_directory
from tests.storage.entries import NOON, Entry, Outcome, batch_of, entries_of, entry, packed, put, quiet, stored
from tests.storage.outbox.owing import RELAY, batch, files, look, passed, rows_from, start


def some(number: int, count: int = 4) -> list[Entry]:
    return [
        entry(f"app{n % 3}", NOON + 1000 * number + n, f"line {number} {n}", trace=f"{number}-{n}")
        for n in range(count)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = start(tmp_path)
    yield found
    found.close()


def push(store: Store, *numbers: int, tenant: str = "t") -> list[tuple[str, Entry]]:
    """Pushes, each a record; what they are as rows of the outbox."""
    for number in numbers:
        stored(store, some(number), tenant)
    return [(tenant, row) for number in numbers for row in some(number)]


def test_a_new_relay_begins_at_the_end_and_is_remembered(tmp_path: Path) -> None:
    store = start(tmp_path)
    push(store, 1)
    first = store.outbox.subscribe(RELAY)
    assert first == store.outbox.end() == Place(2)
    assert rows_from(store, first) == []
    rows = push(store, 2)
    assert store.outbox.subscribe(RELAY) == first
    assert rows_from(store, first) == rows
    store.close()
    store = start(tmp_path)
    assert store.outbox.cursors() == {RELAY: first}
    assert rows_from(store, first) == rows
    store.close()


def test_rows_come_in_order_of_arrival_however_many_at_a_time(store: Store) -> None:
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1, 2, 3)
    for size in (1, 3, 4, 5, 100):
        assert rows_from(store, first, size) == rows


def test_a_place_says_rows_of_a_record(store: Store) -> None:
    first = store.outbox.subscribe(RELAY)
    push(store, 1, 2)
    stretch = store.outbox.read(first, 6)
    assert (stretch.first, stretch.end, stretch.rows) == (Place(1), Place(2, 2), 6)
    again = store.outbox.read(first, 100, upto=stretch.end)
    assert again.end == stretch.end
    assert again.parts[0].batch.lines.tolist() == stretch.parts[0].batch.lines.tolist()
    assert store.outbox.read(stretch.end, 100).end == store.outbox.end() == Place(3)
    assert store.outbox.read(first, 0).end == first
    assert store.outbox.read(first, 100, upto=first).end == first


def test_tenants_of_one_stretch_come_as_one_part_each(store: Store) -> None:
    first = store.outbox.subscribe(RELAY)
    for number in range(3):
        push(store, number)
        push(store, number, tenant="other")
    stretch = store.outbox.read(first, 100)
    assert [(part.tenant, len(part.batch)) for part in stretch.parts] == [("t", 12), ("other", 12)]


def test_bytes_end_a_stretch_but_never_before_its_first_row(store: Store) -> None:
    first = store.outbox.subscribe(RELAY)
    stored(store, [entry("a", NOON + n, b"x" * 100) for n in range(10)])
    assert store.outbox.read(first, 100, nbytes=350).end == Place(1, 3)
    assert store.outbox.read(first, 100, nbytes=1).end == Place(1, 1)
    assert store.outbox.read(Place(1, 9), 100, nbytes=1).end == Place(2)
    stored(store, [entry("a", NOON + 50, b"")])
    assert store.outbox.read(Place(2), 100, nbytes=1).end == Place(3)


def test_more_metadata_than_columns_comes_along(store: Store) -> None:
    first = store.outbox.subscribe(RELAY)
    wide = [(*entry("a", NOON + n, "x")[:3], tuple((f"k{k:03}", b"v") for k in range(n, n + 40))) for n in range(80)]
    stored(store, wide)
    for size in (7, 100):
        assert [row for _, row in rows_from(store, first, size)] == wide


@pytest.mark.parametrize("packed_lines", [False, True])
def test_rows_are_the_same_wherever_they_are_kept(tmp_path: Path, packed_lines: bool) -> None:
    """Several segments of one record each or more; small tenants are carried meanwhile, which repeats nothing."""
    options = quiet(small_tenant=1 << 20, segment_size=600)
    store = start(tmp_path, options)
    first = store.outbox.subscribe(RELAY)
    rows: list[tuple[str, Entry]] = []

    def check(reopened: Store) -> None:
        for size in (3, 50):
            assert rows_from(reopened, first, size) == rows
        middle = rows_from(reopened, Place(first.seq + 3, 2))
        assert middle == rows[14:]

    for number in range(5):
        if packed_lines:
            outcome = Outcome()
            store.append("t", packed(batch_of(some(number)), [b"\n\x01"]), outcome.settle)
            outcome.get()
            rows += [("t", row) for row in some(number)]
        else:
            rows += push(store, number)
        store._flusher.flush(everything=False)
        check(store)
    assert any("wal" in name for name in files(tmp_path))
    store.close()
    store = start(tmp_path, options)
    check(store)
    rows += push(store, 6)
    store.flush()
    check(store)
    look(store)
    assert files(tmp_path)
    assert all(name.endswith(".wal.zst") for name in files(tmp_path))
    check(store)
    store.close()
    store = start(tmp_path, options)
    check(store)
    rows += push(store, 7)
    check(store)
    store.close()


def test_what_is_passed_goes_and_what_is_owed_stays(tmp_path: Path) -> None:
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    other = store.outbox.subscribe("other", holds_retention=False)
    push(store, 1, 2)
    store.flush()
    push(store, 3)
    store.flush()
    look(store)
    assert len(files(tmp_path)) == 2
    passed(store, Place(3))
    look(store)
    assert len(files(tmp_path)) == 2
    assert rows_from(store, other) == rows_from(store, first)
    passed(store, Place(2, 1), "other")
    look(store)
    assert len(files(tmp_path)) == 2  # some rows of its last record
    passed(store, Place(3), "other")
    look(store)
    assert len(files(tmp_path)) == 1
    store.outbox.unsubscribe("other")
    passed(store, store.outbox.end())
    look(store)
    assert files(tmp_path) == []
    assert not list(tmp_path.glob("archive/*"))
    store.close()


def test_an_open_batch_behind_the_cursor_is_owed(tmp_path: Path) -> None:
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1)
    refused = batch(first, Place(1, 2), 2, status="refused")
    store.outbox.ledger.settle(RELAY, [refused], Place(2))
    store.flush()
    look(store)
    store.close()
    store = start(tmp_path)
    look(store)
    (known,) = store.outbox.ledger.open_batches(RELAY)
    assert rows_from(store, known.first, upto=known.end) == rows[:2]
    store.outbox.ledger.settle(RELAY, [replace(known, status="removed", completed=1)], Place(2))
    look(store)
    assert files(tmp_path) == []
    store.close()


def test_without_a_relay_nothing_is_marked_or_kept(tmp_path: Path) -> None:
    store = start(tmp_path)
    push(store, 1, 2)
    assert store.outbox._segments.all() == []
    store.flush()
    assert files(tmp_path) == []
    assert store.outbox._thread is None
    store.close()


def test_a_relay_that_was_given_up_is_owed_nothing(tmp_path: Path) -> None:
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    push(store, 1)
    store.outbox.ledger.begin([batch(first, Place(2))])
    store.flush()
    store.outbox.unsubscribe(RELAY)
    look(store)
    assert files(tmp_path) == []
    assert store.outbox.ledger.open_batches(RELAY) == []
    assert store.outbox.ledger.totals(RELAY).of("removed").batches == 1
    assert store.outbox.subscribe(RELAY) == store.outbox.end()
    store.close()


@pytest.mark.parametrize("form", ["log", "kept", "packed"])
def test_the_backlog_is_counted_and_not_read(tmp_path: Path, form: str) -> None:
    store = start(tmp_path, quiet(segment_size=600))
    first = store.outbox.subscribe(RELAY)
    assert store.outbox.backlog(first) == Backlog()
    rows = push(store, 1, 2, 3, 4, 5)
    if form != "log":
        store.flush()
    if form == "packed":
        look(store)
    found = store.outbox.backlog(first)
    size = len(some(1)[0][2])
    assert (found.rows, found.bytes) == (len(rows), size * len(rows))
    assert found.oldest == store.outbox._segments.all()[0].oldest or form != "packed"
    part = store.outbox.backlog(Place(2, 1))
    assert (part.rows, part.bytes) == (len(rows) - 5, size * (len(rows) - 5))
    assert 0 < part.disk_bytes <= found.disk_bytes
    assert part.oldest >= found.oldest > NOON
    if form == "packed":
        assert found.disk_bytes == sum(path.stat().st_size for path in tmp_path.glob("archive/*/*/*/*"))
    assert store.outbox.backlog(store.outbox.end()) == Backlog()
    store.close()


def test_only_what_is_synced_is_read(tmp_path: Path) -> None:
    """With syncs at intervals a record is acknowledged before it is durable, and handed out after."""
    store = start(tmp_path, replace(quiet(), sync=SyncMode.INTERVAL, sync_interval=1e6))
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1)
    assert rows_from(store, first) == []
    assert store.outbox.end() == first
    with store._wal._guard:
        store._wal._sync_now()
        store.outbox.synced()
    assert rows_from(store, first) == rows
    later = store.outbox.subscribe("later")
    rows += push(store, 2)
    assert rows_from(store, first) == rows[:4]
    store.flush()  # closes the segment
    assert rows_from(store, first) == rows
    assert rows_from(store, later) == rows[4:]
    store.close()


def test_a_record_that_failed_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1)
    with monkeypatch.context() as broken:

        def fail(*_: object) -> None:
            raise OSError(5, "broken")

        broken.setattr(os, "fdatasync", fail)
        broken.setattr(os, "ftruncate", fail)
        assert isinstance(put(store, some(2)), StorageError)
    rows += push(store, 3)
    assert rows_from(store, first) == rows
    # It is in the file: it could not be cut off.
    assert sum(len(list(scan_segment(path, b"")[1])) for path in tmp_path.glob("wal/*.wal")) > 2
    store.close()
    store = start(tmp_path)
    assert rows_from(store, first) == rows
    store.flush()
    look(store)
    assert rows_from(store, first) == rows
    store.close()


def test_damaged_records_are_passed_over_and_counted(tmp_path: Path) -> None:
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1, 2, 3)
    (path,) = tmp_path.glob("wal/*.wal")
    marks = store.outbox._segments.all()[0].marks
    assert marks is not None
    with path.open("r+b") as file:
        file.seek(marks[1].offset + 60)
        file.write(b"\xff\xff\xff\xff")
    kept = rows[:4] + rows[8:]
    assert rows_from(store, first) == kept
    assert store.figures().lost_records == 1
    store.flush()
    look(store)  # the record cannot be packed either
    assert rows_from(store, first) == kept
    store.close()
    store = start(tmp_path)
    assert rows_from(store, first) == kept
    store.close()


def test_a_damaged_frame_costs_its_records_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.outbox.archive.FRAME_BYTES", 1)  # a frame a record
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1, 2, 3)
    store.flush()
    look(store)
    (segment,) = store.outbox._segments.all()
    frames = store.outbox._segments.index(segment).frames
    assert len(frames) == 3
    with segment.path.open("r+b") as file:
        file.seek(frames[1].offset + frames[1].size // 2)
        file.write(b"\xff\xff\xff\xff")
    assert rows_from(store, first) == rows[:4] + rows[8:]
    store.close()


def test_numbers_are_not_used_again_where_the_log_lost_records(tmp_path: Path) -> None:
    """Without syncs a power cut may take records that a relay has sent: later ones must not be behind its cursor."""
    store = start(tmp_path)
    store.outbox.subscribe(RELAY)
    push(store, 1, 2, 3)
    passed(store, store.outbox.end())
    store.close()
    for path in tmp_path.glob("wal/*.wal"):
        path.unlink()
    store = start(tmp_path)
    first = store.outbox.cursors()[RELAY]
    rows = push(store, 4)
    assert rows_from(store, first) == rows
    store.close()


def test_a_commit_wakes_who_waits(store: Store) -> None:
    woken = Event()
    store.outbox.wake(woken.set)
    push(store, 1)
    assert woken.wait(20)
    woken.clear()
    store.outbox.wake(None)
    push(store, 2)
    assert not woken.is_set()


def test_a_reader_survives_that_segments_move_under_it(tmp_path: Path) -> None:
    """One row at a time, and after each the next thing happens to the segments."""
    store = start(tmp_path, quiet(segment_size=600))
    first = store.outbox.subscribe(RELAY)
    rows = push(store, *range(8))
    found, place = [], first
    steps: Iterator[Callable[[], None]] = iter(
        [store.flush, lambda: look(store), lambda: passed(store, place), lambda: look(store)]
    )
    while True:
        stretch = store.outbox.read(place, 3)
        if stretch.end == place:
            break
        found += [(part.tenant, row) for part in stretch.parts for row in entries_of(part.batch)]
        place = stretch.end
        step = next(steps, None)
        if step is not None:
            step()
    assert found == rows
    store.close()


def test_a_segment_that_moves_while_it_is_looked_for_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read begins between the rename of a segment and the syncs behind it, which may take long."""
    store = start(tmp_path)
    first = store.outbox.subscribe(RELAY)
    rows = push(store, 1, 2)
    seen: list[list[tuple[str, Entry]]] = []

    def while_moving(folder: Path) -> None:
        if "archive" in folder.parts and list(folder.glob("*.wal")):
            seen.append(rows_from(store, first))
        sync_directory(folder)

    monkeypatch.setattr(segments, "sync_directory", while_moving)
    store.flush()
    assert seen
    assert all(found == rows for found in seen)
    assert store.outbox.lost == 0
    store.close()


def test_relays_are_given_up_while_others_move_on(store: Store) -> None:
    """Both write to control.db, from threads of their own: neither may wait for the other for ever."""
    place = store.outbox.subscribe("busy")
    ended = Event()

    def settle() -> None:
        while not ended.is_set():
            store.outbox.ledger.settle("busy", (), place)

    mover = Thread(target=settle, daemon=True)
    mover.start()
    remover = Thread(target=give_up, args=(store, 30), daemon=True)
    remover.start()
    remover.join(60)
    ended.set()
    mover.join(60)
    assert not remover.is_alive()
    assert not mover.is_alive()
    assert list(store.outbox.cursors()) == ["busy"]


def give_up(store: Store, relays: int) -> None:
    for number in range(relays):
        name = f"gone{number}"
        place = store.outbox.subscribe(name)
        store.outbox.ledger.begin([replace(batch(place, place), relay=name)])
        store.outbox.unsubscribe(name)
