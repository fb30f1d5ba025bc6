"""Backups of stores that are open, at rest and in the middle of a flush; restoring and checking them."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import storage.backup
from storage import BatchId, Receipt, Store, batch_digest
from storage.backup import BackupResult, backup
from storage.catalog import remove_index
from storage.copying import Progress
from storage.errors import DirectoryLocked, StorageError
from storage.lock import RESTORING
from storage.manifest import Manifest, read_manifest
from storage.restore import restore
from storage.verify import VerifyResult, verify
from tests.storage.entries import DAY, NOON, Entry, batch_of, entry, put, quiet, read, start, stored

Told = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Nobody waits."""


def make_backup(data_dir: Path, target: Path, report: Told = silent) -> BackupResult:
    return backup(data_dir, target, report)


def put_back(source: Path, data_dir: Path, *, allow_damage: bool = False) -> list[str]:
    return restore(source, read_manifest(source), data_dir, allow_damage=allow_damage, report=silent)


def check(folder: Path) -> VerifyResult:
    return verify(folder, rebuild=False, report=silent)


def some(number: int, rows: int = 20) -> list[Entry]:
    """Entries of three days that no other number has."""
    return [
        entry(f"app{at % 3}", NOON + DAY * (at % 3) + number * 1000 + at, f"push {number} line {at}", trace=f"{at}")
        for at in range(rows)
    ]


def contents(data_dir: Path) -> list[Entry]:
    store = start(data_dir)
    try:
        return read(store)
    finally:
        store.close()


def filled(data_dir: Path) -> tuple[Store, list[Entry]]:
    """An open store with blocks of two flushes and segments of a log."""
    store = start(data_dir, quiet(segment_size=1))
    sent: list[Entry] = []
    for number in range(5):
        stored(store, some(number))
        sent += some(number)
        if number in {1, 2}:
            store.flush()
    return store, sorted(sent)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_backup_beside_an_open_store_has_all_of_blocks_and_log(tmp_path: Path) -> None:
    store, sent = filled(tmp_path / "data")
    result = make_backup(tmp_path / "data", tmp_path / "backup")
    assert result.problems == ()
    assert result.linked == result.manifest.count("blocks") == 6
    assert result.manifest.count("wal") >= 2
    stored(store, some(9))  # after the backup, so not in it
    store.flush()
    store.close()
    assert check(tmp_path / "backup").problems == []
    assert check(tmp_path / "backup").rows == len(sent)
    assert put_back(tmp_path / "backup", tmp_path / "again") == []
    assert check(tmp_path / "again").problems == []
    assert sorted(contents(tmp_path / "again")) == sent


def test_a_backup_of_a_store_that_was_closed_or_is_new_is_one_too(tmp_path: Path) -> None:
    store, sent = filled(tmp_path / "data")
    store.close()
    before = files(tmp_path / "data")
    make_backup(tmp_path / "data", tmp_path / "backup")
    assert files(tmp_path / "data") == before
    put_back(tmp_path / "backup", tmp_path / "again")
    assert sorted(contents(tmp_path / "again")) == sent
    start(tmp_path / "new").close()
    make_backup(tmp_path / "new", tmp_path / "nothing")
    put_back(tmp_path / "nothing", tmp_path / "new-again")
    assert contents(tmp_path / "new-again") == []


def test_what_a_store_does_later_changes_nothing_in_the_backup(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "data")
    make_backup(tmp_path / "data", tmp_path / "backup")
    before = files(tmp_path / "backup")
    stored(store, some(9))
    store.flush()
    store.close()
    start(tmp_path / "data").close()
    assert files(tmp_path / "backup") == before


def test_checking_or_restoring_a_backup_writes_nothing_to_it(tmp_path: Path) -> None:
    filled(tmp_path / "data")[0].close()
    make_backup(tmp_path / "data", tmp_path / "backup")
    before = {path: path.stat().st_mtime_ns for path in [tmp_path / "backup", *(tmp_path / "backup").rglob("*")]}
    check(tmp_path / "backup")
    put_back(tmp_path / "backup", tmp_path / "again")
    start(tmp_path / "again").close()
    after = {path: path.stat().st_mtime_ns for path in [tmp_path / "backup", *(tmp_path / "backup").rglob("*")]}
    assert after == before


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_blocks_are_copied_where_no_link_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_link(source: Path, target: Path) -> None:
        raise OSError(code, os.strerror(code), str(source), None, str(target))

    store, sent = filled(tmp_path / "data")
    monkeypatch.setattr(os, "link", no_link)
    result = make_backup(tmp_path / "data", tmp_path / "backup")
    store.close()
    assert result.linked == 0
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "backup").rglob("*.parquet"))
    put_back(tmp_path / "backup", tmp_path / "again")
    assert sorted(contents(tmp_path / "again")) == sent


def test_log_and_sqlite_files_are_never_shared_with_the_server(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "data")
    make_backup(tmp_path / "data", tmp_path / "backup")
    store.close()
    shared = {path.suffix for path in (tmp_path / "backup").rglob("*") if path.is_file() and path.stat().st_nlink > 1}
    assert shared == {".parquet"}


def test_a_backup_is_readable_by_whom_the_data_is(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "data")
    (tmp_path / "data").chmod(0o700)
    make_backup(tmp_path / "data", tmp_path / "backup")
    store.close()
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "backup").rglob("*.wal"):
        assert path.stat().st_mode == (tmp_path / "data" / "wal" / path.name).stat().st_mode


def test_batch_ids_of_log_and_control_db_are_still_known(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "data")
    ids = [BatchId(bytes([number]) * 16, batch_digest(batch_of(some(number)))) for number in (20, 21)]
    stored(store, some(20), batch_id=ids[0])
    store.flush()
    stored(store, some(21), batch_id=ids[1])
    make_backup(tmp_path / "data", tmp_path / "backup")
    store.close()
    put_back(tmp_path / "backup", tmp_path / "again")
    again = start(tmp_path / "again")
    for number, batch_id in zip((20, 21), ids, strict=True):
        assert stored(again, some(number), batch_id=batch_id).deduplicated
    again.close()


# -- what a server does meanwhile


def test_a_flush_at_any_step_of_a_backup_loses_and_doubles_nothing(tmp_path: Path) -> None:
    steps: list[Progress] = []
    store, _ = filled(tmp_path / "quiet")
    make_backup(tmp_path / "quiet", tmp_path / "quiet-backup", steps.append)
    store.close()
    for at in range(len(steps)):
        folder = tmp_path / str(at)
        store, sent = filled(folder / "data")
        left = at

        def flush(_: Progress, store: Store = store) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                stored(store, some(7))
                store.flush()
                stored(store, some(8))

        make_backup(folder / "data", folder / "backup", flush)
        assert left < 0
        store.close()
        put_back(folder / "backup", folder / "again")
        found = sorted(contents(folder / "again"))
        assert [item for item in found if item in sent] == sent, at
        assert len(found) == len(set(found)), at
        assert set(found) <= {*sent, *some(7), *some(8)}, at
        _rows_are_held_once(folder / "again")


def _rows_are_held_once(data_dir: Path) -> None:
    """No reader's check for repeats is what hides a second copy."""
    store = start(data_dir)
    figures = store.figures().tenants["t"]
    assert figures.memory_rows + figures.block_rows == len(read(store))
    store.close()


@pytest.mark.parametrize("listing", [1, 2])
def test_a_flush_while_the_log_is_looked_at_loses_neither_lines_nor_batch_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: int
) -> None:
    """It comes after the first listing, so that segments cannot be opened, or before the second, after control.db."""
    real = storage.backup._segments
    store, sent = filled(tmp_path / "data")
    batch_id = BatchId(b"1" * 16, batch_digest(batch_of(some(20))))
    stored(store, some(20), batch_id=batch_id)
    calls = 0

    def listed(wal: Path) -> list[str]:
        nonlocal calls
        calls += 1
        before = real(wal)
        if calls == listing:
            store.flush()
        return before if listing == 1 else real(wal)

    monkeypatch.setattr(storage.backup, "_segments", listed)
    make_backup(tmp_path / "data", tmp_path / "backup")
    assert calls > 2
    store.close()
    put_back(tmp_path / "backup", tmp_path / "again")
    again = start(tmp_path / "again")
    assert sorted(read(again)) == sorted([*sent, *some(20)])
    assert stored(again, some(20), batch_id=batch_id).deduplicated
    again.close()


@pytest.mark.parametrize("linking", [True, False])
def test_a_compaction_at_any_step_of_a_backup_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, linking: bool
) -> None:
    if not linking:
        monkeypatch.setattr(os, "link", _other_file_system)
    steps: list[Progress] = []
    store, _ = filled(tmp_path / "quiet")
    make_backup(tmp_path / "quiet", tmp_path / "quiet-backup", steps.append)
    store.close()
    replaced = 0
    for at in range(len(steps)):
        folder = tmp_path / str(at)
        store, sent = filled(folder / "data")
        left = at

        def compact(_: Progress, store: Store = store) -> None:
            nonlocal left
            left -= 1
            # Twice, so that what came of the first is replaced too; in two steps, or at once.
            if left in {-1, -3}:
                store.compact()
                store.flush()
                store.compact()

        make_backup(folder / "data", folder / "backup", compact)
        store.close()
        kept = {path.name for path in (folder / "data").rglob("*.parquet")}
        replaced += any(path.name not in kept for path in (folder / "backup").rglob("*.parquet"))
        assert check(folder / "backup").problems == []
        put_back(folder / "backup", folder / "again")
        assert sorted(contents(folder / "again")) == sent, at
        _rows_are_held_once(folder / "again")
    assert replaced, "no backup has a block that is gone from the data directory"


def test_small_tenants_that_are_carried_meanwhile_are_there_once(tmp_path: Path) -> None:
    options = quiet(small_tenant=1 << 30)
    for at in range(12):
        data_dir = tmp_path / f"data{at}"
        store = start(data_dir, options)
        stored(store, some(1))
        stored(store, some(2), tenant="u")
        left = at

        def carry(_: Progress, store: Store = store) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                store._flusher.flush(everything=False)

        make_backup(data_dir, tmp_path / f"backup{at}", carry)
        store.close()
        put_back(tmp_path / f"backup{at}", tmp_path / f"again{at}")
        again = start(tmp_path / f"again{at}")
        assert sorted(read(again)) == sorted(some(1))
        assert sorted(read(again, "u")) == sorted(some(2))
        again.close()


def test_backups_made_while_pushes_and_flushes_go_on_have_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    store = start(tmp_path / "data", quiet(segment_size=20_000))
    acknowledged: list[Entry] = []
    begun, over = threading.Event(), threading.Event()
    faults: list[BaseException] = []

    def push() -> None:
        try:
            number = 0
            while not over.is_set():
                entries = some(number, 30)
                assert isinstance(put(store, entries), Receipt)
                acknowledged.extend(entries)
                begun.set()
                number += 1
                if number % 7 == 0:
                    store.flush()
        except BaseException as error:  # noqa: BLE001 - told by the test
            faults.append(error)

    pushing = threading.Thread(target=push)
    pushing.start()
    try:
        assert begun.wait(30)
        for number in range(5):
            before = list(acknowledged)
            make_backup(tmp_path / "data", tmp_path / f"backup{number}")
            after = set(acknowledged)
            put_back(tmp_path / f"backup{number}", tmp_path / f"again{number}")
            found = contents(tmp_path / f"again{number}")
            assert len(found) == len(set(found))
            assert set(before) <= set(found)
            # One push may be on its way to be acknowledged.
            assert len(set(found) - after) <= 30
            _rows_are_held_once(tmp_path / f"again{number}")
    finally:
        over.set()
        pushing.join()
        store.close()
    assert not faults
    assert len(acknowledged) > 1000


def test_a_block_that_is_replaced_meanwhile_is_left_to_the_one_that_replaced_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two compactions, one after the other, would do between two links: only the last one's file is taken."""
    store, _ = filled(tmp_path / "data")
    store.close()
    folder = next((tmp_path / "data" / "blocks").glob("*/*"))
    first, second = sorted(folder.glob("*.parquet"))
    final = folder / "7ZZZZZZZZZZZZZZZZZZZZZZZZZ.parquet"
    link = os.link
    replaced = False

    def replace(source: Path, target: Path) -> None:
        nonlocal replaced
        if source == second and not replaced:
            replaced = True
            link(first, final)
            first.unlink()
            second.unlink()
        link(source, target)

    monkeypatch.setattr(os, "link", replace)
    result = make_backup(tmp_path / "data", tmp_path / "backup")
    kept = sorted(path.name for path in (tmp_path / "backup" / folder.relative_to(tmp_path / "data")).iterdir())
    assert kept == [final.name]
    assert sum(name.startswith(str(folder.relative_to(tmp_path / "data"))) for name in result.manifest.files) == 1
    with closing(sqlite3.connect(tmp_path / "backup" / "index.db")) as db:
        listed = {path for (path,) in db.execute("SELECT path FROM blocks")}
    assert listed <= result.manifest.files.keys()
    assert not any(path.endswith((first.name, second.name)) for path in listed)


# -- what is refused


def test_a_folder_with_anything_in_it_is_no_place_for_a_backup(tmp_path: Path) -> None:
    filled(tmp_path / "data")[0].close()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    with pytest.raises(StorageError, match="not empty"):
        make_backup(tmp_path / "data", tmp_path / "full")
    assert files(tmp_path / "full") == {"notes": b"mine"}
    make_backup(tmp_path / "data", tmp_path / "backup")
    with pytest.raises(StorageError, match="folder of its own"):
        make_backup(tmp_path / "data", tmp_path / "backup")
    with pytest.raises(StorageError, match="inside"):
        make_backup(tmp_path / "data", tmp_path / "data" / "backup")
    with pytest.raises(StorageError, match="not a data directory"):
        make_backup(tmp_path / "full", tmp_path / "other")
    with pytest.raises(StorageError, match="a backup itself"):
        make_backup(tmp_path / "backup", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("existed", [True, False])
def test_nothing_is_left_of_a_backup_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, existed: bool
) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    filled(tmp_path / "data")[0].close()
    if existed:
        (tmp_path / "backup").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(storage.backup, "sync_directory", full)
        with pytest.raises(OSError, match="No space"):
            make_backup(tmp_path / "data", tmp_path / "backup")
    assert (tmp_path / "backup").exists() == existed
    make_backup(tmp_path / "data", tmp_path / "backup")
    assert check(tmp_path / "backup").problems == []


def test_a_backup_without_its_list_is_none(tmp_path: Path) -> None:
    filled(tmp_path / "data")[0].close()
    make_backup(tmp_path / "data", tmp_path / "backup")
    for text, says in [
        ("{}", "damaged"),
        ("[]", "damaged"),
        ('{"weir_backup": 1, "ma', "damaged"),
        ('{"weir_backup": 9}', "version 9"),
        (
            json.dumps({"weir_backup": 1, "made": "", "files": {"../x": {"size": 1, "crc32c": "00000000"}}}),
            "outside",
        ),
    ]:
        (tmp_path / "backup" / "backup.json").write_text(text)
        with pytest.raises(StorageError, match=says):
            read_manifest(tmp_path / "backup")
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(StorageError, match="cut short"):
        read_manifest(tmp_path / "backup")
    with pytest.raises(StorageError, match="no folder"):
        read_manifest(tmp_path / "nowhere")


def test_a_damaged_control_db_is_not_backed_up_for_a_good_one(tmp_path: Path) -> None:
    filled(tmp_path / "data")[0].close()
    (tmp_path / "data" / "control.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(StorageError, match=r"control\.db"):
        make_backup(tmp_path / "data", tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("damaged", [True, False])
def test_an_index_that_is_damaged_or_gone_is_left_to_the_next_start(tmp_path: Path, *, damaged: bool) -> None:
    store, sent = filled(tmp_path / "data")
    store.close()
    remove_index(tmp_path / "data")
    if damaged:
        (tmp_path / "data" / "index.db").write_bytes(b"rubbish" * 1000)
    result = make_backup(tmp_path / "data", tmp_path / "backup")
    assert [("index.db" in problem) for problem in result.problems] == [True] * damaged
    assert "index.db" not in result.manifest.files
    assert check(tmp_path / "backup").problems == []
    put_back(tmp_path / "backup", tmp_path / "again")
    assert sorted(contents(tmp_path / "again")) == sent


def test_a_block_that_the_index_does_not_list_is_in_the_backup_with_its_checksum(tmp_path: Path) -> None:
    store, sent = filled(tmp_path / "data")
    store.close()
    with closing(sqlite3.connect(tmp_path / "data" / "index.db")) as db, db:
        (name,) = db.execute("SELECT path FROM blocks").fetchone()
        db.execute("DELETE FROM blocks WHERE path = ?", (name,))
    result = make_backup(tmp_path / "data", tmp_path / "backup")
    assert result.manifest.files[name].crc != 0
    assert check(tmp_path / "backup").problems == []
    put_back(tmp_path / "backup", tmp_path / "again")
    assert sorted(contents(tmp_path / "again")) == sent


def test_a_block_that_is_damaged_already_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "data")[0].close()
    block = next((tmp_path / "data" / "blocks").glob("*/*/*.parquet"))
    raw = bytearray(block.read_bytes())
    raw[len(raw) // 2] ^= 1
    block.write_bytes(raw)
    make_backup(tmp_path / "data", tmp_path / "linked")
    assert any(block.name in problem for problem in check(tmp_path / "linked").problems)
    monkeypatch.setattr(storage.backup, "_NO_LINK", {errno.EXDEV})
    monkeypatch.setattr(os, "link", _other_file_system)
    (problem,) = make_backup(tmp_path / "data", tmp_path / "copied").problems
    assert block.name in problem
    block.write_bytes(raw[:-1])
    monkeypatch.undo()
    (problem,) = make_backup(tmp_path / "data", tmp_path / "shorter").problems
    assert block.name in problem


def _other_file_system(*_: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


# -- restoring


def test_a_directory_that_is_not_empty_or_in_use_is_left_alone_and_said_to_be(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "data")
    make_backup(tmp_path / "data", tmp_path / "backup")
    with pytest.raises(DirectoryLocked, match="in use by weir process"):
        put_back(tmp_path / "backup", tmp_path / "data")
    store.close()
    before = files(tmp_path / "data")
    with pytest.raises(StorageError, match=r"not empty, it holds blocks/, clock, control\.db, "):
        put_back(tmp_path / "backup", tmp_path / "data")
    assert files(tmp_path / "data") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").write_text("mine")
    with pytest.raises(StorageError, match="it holds notes;"):
        put_back(tmp_path / "backup", tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes"]


def test_a_restore_shares_nothing_with_the_backup(tmp_path: Path) -> None:
    filled(tmp_path / "data")[0].close()
    make_backup(tmp_path / "data", tmp_path / "backup")
    put_back(tmp_path / "backup", tmp_path / "again")
    for path in (tmp_path / "again").rglob("*"):
        assert path.is_dir() or path.stat().st_nlink == 1, path


def test_damage_anywhere_in_a_backup_is_found_by_both_and_nothing_is_restored(tmp_path: Path) -> None:
    filled(tmp_path / "data")[0].close()
    make_backup(tmp_path / "data", tmp_path / "backup")
    manifest = read_manifest(tmp_path / "backup")
    for name in manifest.files:
        path = tmp_path / "backup" / name
        whole = path.read_bytes()
        path.unlink()  # a block is linked: the data directory's stays as it is
        path.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :])
        assert any(Path(name).name in problem for problem in check(tmp_path / "backup").problems), name
        with pytest.raises(StorageError, match="Nothing was restored") as refused:
            put_back(tmp_path / "backup", tmp_path / "again")
        assert name in str(refused.value)
        path.unlink()
        assert any(name in problem for problem in check(tmp_path / "backup").problems), name
        with pytest.raises(StorageError, match="missing"):
            put_back(tmp_path / "backup", tmp_path / "again")
        assert [each.name for each in (tmp_path / "again").iterdir()] == ["lock"]
        path.write_bytes(whole)
    assert check(tmp_path / "backup").problems == []
    put_back(tmp_path / "backup", tmp_path / "again")


def test_a_damaged_backup_gives_what_is_whole_when_asked_to(tmp_path: Path) -> None:
    store, sent = filled(tmp_path / "data")
    make_backup(tmp_path / "data", tmp_path / "backup")
    store.close()
    lost = min((tmp_path / "backup" / "blocks").glob("*/*/*.parquet"))
    day = lost.parent.name
    lost.unlink()
    (problem,) = put_back(tmp_path / "backup", tmp_path / "again", allow_damage=True)
    assert lost.name in problem
    found = set(contents(tmp_path / "again"))
    assert 0 < len(found) < len(sent)
    first_day = NOON // DAY
    assert {ts // DAY for _, ts, _, _ in set(sent) - found} == {first_day}, day


def test_a_start_refuses_half_a_restore_and_another_restore_goes_on(tmp_path: Path) -> None:
    store, sent = filled(tmp_path / "data")
    make_backup(tmp_path / "data", tmp_path / "backup")
    store.close()
    (tmp_path / "again" / RESTORING / "blocks").mkdir(parents=True)
    with pytest.raises(StorageError, match="cut short"):
        start(tmp_path / "again")
    put_back(tmp_path / "backup", tmp_path / "again")
    assert sorted(contents(tmp_path / "again")) == sent


def test_a_restore_that_ends_at_any_step_leaves_nothing_that_a_start_takes_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sent = filled(tmp_path / "data")
    make_backup(tmp_path / "data", tmp_path / "backup")
    store.close()
    rename = Path.rename
    for ended_at in range(1, 10):
        data_dir = tmp_path / f"again{ended_at}"
        count = 0

        def dying(path: Path, target: Path, ended_at: int = ended_at) -> Path:
            nonlocal count
            count += 1
            if count == ended_at:
                raise KeyboardInterrupt
            return rename(path, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", dying)
            try:
                put_back(tmp_path / "backup", data_dir)
            except KeyboardInterrupt:
                with pytest.raises(StorageError, match="cut short"):
                    start(data_dir)
                put_back(tmp_path / "backup", data_dir)  # as the error says: once more
                assert sorted(contents(data_dir)) == sent
                continue
        assert sorted(contents(data_dir)) == sent
        assert ended_at > 4
        return
    pytest.fail("it never came to its end")


def test_the_manifest_counts_what_there_is(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "data")
    result = make_backup(tmp_path / "data", tmp_path / "backup")
    store.close()
    found = read_manifest(tmp_path / "backup")
    assert isinstance(found, Manifest)
    assert found == result.manifest
    assert found.files.keys() == files(tmp_path / "backup").keys() - {"backup.json"}
    assert found.size == sum(len(raw) for name, raw in files(tmp_path / "backup").items() if name != "backup.json")
