from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storage import RetentionOptions, Store, TenantRules
from storage.blockread import Block
from storage.catalog import listed_blocks
from storage.errors import StorageError
from storage.expiry import Disk
from storage.figures import DropReason
from storage.freed import SETTLE
from storage.retention import expired_share, is_worth_rewriting
from tests.storage.entries import ALWAYS, DAY, HOUR, NOON, entry, read, stored
from tests.storage.keeping import Clock, keeping, later, opened, rule


@pytest.fixture(name="clock")
def a_clock() -> Clock:
    return Clock()


def files(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("blocks/*/*/*.parquet"))


def day_of(ts: int) -> str:
    return str(np.datetime64(ts // DAY, "D"))


def dropped(store: Store) -> dict[str, tuple[int, int]]:
    counters = store.figures().counters.dropped
    return {reason.value: (each.blocks, each.rows) for reason, each in counters.items() if each.blocks}


def fill(store: Store, days: range, tenant: str = "t", *, size: int = 0) -> None:
    """A block a day, of entries at noon and an hour later; `size` random bytes more a line."""
    random = np.random.default_rng(1)
    for day in days:
        text = random.bytes(size).hex() if size else ""
        rows = [entry("a", NOON + day * DAY + at * HOUR, f"{day} {at} {text}") for at in (0, 1)]
        stored(store, rows, tenant)
        store.flush()


# -- age


def test_a_block_goes_when_all_of_it_has_expired(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, keeping(period=2 * DAY), clock)
    try:
        fill(store, range(3))
        later(store, clock, NOON + 2 * DAY + HOUR)
        assert store.drop_expired() == 0
        assert len(read(store)) == 5
        later(store, clock, clock.now + 1)
        assert store.drop_expired() == 1
        assert files(tmp_path) == [day_of(NOON + DAY), day_of(NOON + 2 * DAY)]
        assert len(read(store)) == 4
        assert store.figures().blocks == 2
        assert dropped(store) == {"age": (1, 2)}
        assert store.figures().counters.dropped[DropReason.AGE].bytes > 0
    finally:
        store.close()
    store = opened(tmp_path, keeping(), clock)
    try:
        assert len(read(store)) == 4
    finally:
        store.close()


def test_a_block_stays_for_the_stream_that_is_kept_longest(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, keeping(rule("app=b", 0, 1), period=HOUR), clock)
    try:
        stored(store, [entry("a", NOON, "a"), entry("b", NOON, "b")])
        store.flush()
        stored(store, [entry("a", NOON, "a")], "other")
        store.flush()
        later(store, clock, NOON + 365 * DAY)
        assert store.drop_expired() == 1
        assert [line for _, _, line, _ in read(store)] == [b"b"]
        assert not list(tmp_path.glob("blocks/other/*/*.parquet"))
    finally:
        store.close()


def test_what_a_query_reads_stays_until_it_is_done(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, keeping(period=HOUR), clock)
    try:
        fill(store, range(1))
        units = list(store.scan("t", [], *ALWAYS, "forward"))
        later(store, clock, NOON + 2 * HOUR + 1)
        assert store.drop_expired() == 1
        assert len(files(tmp_path)) == 1
        assert len(units[0].times()) == 2
        del units
        assert store.drop_expired() == 0
        store._leases.sweep()
        assert files(tmp_path) == []
    finally:
        store.close()


@pytest.mark.parametrize("jump", [DAY, 365 * DAY])
def test_a_clock_that_jumps_ahead_takes_nothing(tmp_path: Path, clock: Clock, jump: int) -> None:
    store = opened(tmp_path, keeping(period=12 * HOUR), clock)
    try:
        fill(store, range(1))
        store.drop_expired()
        clock.now += jump
        assert read(store) == []
        assert store.drop_expired() == 0
        assert abs(store.figures().clock_ahead - jump) < 60 * 10**9
    finally:
        store.close()
    store = opened(tmp_path, keeping(period=12 * HOUR), clock)
    try:
        assert store.drop_expired() == 0
        clock.now -= jump
        assert len(read(store)) == 2
        assert store.figures().clock_ahead == 0
    finally:
        store.close()


def test_index_db_that_cannot_be_written_holds_up_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk it cannot, and to remove a block is what makes room."""
    store = opened(tmp_path, keeping(period=2 * DAY), clock)
    try:
        fill(store, range(2))
        later(store, clock, NOON + 2 * DAY + 2 * HOUR)
        catalog = store._catalog
        with monkeypatch.context() as patch:

            def full(*_: object) -> None:
                raise StorageError("index.db cannot be written: database or disk is full")

            patch.setattr(catalog, "add", full)
            assert store.drop_expired() == 1
            assert store.drop_expired() == 0
        assert files(tmp_path) == [day_of(NOON + DAY)]
        assert len(listed_blocks(tmp_path)) == 2
        assert store.drop_expired() == 0  # nothing more has to go for it to be in line again
        assert len(listed_blocks(tmp_path)) == 1
    finally:
        store.close()


def test_a_file_that_a_crash_left_goes_with_the_next_look(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, keeping(period=2 * DAY), clock)
    fill(store, range(2))
    (path,) = tmp_path.glob(f"blocks/*/{day_of(NOON)}/*.parquet")
    content = path.read_bytes()
    later(store, clock, NOON + 2 * DAY + HOUR + 1)
    assert store.drop_expired() == 1
    store.close()
    path.write_bytes(content)
    store = opened(tmp_path, keeping(period=2 * DAY), clock)
    try:
        assert len(read(store)) == 2
        assert store.drop_expired() == 1
        assert files(tmp_path) == [day_of(NOON + DAY)]
    finally:
        store.close()


# -- size and space


def test_the_oldest_blocks_of_all_tenants_go_when_they_take_too_much(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, keeping(), clock)
    fill(store, range(0, 6, 2), "even", size=50_000)
    fill(store, range(1, 6, 2), "odd", size=50_000)
    sizes = sorted(path.stat().st_size for path in tmp_path.glob("blocks/*/*/*.parquet"))
    store.close()
    store = opened(tmp_path, RetentionOptions(max_total_size=4 * sizes[-1]), clock)
    try:
        assert store.drop_expired() == 2
        assert files(tmp_path) == [day_of(NOON + day * DAY) for day in range(2, 6)]
        assert dropped(store) == {"total_size": (2, 4)}
        assert store.drop_expired() == 0
        assert len(read(store, "even")) == 4
        # labels and series do not tell of what is gone
        assert store.series("even", [], NOON - DAY, NOON + DAY) == []
        assert store.label_values("even", "app", [], *ALWAYS) == ["a"]
    finally:
        store.close()


def test_labels_of_a_day_stay_as_far_as_something_else_has_them(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, RetentionOptions(max_total_size=1), clock)
    try:
        rows = [entry(app, NOON + at, app) for app, at in (("gone", 0), ("kept", 0))]
        stored(store, rows)
        store.flush()
        stored(store, [entry("kept", NOON + HOUR, "later"), entry("new", NOON + HOUR, "later")])
        assert store.label_values("t", "app", [], *ALWAYS) == ["gone", "kept", "new"]
        assert store.label_values("t", "app", [], NOON, NOON + 1) == ["gone", "kept"]
        assert store.drop_expired() == 1
        assert store.label_values("t", "app", [], *ALWAYS) == ["kept", "new"]
        assert store.label_values("t", "app", [], NOON, NOON + 1) == []
        assert sorted(line for _, _, line, _ in read(store)) == [b"later", b"later"]
        stored(store, [entry("gone", NOON + 2, "again")])
        assert store.label_values("t", "app", [], *ALWAYS) == ["gone", "kept", "new"]
    finally:
        store.close()


class FakeDisk:
    """A file system of 1 MB beside which blocks are small."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.total = 1 << 20

    def __call__(self, _folder: Path) -> Disk:
        return Disk(self.free, self.total)


@pytest.fixture(name="filled")
def a_filled_store(
    tmp_path: Path, clock: Clock
) -> Iterator[tuple[Callable[[RetentionOptions, FakeDisk], Store], list[int]]]:
    """Opens a store of four blocks with options and a disk; what each block takes, oldest first."""
    store = opened(tmp_path, keeping(), clock)
    fill(store, range(4), size=40_000)
    store.close()
    found = sorted(tmp_path.glob("blocks/*/*/*.parquet"))
    sizes = [path.stat().st_blocks * 512 for path in found]
    open_stores = []

    def again(options: RetentionOptions, disk: FakeDisk) -> Store:
        store = opened(tmp_path, options, clock)
        store._expiry._disk = disk
        for segment in tmp_path.glob("wal/*.wal"):
            segment.write_bytes(b"")  # it counts as free
        open_stores.append(store)
        return store

    yield again, sizes
    for store in open_stores:
        store.close()


Filled = tuple[Callable[[RetentionOptions, FakeDisk], Store], list[int]]


def test_the_oldest_blocks_go_until_enough_is_free(tmp_path: Path, filled: Filled) -> None:
    again, sizes = filled
    disk = FakeDisk(10_000)
    store = again(RetentionOptions(min_free_space=10_000 + sizes[0] + 1), disk)
    assert store.drop_expired() == 2
    assert files(tmp_path) == [day_of(NOON + day * DAY) for day in (2, 3)]
    assert dropped(store) == {"free_space": (2, 4)}


def test_a_part_of_the_file_system(tmp_path: Path, filled: Filled) -> None:
    again, _ = filled
    assert again(RetentionOptions(min_free_part=0.1), FakeDisk(104_858)).drop_expired() == 0
    assert len(files(tmp_path)) == 4


def test_after_blocks_went_the_disk_gets_time_to_tell(
    tmp_path: Path, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, _ = filled
    disk = FakeDisk(10_000)
    store = again(RetentionOptions(min_free_space=10_001), disk)
    now = [1e9]
    monkeypatch.setattr("storage.expiry.time.monotonic", lambda: now[0])
    assert store.drop_expired() == 1
    assert store.drop_expired() == 0, "the file system says the same as before"
    now[0] += SETTLE
    assert store.drop_expired() == 1
    disk.free = 20_000
    now[0] += SETTLE
    assert store.drop_expired() == 0
    assert len(files(tmp_path)) == 2


def test_what_went_for_its_age_counts_as_free_before_the_disk_tells(
    tmp_path: Path, clock: Clock, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, sizes = filled
    disk = FakeDisk(10_000)
    now = [1e9]
    monkeypatch.setattr("storage.expiry.time.monotonic", lambda: now[0])
    store = again(replace(keeping(period=DAY), min_free_space=10_000 + sizes[0]), disk)
    later(store, clock, NOON + DAY + 2 * HOUR)
    assert store.drop_expired() == 1, "the file system tells of none of it, and no second one goes for that"
    assert dropped(store) == {"age": (1, 2)}
    now[0] += SETTLE - 1
    assert store.drop_expired() == 0
    disk.free += sizes[0]
    now[0] += 1
    assert store.drop_expired() == 0
    disk.free -= 1
    assert store.drop_expired() == 1, "it had its time"
    assert dropped(store) == {"age": (1, 2), "free_space": (1, 2)}
    assert len(files(tmp_path)) == 2


def test_segments_of_the_log_that_went_count_as_free_before_the_disk_tells(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, _ = filled
    now = [1e9]
    monkeypatch.setattr("storage.expiry.time.monotonic", lambda: now[0])
    store = again(RetentionOptions(min_free_space=100_000), FakeDisk(10_000))
    stored(store, [entry("a", NOON, np.random.default_rng(2).bytes(50_000).hex())])
    assert store.drop_expired() == 0, "the log has what is missing"
    store.flush()  # it goes, and the file system does not tell
    assert store.drop_expired() == 0
    now[0] += SETTLE
    assert store.drop_expired() > 0


def test_nothing_goes_for_space_that_cannot_be_had(
    tmp_path: Path, filled: Filled, caplog: pytest.LogCaptureFixture
) -> None:
    again, sizes = filled
    store = again(RetentionOptions(min_free_space=sum(sizes) + 20_000), FakeDisk(10_000))
    assert store.drop_expired() == 0
    assert store.drop_expired() == 0
    assert len(files(tmp_path)) == 4
    assert sum("something else takes the space" in record.getMessage() for record in caplog.records) == 1


def test_the_log_goes_by_itself_and_costs_no_blocks(tmp_path: Path, filled: Filled) -> None:
    again, _ = filled
    store = again(RetentionOptions(min_free_space=50_000), FakeDisk(10_000))
    log = tmp_path / "wal" / "99999999.wal"
    log.write_bytes(np.random.default_rng(2).bytes(50_000))
    assert store.drop_expired() == 0
    store._state.flush_failing = True
    assert store.drop_expired() == 1


def test_a_block_that_a_backup_has_too_frees_nothing(tmp_path: Path, filled: Filled) -> None:
    again, sizes = filled
    oldest = min(tmp_path.glob("blocks/*/*/*.parquet"))
    (tmp_path / "backup.parquet").hardlink_to(oldest)
    store = again(RetentionOptions(min_free_space=10_001), FakeDisk(10_000))
    assert store.drop_expired() == 1
    assert oldest.exists()
    assert len(files(tmp_path)) == 3
    assert len(sizes) == 4


def test_a_disk_that_cannot_be_asked_is_asked_again(
    tmp_path: Path, filled: Filled, caplog: pytest.LogCaptureFixture
) -> None:
    again, _ = filled

    def fail(_folder: Path) -> Disk:
        raise OSError(errno.EIO, "Input/output error")

    store = again(RetentionOptions(min_free_space=1), FakeDisk(10_000))
    store._expiry._disk = fail
    store._expiry._looked = None
    store._expiry.tick()
    assert "it is tried again: [Errno 5]" in caplog.text
    assert len(files(tmp_path)) == 4


# -- what is left of a block


def block_of(*streams: tuple[int, int]) -> Block:
    low, high = np.array(streams, np.int64).T
    return Block(
        path=Path("/nowhere/x.parquet"),
        day=NOON // DAY,
        generation=1,
        min_ts=int(low.min()),
        max_ts=int(high.max()),
        rows=100,
        size=1000,
        origins=(),
        deletes=frozenset(),
        compacted=True,
        streams=np.arange(len(streams), dtype=np.int32),
        stream_min=low,
        stream_max=high,
    )


def test_with_one_period_no_block_is_written_anew() -> None:
    block = block_of((NOON, NOON + HOUR), (NOON, NOON + 10 * HOUR))
    for hours in range(-1, 12):
        assert not is_worth_rewriting(block, np.full(2, NOON + hours * HOUR))


def test_a_block_is_written_anew_when_much_has_expired_and_the_rest_stays(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, keeping(), clock)
    try:
        rows = [entry(app, NOON + at, f"{app}{at}") for app, count in (("a", 30), ("b", 70)) for at in range(count)]
        stored(store, rows)
        store.flush()
        (block,) = store._state.tenants["t"].view.blocks
        table = store._state.tenants["t"].table
        a, b = (table.intern((("app", app),)) for app in "ab")

        def floor(of_a: int, of_b: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
            found = np.zeros(2, np.int64)
            found[[a, b]] = of_a, of_b
            return found

        gone, kept = NOON + DAY, NOON - 2 * DAY
        assert expired_share(block, floor(gone, kept)) == 0.3
        assert is_worth_rewriting(block, floor(gone, kept))
        assert is_worth_rewriting(block, floor(gone, np.iinfo(np.int64).min))
        assert not is_worth_rewriting(block, floor(NOON + 15, kept)), "the rest of a goes within the day"
        assert not is_worth_rewriting(block, floor(gone, NOON - HOUR)), "the block goes within the day"
        assert not is_worth_rewriting(block, floor(gone, gone)), "the block goes now"
        assert not is_worth_rewriting(block, None)
        fewer = replace(block, rows=1000)
        assert not is_worth_rewriting(fewer, floor(gone, kept)), "it frees too little"
    finally:
        store.close()


def two_blocks(store: Store) -> None:
    for at in (0, 1):
        stored(store, [entry("a", NOON + at, f"a{at}"), entry("b", NOON + at, f"b{at}")])
        store.flush()


def test_compaction_leaves_out_what_has_expired(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, keeping(rule("app=b", 0, 1), period=HOUR), clock)
    try:
        two_blocks(store)
        later(store, clock, NOON + HOUR + 1)
        store.compact()
        assert store.figures().counters.compaction.expired_rows == 1
        clock.now = NOON
        assert sorted(line for _, _, line, _ in read(store)) == [b"a1", b"b0", b"b1"]
    finally:
        store.close()


def test_compaction_does_not_believe_a_clock_that_jumps_ahead_either(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, keeping(period=HOUR), clock)
    try:
        two_blocks(store)
        clock.now += 365 * DAY
        assert read(store) == []
        store.compact()
        assert len(files(tmp_path)) == 1
        clock.now = NOON
        assert len(read(store)) == 4
        clock.now += 365 * DAY
        removed = store.remove_expired()
        assert (removed.blocks, removed.rows) == (1, 0), "whoever asks for it is believed"
        assert files(tmp_path) == []
    finally:
        store.close()


def test_all_that_has_expired_goes_when_somebody_asks_for_it(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, keeping(rule("app=b", 0, 1), period=HOUR), clock)
    try:
        two_blocks(store)
        fill(store, range(-1, 0))
        clock.now = NOON + HOUR + 1
        removed = store.remove_expired()
        assert (removed.blocks, removed.rewritten, removed.rows) == (1, 1, 1)
        clock.now = NOON
        assert sorted(line for _, _, line, _ in read(store)) == [b"a1", b"b0", b"b1"]
    finally:
        store.close()


# -- what is left of streams


def test_streams_that_no_block_has_are_forgotten_at_the_next_start(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, keeping(period=2 * DAY, other=TenantRules(0)), clock)
    stored(store, [entry(f"x{number}", NOON, "x") for number in range(50)])
    stored(store, [entry("both", NOON, "x")])
    stored(store, [entry("x1", NOON, "x")], "other")
    store.flush()
    stored(store, [entry("both", NOON + DAY, "x")])
    store.flush()
    later(store, clock, NOON + 2 * DAY + 1)
    assert store.drop_expired() == 1
    store.close()

    def listed() -> list[tuple[str, list[list[str]]]]:
        with sqlite3.connect(tmp_path / "index.db") as db:
            found = sorted(db.execute("SELECT tenant, labels FROM streams"))
            return [(tenant, json.loads(labels)) for tenant, labels in found]

    assert len(listed()) == 52
    store = opened(tmp_path, keeping(), clock)
    try:
        assert listed() == [("other", [["app", "x1"]]), ("t", [["app", "both"]])]
        assert not (tmp_path / "blocks" / "t" / day_of(NOON)).exists()
        stored(store, [entry("x7", NOON, "back")])
        store.flush()
        assert len(read(store)) == 2
    finally:
        store.close()
