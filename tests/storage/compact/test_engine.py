"""A step of compaction as a whole: files, catalog and view change together or not at all."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from storage import RetentionOptions, Store
from storage.catalog import Catalog, listed_blocks
from storage.compact import Barred, Engine
from storage.compact import engine as engine_module
from storage.errors import StorageError, StorageUnavailable
from storage.tombstones import Tombstone
from storage.verify import verify
from tests.storage.compact.test_merge import OPTIONS, blocks_of, filled
from tests.storage.entries import NOON, entry, in_order, read, start, stored

ROWS = [[entry("a", NOON + n, f"line {n}")] for n in range(3)]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("blocks/*/*/*")}


def shown(store: Store, folder: Path) -> set[str]:
    return {str(block.path.relative_to(folder)) for block in blocks_of(store)}


def engine_of(store: Store) -> Engine:
    return store._engine


def nothing() -> None:
    pass


def everything_is_as_it_was(store: Store, folder: Path, before: set[str]) -> None:
    assert files(folder) == shown(store, folder) == before == set(listed_blocks(folder))
    assert read(store) == [row for rows in ROWS for row in rows]


def test_files_catalog_and_view_say_the_same(tmp_path: Path) -> None:
    store = filled(tmp_path, *ROWS)
    store.compact()
    assert len(files(tmp_path)) == 1
    assert files(tmp_path) == shown(store, tmp_path) == set(listed_blocks(tmp_path))
    counted = store.figures().counters
    assert (counted.compaction.blocks_read, counted.compaction.blocks_written) == (3, 1)
    assert counted.compaction.jobs == {"settled": 1}
    assert counted.compaction.bytes_written == blocks_of(store)[0].size
    assert counted.write_amplification == 1 + blocks_of(store)[0].size / counted.flushed_bytes
    store.close()
    assert verify(tmp_path, rebuild=True, report=lambda _: None).problems == []


def test_who_reads_goes_on_reading(tmp_path: Path) -> None:
    store = filled(tmp_path, *ROWS)
    units = store.scan("t", (), NOON, NOON + 10, "forward")
    first = next(units)
    store.compact()
    assert len(files(tmp_path)) == 4
    found = [unit.read(unit.times()).lines.tolist() for unit in (first, *units)]
    assert found == [[row[2] for row in rows] for rows in ROWS]
    del first, units
    store._leases.sweep()
    assert files(tmp_path) == shown(store, tmp_path)
    store.close()


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, *ROWS)
    before = files(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("storage.blockwrite.write_all", full)
    with pytest.raises(StorageUnavailable, match="the disk of the data directory is full"):
        store.compact()
    everything_is_as_it_was(store, tmp_path, before)
    assert store.figures().counters.compaction.failures == 1
    monkeypatch.undo()
    store.compact()
    assert len(blocks_of(store)) == 1
    store.close()


def test_without_room_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, *ROWS)
    before = files(tmp_path)
    left = SimpleNamespace(f_bavail=engine_module.SPARE // 4096, f_frsize=4096)
    monkeypatch.setattr("storage.compact.engine.os.statvfs", lambda _: left)
    assert store.compact() == []
    monkeypatch.undo()
    everything_is_as_it_was(store, tmp_path, before)
    store.close()


def test_a_catalog_that_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, *ROWS)
    before = files(tmp_path)

    def refuse(*_: Any) -> None:
        raise StorageError("index.db cannot be written")

    monkeypatch.setattr(Catalog, "add", refuse)
    with pytest.raises(StorageError, match=r"index\.db"):
        store.compact()
    monkeypatch.undo()
    everything_is_as_it_was(store, tmp_path, before)
    store.close()


def test_a_damaged_block_is_set_aside_and_others_go_on(tmp_path: Path) -> None:
    store = filled(tmp_path, *ROWS[:2])
    stored(store, [entry("u", NOON, "1")], tenant="u")
    store.flush()
    stored(store, [entry("u", NOON, "2")], tenant="u")
    store.flush()
    path = blocks_of(store)[0].path
    data = bytearray(path.read_bytes())
    good = bytes(data)
    data[200] ^= 0xFF
    path.write_bytes(data)
    (problem,) = store.compact()
    assert path.name in problem
    assert "set aside" in problem
    assert store.compact() == []
    assert path not in [block.path for block in blocks_of(store)]
    assert len(store._state.tenants["u"].view.blocks) == 1
    (warning,) = store.missing("t", 0, 1 << 62)
    assert path.stem in warning
    store.close()
    (tmp_path / "quarantine" / path.relative_to(tmp_path)).unlink()
    path.write_bytes(good)
    store = start(tmp_path, OPTIONS)
    assert store.compact() == []
    assert read(store) == [*ROWS[0], *ROWS[1]]
    assert len(blocks_of(store)) == 1
    store.close()


def hide(store: Store, **more: Any) -> None:
    tenant = store._state.tenants["t"]
    hiding = Tombstone("d", np.ones(1, np.bool_), NOON, NOON + 2, blocks_of(store)[-1].generation)
    with store._state.lock:
        tenant.set_view(tenant.view.with_tombstones((replace(hiding, **more),)))


def test_a_delete_takes_whole_blocks_and_parts_of_them(tmp_path: Path) -> None:
    store = filled(tmp_path, ROWS[0], [*ROWS[1], *ROWS[2]])
    hide(store)
    done = engine_of(store).step(nothing)
    assert done is not None
    assert done.block is None
    assert engine_of(store).step(nothing) is not None
    assert engine_of(store).step(nothing) is None
    assert [row[2] for row in read(store)] == [b"line 2"]
    assert files(tmp_path) == shown(store, tmp_path) == set(listed_blocks(tmp_path))
    assert blocks_of(store)[0].deletes == {"d"}
    assert store.figures().counters.compaction.deleted_rows == 2
    store.close()


def test_a_delete_that_can_be_called_off_is_not_carried_out(tmp_path: Path) -> None:
    store = filled(tmp_path, *ROWS)
    hide(store, claim=lambda: False)
    assert engine_of(store).step(nothing) is None
    store.compact()  # all blocks are of a generation that it speaks of, so they may be joined
    assert len(blocks_of(store)) == 1
    assert blocks_of(store)[0].deletes == frozenset()
    assert [row[2] for row in read(store)] == [b"line 2"]
    hide(store, end=0)
    assert read(store) == [row for rows in ROWS for row in rows]
    store.close()


def test_a_step_that_is_stopped_changes_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path, *ROWS)
    before = files(tmp_path)

    class EnoughError(Exception):
        pass

    for calls in range(12):
        left = [calls]

        def pause(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise EnoughError

        try:
            done = engine_of(store).step(pause, everything=True)
        except EnoughError:
            everything_is_as_it_was(store, tmp_path, before)
        else:
            assert done is not None
            assert calls >= 4
            break
    assert len(blocks_of(store)) == 1
    store.close()


def test_what_is_dropped_while_it_is_compacted_does_not_come_back(tmp_path: Path) -> None:
    for calls in range(20):
        folder = tmp_path / str(calls)
        store = filled(folder, *ROWS)
        store.close()
        most = sum(path.stat().st_size for path in folder.glob("blocks/*/*/*")) - 1
        store = start(folder, replace(OPTIONS, retention=RetentionOptions(max_total_size=most)))
        pauses = 0

        def pause(store: Store = store, calls: int = calls) -> None:
            nonlocal pauses
            if pauses == calls:
                store.drop_expired()  # the oldest of the three goes
            pauses += 1

        assert engine_of(store).step(pause, everything=True) is not None
        if pauses <= calls:
            break
        store.compact()
        assert read(store) == [*ROWS[1], *ROWS[2]]
        assert files(folder) == shown(store, folder) == set(listed_blocks(folder))
        assert len(files(folder)) == 1
        assert store.figures().counters.compaction.failures == 0
        store.close()
    assert calls >= 4
    assert read(store) == [row for rows in ROWS for row in rows]  # as one block they are smaller
    store.close()


def test_tenants_take_turns(tmp_path: Path) -> None:
    store = start(tmp_path, OPTIONS)
    for tenant in "abc":
        for day in range(2):
            for n in range(2):
                stored(store, [entry("x", NOON + day * 86_400_000_000_000 + n, "1")], tenant=tenant)
                store.flush()
    order = []
    store.compact(lambda done: order.append(done.job.sources[0].path.parts[-3]))
    assert order == list("abcabc")
    store.close()


def test_what_is_barred_is_told_apart_from_what_failed() -> None:
    assert issubclass(Barred, StorageError)


def test_a_block_whose_folder_cannot_be_synced_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, *ROWS)
    before = files(tmp_path)

    def fail(temporary: Path, final: Path) -> None:
        temporary.rename(final)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(engine_module, "publish", fail)
    with pytest.raises(OSError, match="Input/output"):
        engine_of(store).step(nothing, everything=True)
    everything_is_as_it_was(store, tmp_path, before)
    store.close()


@pytest.mark.parametrize("at", [-9, -30, -60, -100, -200, -400])
def test_a_damaged_footer_holds_nobody_up(tmp_path: Path, at: int) -> None:
    store = filled(tmp_path, *ROWS)
    path = blocks_of(store)[1].path
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    store.compact()
    assert len(blocks_of(store)) == 1 + (path in [block.path for block in blocks_of(store)])
    assert {row[2] for row in read(store)} >= {b"line 0", b"line 2"}
    store.close()


def test_too_many_open_files_say_nothing_of_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, *ROWS)
    before = files(tmp_path)

    def fail(*_args: object, **_named: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("storage.compact.source.pq.ParquetFile", fail)
    with pytest.raises(OSError, match="Too many open files"):
        engine_of(store).step(nothing, everything=True)
    monkeypatch.undo()
    everything_is_as_it_was(store, tmp_path, before)
    store.compact()
    assert len(blocks_of(store)) == 1
    store.close()


def settle(store: Store) -> int:
    """What the thread does as long as there is something; how many steps that is."""
    steps = 0
    while engine_of(store).step(nothing):
        steps += 1
    return steps


def test_late_rows_join_a_day_that_was_settled_and_compacted(tmp_path: Path) -> None:
    options = replace(OPTIONS, compaction=replace(OPTIONS.compaction, quiet=0.0))
    store = filled(tmp_path, *ROWS, options=options)
    assert settle(store) > 0
    (day,) = blocks_of(store)
    assert day.compacted
    late = [entry("a", NOON - 7, "late"), entry("b", NOON + 1, "late too")]
    stored(store, late)
    store.flush()
    assert settle(store) == 1
    (joined,) = blocks_of(store)
    assert (joined.day, joined.rows, joined.compacted) == (day.day, 5, True)
    assert read(store) == in_order([*(row for rows in ROWS for row in rows), *late])
    assert settle(store) == 0
    store.close()


def test_a_late_row_of_a_large_day_waits_for_more_or_for_who_asks(tmp_path: Path) -> None:
    """To write a day anew for each line that comes late would be a thousand times the line."""
    options = replace(OPTIONS, compaction=replace(OPTIONS.compaction, quiet=0.0))
    large = [entry("a", NOON + n, sha256(b"%d" % n).hexdigest()) for n in range(2000)]
    store = filled(tmp_path, large, options=options)
    settle(store)
    stored(store, [entry("a", NOON - 7, "late")])
    store.flush()
    settle(store)
    assert [block.rows for block in blocks_of(store)] == [2000, 1]
    assert store.compact() == []
    assert [block.rows for block in blocks_of(store)] == [2001]
    store.close()
