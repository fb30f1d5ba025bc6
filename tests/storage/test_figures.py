"""What storage counts about itself: histograms, flushed blocks, streams that come and go, replays."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import FlushOptions, Store, StoreOptions
from storage.figures import NAMES, TENANTS, Figures, FlushReason, Histogram
from tests.storage.entries import DAY, HOUR, NOON, entry, put, quiet, start, stored

BOUNDS = (1.0, 8.0, 64.0)


def wait_for_a_block(store: Store) -> Figures:
    for _ in range(2000):
        if (figures := store.figures()).counters.flushes:
            return figures
        time.sleep(0.01)
    pytest.fail("no flush")


def by_reason(figures: Figures) -> dict[str, int]:
    return {reason.value: count for reason, count in figures.counters.blocks_by_reason.items() if count}


@pytest.mark.parametrize(("value", "at"), [(0, 0), (1, 0), (1.5, 1), (8, 1), (64, 2), (65, 3)])
def test_a_value_equal_to_a_bound_is_within_it(value: float, at: int) -> None:
    histogram = Histogram(BOUNDS)
    histogram.observe(value)
    assert histogram.counts.index(1) == at
    assert (sum(histogram.counts), histogram.total) == (1, value)


@given(st.lists(st.integers(0, 100)))
def test_many_values_at_once_are_counted_as_one_by_one(values: list[int]) -> None:
    one, all_ = Histogram(BOUNDS), Histogram(BOUNDS)
    for value in values:
        one.observe(value)
    all_.observe_all(np.array(values, np.int64))
    assert (one.counts, one.total) == (all_.counts, all_.total)


def test_a_flush_on_demand_counts_its_blocks(tmp_path: Path) -> None:
    store = start(tmp_path)
    rows = [entry("a", NOON, b"x" * 100, k="v"), entry("a", NOON + 3 * HOUR, b"y" * 100), entry("a", NOON + DAY)]
    stored(store, rows)
    stored(store, [entry("a", NOON)], tenant="other")
    assert by_reason(store.figures()) == {}
    store.flush()
    figures = store.figures()
    assert by_reason(figures) == {"forced": 3}
    mine, other = figures.tenants["t"], figures.tenants["other"]
    assert (mine.stored_blocks, other.stored_blocks) == (2, 1)
    sizes = {
        name: sum(file.stat().st_size for file in (tmp_path / "blocks" / name).rglob("*.parquet"))
        for name in figures.tenants
    }
    assert {name: tenant.stored_bytes for name, tenant in figures.tenants.items()} == sizes
    shapes = figures.counters.blocks
    assert shapes.size.total == sum(sizes.values())
    assert (shapes.entries.total, shapes.hours.total) == (4, 3.0)
    assert [sum(each.counts) for each in (shapes.age, shapes.hours, shapes.ratio, shapes.entries, shapes.encode)] == [
        3
    ] * 5
    assert shapes.encode.total > 0
    age = time.time() - NOON / 1e9
    assert shapes.age.total == pytest.approx(3 * age - DAY / 1e9, abs=60)
    assert 0 < shapes.ratio.total < 1  # tiny blocks are all footer
    store.close()


def test_the_ratio_is_of_lines_and_metadata_to_the_file(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON + n, b"x" * 1000, key="v" * 7) for n in range(1000)])
    store.flush()
    figures = store.figures()
    assert figures.counters.blocks.ratio.total == pytest.approx(1_010_000 / figures.tenants["t"].stored_bytes)
    store.close()


def test_a_flush_of_a_full_memtable_is_counted_as_that(tmp_path: Path) -> None:
    store = start(tmp_path, quiet(size=1))
    stored(store, [entry("a", NOON)])
    assert set(by_reason(wait_for_a_block(store))) == {"full"}
    store.close()


def test_a_flush_of_old_rows_is_counted_as_that(tmp_path: Path) -> None:
    store = start(tmp_path, StoreOptions(reserve=0, flush=FlushOptions(max_age=0.0, small_tenant=0)))
    stored(store, [entry("a", NOON)])
    assert by_reason(wait_for_a_block(store)) == {"max_age": 1}
    store.close()


def test_a_flush_that_failed_is_tried_again_for_the_same_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON)])

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("storage.publish.Unpublished.publish", fail)
        with pytest.raises(OSError, match="Input/output"):
            store._flusher.flush(reason=FlushReason.FULL)
        assert store.figures().flush_queue == 1
        assert by_reason(store.figures()) == {}
        assert store._flusher._due() is FlushReason.FULL
    assert set(by_reason(wait_for_a_block(store))) == {"full"}
    assert store.figures().flush_queue == 0
    store.close()


def test_streams_leave_memory_with_their_rows(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON), entry("näh", NOON)])
    figures = store.figures()
    assert (figures.tenants["t"].memory_streams, figures.tenants["t"].streams_removed) == (2, 0)
    assert figures.memory_label_bytes == len("app" + "a") + len("app" + "näh") + 1
    store.flush()
    stored(store, [entry("a", NOON + 1)])
    figures = store.figures()
    assert (figures.tenants["t"].memory_streams, figures.tenants["t"].streams_removed) == (1, 2)
    assert figures.memory_label_bytes == len("app" + "a")
    store.close()


def test_a_replay_tells_streams_and_duplicates(tmp_path: Path) -> None:
    store = start(tmp_path, quiet(small_tenant=1 << 20))
    stored(store, [entry("a", NOON), entry("b", NOON), entry("a", NOON + 1)])
    stored(store, [entry("a", NOON)], tenant="other")
    store.close()
    again = start(tmp_path)
    replay = again.figures().replay
    assert (replay.streams, replay.entries, replay.duplicate_entries, replay.skipped_entries) == (3, 4, 0, 0)
    again.close()


def test_what_stands_in_blocks_and_in_the_log_is_a_duplicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON), entry("b", NOON)])
    with monkeypatch.context() as patch:
        patch.setattr("storage.wal.Wal.remove", lambda *_: None)  # a crash before the segments went
        store.flush()
    assert not isinstance(put(store, [entry("c", NOON)]), Exception)
    store.close()
    again = start(tmp_path)
    replay = again.figures().replay
    assert (replay.streams, replay.entries, replay.duplicate_entries, replay.skipped_entries) == (1, 1, 2, 2)
    again.close()


def test_the_labels_with_most_values_are_counted_of_the_tenants_that_have_most(tmp_path: Path) -> None:
    store = start(tmp_path, quiet())
    for tenant in range(TENANTS + 2):
        labels = [(f"label{name:02}", str(value)) for name in range(NAMES + tenant) for value in range(1 + name % 3)]
        put(store, [(((pair,), NOON, b"line", ())) for pair in labels], tenant=f"t{tenant:02}")
    found = store.figures().label_values
    store.close()
    assert list(found) == [f"t{tenant:02}" for tenant in range(TENANTS + 1, 1, -1)]
    assert {len(names) for names in found.values()} == {NAMES}
    assert found["t02"][:2] == [("label02", 3), ("label05", 3)]


def test_disk_use_is_what_df_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = start(tmp_path)
    assert 0 < store.figures().disk_used < 1

    class Disk:
        f_blocks, f_bfree, f_bavail, f_frsize = 1000, 400, 200, 4096

    with monkeypatch.context() as patch:
        patch.setattr("storage.store.os.statvfs", lambda _path: Disk)
        assert store.figures().disk_used == 0.75
    store.close()
