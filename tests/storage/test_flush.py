from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from storage import FlushOptions, Store, StoreOptions
from storage.blockread import read_footer
from storage.blockwrite import Written
from storage.catalog import BlockRow
from storage.errors import StorageError, StorageUnavailable
from storage.figures import FlushReason
from storage.flush import Flusher
from storage.footer import Footer
from storage.segment import write_all
from storage.wal import Wal
from tests.server import wait_until
from tests.storage.entries import DAY, HOUR, NOON, Entry, entry, in_order, put, quiet, read, send, start, stored
from tests.storage.logs import Faults, records_of

SMALL = quiet(small_tenant=1 << 20)
SOME = [entry("a", NOON, "one", trace="1"), entry("b", NOON + 1, "two"), entry("a", NOON + DAY, "next day")]


def blocks(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "blocks").glob("*/*/*.parquet"))


def footers(data_dir: Path) -> list[Footer]:
    return [read_footer(path) for path in blocks(data_dir)]


def size_triggered(store: Store) -> None:
    """The flush that a full memtable starts: small tenants may wait."""
    store._flusher.flush(everything=False)


def test_a_flush_moves_memory_to_a_block_a_day_and_empties_the_log(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, SOME)
    store.flush()
    assert [path.parent.name for path in blocks(tmp_path)] == ["2024-10-04", "2024-10-05"]
    assert [footer.rows for footer in footers(tmp_path)] == [2, 1]
    assert records_of(tmp_path / "wal") == []
    assert read(store) == in_order(SOME)
    figures = store.figures()
    assert figures.memory_bytes == 0
    assert (figures.blocks, figures.wal_segments) == (2, 1)
    store.close()


def test_blocks_say_which_records_they_hold_and_when_they_came(tmp_path: Path) -> None:
    store = start(tmp_path)
    for n in range(3):
        stored(store, [entry("a", NOON + n)])
    stored(store, [entry("a", NOON)], tenant="other")
    store.flush()
    stored(store, [entry("a", NOON + 9)])
    store.flush()
    store.close()
    found = {(footer.tenant, item.first, item.last) for footer in footers(tmp_path) for item in footer.origins}
    assert found == {("t", 1, 3), ("other", 4, 4), ("t", 5, 5)}
    assert {item.origin for footer in footers(tmp_path) for item in footer.origins} == {
        (tmp_path / "origin").read_text().strip()
    }
    generations = [footer.generation for footer in footers(tmp_path) if footer.tenant == "t"]
    assert len(set(generations)) == 2


def test_a_flush_of_nothing_writes_no_block(tmp_path: Path) -> None:
    store = start(tmp_path)
    store.flush()
    store.flush()
    assert blocks(tmp_path) == []
    store.close()


def test_what_comes_during_a_flush_is_not_flushed_right_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that flushes sees what another's flush has frozen, and takes it for no rest of one that failed."""
    monkeypatch.setattr("storage.flush.TICK", 0.01)
    looks, real = [], Flusher._due

    def due(flusher: Flusher) -> FlushReason | None:
        looks.append(real(flusher))
        return looks[-1]

    monkeypatch.setattr(Flusher, "_due", due)
    store = start(tmp_path)
    stored(store, SOME)
    writes, goes_on = threading.Event(), threading.Event()
    add = store._catalog.add

    def slow(written: Sequence[tuple[str, Written]]) -> list[BlockRow]:
        writes.set()
        assert goes_on.wait(30)
        return add(written)

    monkeypatch.setattr(store._catalog, "add", slow)
    forced = threading.Thread(target=store.flush)
    forced.start()
    assert writes.wait(30)
    later = entry("a", NOON + 9, "later")
    stored(store, [later])
    before = len(looks)
    wait_until(lambda: len(looks) > before, seconds=0.2)  # a thread that does not wait its turn looks many times
    goes_on.set()
    forced.join()
    before = len(looks)
    assert wait_until(lambda: len(looks) > before + 2)
    assert set(looks[before:]) == {None}
    assert len(blocks(tmp_path)) == 2
    assert read(store) == in_order([*SOME, later])
    store.close()


# -- small tenants


def test_a_small_tenant_is_carried_and_its_old_segment_goes(tmp_path: Path) -> None:
    store = start(tmp_path, SMALL)
    stored(store, SOME)
    size_triggered(store)
    assert blocks(tmp_path) == []
    assert [path.name for path in (tmp_path / "wal").iterdir()] == ["000000000002.wal"]
    assert store.figures().counters.carried_rows == 3
    assert read(store) == in_order(SOME)
    store.close()
    again = start(tmp_path, SMALL)
    assert read(again) == in_order(SOME)
    again.flush()
    assert len(blocks(tmp_path)) == 2
    assert read(again) == in_order(SOME)
    again.close()


def test_1000_small_tenants_make_no_files_beside_one_large_one(tmp_path: Path) -> None:
    store = start(tmp_path, quiet(small_tenant=10_000))
    names = [f"tenant-{n:04d}" for n in range(1000)]
    outcomes = [send(store, [entry("a", NOON + n, name)], name) for n, name in enumerate(names)]
    outcomes.append(send(store, [entry("a", NOON + n, b"x" * 1000) for n in range(20)], "large"))
    for outcome in outcomes:
        outcome.get()
    size_triggered(store)
    assert [path.parts[-3] for path in blocks(tmp_path)] == ["large"]
    assert len(list((tmp_path / "wal").iterdir())) == 1
    store.close()
    again = start(tmp_path, quiet(small_tenant=10_000))
    assert all(read(again, name) == [entry("a", NOON + n, name)] for n, name in enumerate(names))
    assert len(read(again, "large")) == 20
    again.close()


def test_an_old_small_tenant_is_flushed_after_all(tmp_path: Path) -> None:
    options = StoreOptions(
        reserve=0, flush=FlushOptions(size=1 << 30, max_age=1e9, small_tenant=1 << 20, small_tenant_max_age=100.0)
    )
    store = start(tmp_path, options)
    stored(store, SOME)
    tenant = store._state.tenant("t")
    size_triggered(store)
    assert blocks(tmp_path) == []
    assert tenant.since is not None
    tenant.since -= 51  # past half of the age that starts a flush by itself
    size_triggered(store)
    assert len(blocks(tmp_path)) == 2
    store.close()


def test_small_tenants_that_fill_memory_together_do_not_all_wait(tmp_path: Path) -> None:
    store = start(tmp_path, quiet(small_tenant=1 << 20, size=100_000))
    for n in range(9):
        stored(store, [entry("a", NOON, b"x" * 10_000)], f"t{n}")
    size_triggered(store)
    assert 3 <= len(blocks(tmp_path)) <= 6
    assert store.figures().memory_bytes <= 50_000
    store.close()


def test_carried_rows_keep_their_place_before_later_ones(tmp_path: Path) -> None:
    rows = [entry("a", NOON, f"{n}") for n in range(9)]  # equal times: only arrival tells their order
    store = start(tmp_path, SMALL)
    for part in (rows[:3], rows[3:6], rows[6:]):
        stored(store, part)
        size_triggered(store)
        stored(store, part[:1])  # a duplicate changes nothing
        assert read(store) == rows[: rows.index(part[-1]) + 1]
    store.close()
    again = start(tmp_path, SMALL)
    assert read(again) == rows
    again.flush()
    assert read(again) == rows
    again.close()


def copy_at(monkeypatch: pytest.MonkeyPatch, target: str, real: Callable[..., object], data_dir: Path) -> Path:
    """Copies the data directory whenever `target` is called: what a crash just before it leaves."""
    copy = data_dir.with_name("copy")

    def copied(*args: object, **more: object) -> object:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(data_dir, copy)
        return real(*args, **more)

    monkeypatch.setattr(target, copied)
    return copy


def test_a_crash_between_carrying_and_removal_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    store = start(data, SMALL)
    stored(store, SOME)
    size_triggered(store)
    stored(store, [entry("a", NOON, "later")])
    copy = copy_at(monkeypatch, "storage.wal.Wal.remove", Wal.remove, data)
    size_triggered(store)
    monkeypatch.undo()
    store.close()
    assert len(list((copy / "wal").iterdir())) > 1
    crashed = start(copy, SMALL)
    assert read(crashed) == in_order([*SOME, entry("a", NOON, "later")])
    crashed.flush()
    assert read(crashed) == in_order([*SOME, entry("a", NOON, "later")])
    crashed.close()


def test_a_crash_between_the_files_of_a_flush_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    store = start(data)
    stored(store, SOME)
    stored(store, [entry("c", NOON + 2 * DAY, "third day")])
    copy = copy_at(monkeypatch, "storage.publish.Path.rename", Path.rename, data)
    store.flush()  # the copy is from before the third file has its name
    monkeypatch.undo()
    store.close()
    assert len(blocks(copy)) == 2
    assert len(list(copy.rglob("*.tmp"))) == 1
    crashed = start(copy)
    expected = in_order([*SOME, entry("c", NOON + 2 * DAY, "third day")])
    assert read(crashed) == expected
    assert crashed.figures().tenants["t"].memory_rows == 1
    crashed.flush()
    assert read(crashed) == expected
    assert crashed.figures().tenants["t"].block_rows == 4
    crashed.close()


def of_tenants(store: Store, count: int, *rows: Entry) -> None:
    for number in range(count):
        stored(store, list(rows), f"tenant-{number}")


@pytest.mark.parametrize("together", [1, 4, 128])
def test_small_blocks_of_many_tenants_become_durable_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr("storage.flush.TOGETHER", together)
    store = start(tmp_path)
    of_tenants(store, 10, *SOME)
    transactions: list[int] = []
    real = store._catalog.add

    def add(some: list[tuple[str, Written]]) -> list[BlockRow]:
        transactions.append(len(some))
        assert all((tmp_path / path).exists() for path, _ in some)
        return real(some)

    monkeypatch.setattr(store._catalog, "add", add)
    store.flush()
    assert transactions == {1: [2] * 10, 4: [8, 8, 4], 128: [20]}[together]
    for number in range(10):
        assert read(store, f"tenant-{number}") == in_order(SOME)
    generations = {(one.tenant, one.generation) for one in footers(tmp_path)}
    assert sorted(generation for _, generation in generations) == list(range(1, 11))
    store.close()
    again = start(tmp_path)
    assert all(read(again, f"tenant-{number}") == in_order(SOME) for number in range(10))
    again.close()


def test_a_crash_between_the_names_of_many_tenants_blocks_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    store = start(data)
    of_tenants(store, 5, *SOME)
    copy = copy_at(monkeypatch, "storage.publish.Path.rename", Path.rename, data)
    store.flush()
    monkeypatch.undo()
    store.close()
    assert (len(blocks(copy)), len(list(copy.rglob("*.tmp")))) == (9, 1)
    for path in blocks(copy)[::2]:
        path.unlink()  # names that were not durable yet: the log is whole
    crashed = start(copy)
    for _ in range(2):
        assert all(read(crashed, f"tenant-{number}") == in_order(SOME) for number in range(5))
        crashed.flush()
    assert sum(each.block_rows for each in crashed.figures().tenants.values()) == 5 * len(SOME)
    crashed.close()


# -- failures


@pytest.mark.parametrize(
    "target", ["storage.blockwrite.write_all", "storage.publish.os.fsync", "storage.publish.Path.rename"]
)
def test_a_flush_that_fails_keeps_everything_and_the_next_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    store = start(tmp_path)
    stored(store, SOME)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(target, fail)
        with pytest.raises(StorageUnavailable, match="Input/output"):
            store.flush()
    assert list((tmp_path / "blocks").rglob("*.*")) == []
    assert read(store) == in_order(SOME)
    stored(store, [entry("a", NOON + 5, "meanwhile")])
    assert store.figures().counters.flush_failures == 1
    store.flush()
    assert read(store) == in_order([*SOME, entry("a", NOON + 5, "meanwhile")])
    assert len(blocks(tmp_path)) == 2
    store.close()


def test_a_full_disk_gives_the_reserve_to_the_flush_and_refuses_pushes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = start(tmp_path)
    stored(store, SOME)
    reserve = tmp_path / "reserve"
    full = True

    def allocate(*_: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")

    def write(fd: int, data: bytes) -> None:
        if full and reserve.stat().st_size:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_all(fd, data)

    monkeypatch.setattr("storage.blockwrite.write_all", write)
    monkeypatch.setattr("storage.reserve.os.posix_fallocate", allocate)
    store.flush()
    assert len(blocks(tmp_path)) == 2
    assert reserve.stat().st_size == 0
    assert not store.figures().reserve_held
    refusal = put(store, [entry("a", NOON + 7)])
    assert isinstance(refusal, StorageUnavailable)
    assert refusal.retry_after > 0
    assert read(store) == in_order(SOME)
    full = False
    monkeypatch.setattr("storage.reserve.RETRY", 0.0)
    stored(store, [entry("a", NOON + 7)])
    assert store.figures().reserve_held
    store.close()


def test_a_catalog_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, SOME)
    store._catalog._db.execute("PRAGMA query_only = 1")
    store.flush()
    assert read(store) == in_order(SOME)
    store.close()
    again = start(tmp_path)
    assert read(again) == in_order(SOME)
    again.close()


def test_carrying_that_fails_keeps_the_old_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = start(tmp_path, SMALL)
    stored(store, SOME)
    faults = Faults(monkeypatch, "fdatasync")
    faults.left = 1
    with pytest.raises(StorageUnavailable):
        size_triggered(store)
    assert read(store) == in_order(SOME)
    size_triggered(store)
    store.close()
    again = start(tmp_path, SMALL)
    assert read(again) == in_order(SOME)
    again.close()


# -- by itself


def test_a_full_memtable_flushes_itself(tmp_path: Path) -> None:
    store = start(tmp_path, quiet(size=10_000))
    published = threading.Event()
    rows: list[Entry] = []
    for n in range(40):
        rows.append(entry("a", NOON + n, b"x" * 1000))
        outcome = put(store, rows[-1:])
        while isinstance(outcome, StorageUnavailable):  # the flush is behind: what a sender does
            outcome = put(store, rows[-1:])
    for _ in range(2000):
        if store.figures().memory_bytes < 10_000:
            published.set()
            break
        published.wait(0.01)
    assert published.is_set()
    assert len(blocks(tmp_path)) >= 1
    assert read(store) == rows
    store.close()


def test_a_memtable_that_cannot_be_flushed_refuses_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = start(tmp_path, quiet(size=10_000))

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    kept: list[Entry] = []
    with monkeypatch.context() as patch:
        patch.setattr("storage.blockwrite.write_all", fail)
        for n in range(40):
            row = entry("a", NOON + n, b"x" * 1000)
            outcome = put(store, [row])
            if isinstance(outcome, StorageError):
                break
            kept.append(row)
        assert isinstance(outcome, StorageUnavailable)
        assert 15 < len(kept) < 30  # twice the size at which a flush starts
        assert read(store) == kept
    store.flush()
    stored(store, [entry("a", NOON + 99)])
    assert read(store) == [*kept, entry("a", NOON + 99)]
    assert store.figures().counters.refused_batches == 1
    store.close()


# -- beside readers and writers


def test_readers_see_every_row_once_while_it_is_flushed(tmp_path: Path) -> None:
    store = start(tmp_path, quiet(small_tenant=4000))
    acked: list[Entry] = []
    sent: list[Entry] = []
    faults: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            before = len(acked)
            found = read(store)
            after = len(sent)
            times = [row[1] for row in found]
            if len(set(times)) != len(times):
                faults.append("a row twice")
            if not before <= len(found) <= after:
                faults.append(f"{len(found)} rows seen, {before} to {after} were there")
            if set(times) != set(range(NOON, NOON + len(times))):
                faults.append("a row is missing in between")
            if faults:
                return

    def flush() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            store._flusher.flush(everything=turn % 3 == 0)

    threads: Sequence[threading.Thread] = [threading.Thread(target=look) for _ in range(2)]
    threads = [*threads, threading.Thread(target=flush)]
    for thread in threads:
        thread.start()
    for n in range(150):
        rows = [entry(f"app{n % 7}-{n // 50}", NOON + 3 * n + k, f"{n}") for k in range(3)]
        sent.extend(rows)
        stored(store, rows + sent[max(0, 3 * n - 60) : 3 * n : 5])  # late repeats, of rows in memory and in blocks
        acked.extend(rows)
    done.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert read(store) == in_order(sent)
    store.close()


def test_hours_do_not_break_the_order_of_a_query(tmp_path: Path) -> None:
    rows = [entry(app, NOON + hour * HOUR + n, app) for n in range(3) for hour in range(3) for app in ("b", "a")]
    store = start(tmp_path, quiet(row_group_rows=4))
    stored(store, rows)
    store.flush()
    assert read(store) == in_order(rows)
    store.close()
