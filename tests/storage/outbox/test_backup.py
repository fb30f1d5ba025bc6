"""A backup has what relays are owed as of its control.db, whatever the outbox does meanwhile; it verifies, and runs."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

import storage.backup
from storage import Place, Store
from storage.backup import backup
from storage.copying import Progress
from storage.manifest import read_manifest
from storage.restore import restore
from storage.verify import verify
from tests.storage.entries import NOON, Entry, entry, quiet, stored
from tests.storage.outbox.owing import RELAY, files, look, passed, rows_from, start

OPTIONS = quiet(segment_size=600)


def silent(_: Progress) -> None:
    """Nobody watches."""


def filled(data_dir: Path) -> tuple[Store, list[tuple[str, Entry]]]:
    """A store with packed segments, segments that are not packed yet, and some in the log, all of them owed."""
    store = start(data_dir, OPTIONS)
    store.outbox.subscribe(RELAY)
    rows = []
    for number in range(9):
        some = [entry("a", NOON + 10 * number + n, f"line {number} {n} ".ljust(150, ".")) for n in range(4)]
        stored(store, some)
        rows += [("t", row) for row in some]
        if number in (2, 5):
            store.flush()
        if number == 3:
            look(store)
    return store, rows


def restored(target: Path, data_dir: Path) -> Store:
    assert verify(target, rebuild=False, report=silent).problems == []
    assert restore(target, read_manifest(target), data_dir, allow_damage=False, report=silent) == []
    assert verify(data_dir, rebuild=False, report=silent).problems == []
    return start(data_dir, OPTIONS)


def test_what_is_owed_is_in_a_backup(tmp_path: Path) -> None:
    store, rows = filled(tmp_path / "data")
    kinds = {name.partition(".")[2] for name in files(tmp_path / "data")}
    assert kinds == {"wal", "wal.zst"}
    backup(tmp_path / "data", tmp_path / "backup", silent)
    store.close()
    store = restored(tmp_path / "backup", tmp_path / "again")
    assert rows_from(store, store.outbox.cursors()[RELAY]) == rows
    store.close()


@pytest.mark.parametrize("packs", [True, False])
def test_cursors_are_never_ahead_of_what_a_backup_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, packs: bool
) -> None:
    """Just before control.db is looked at a segment is packed, or the relay moves on; just after it moves on again."""
    store, rows = filled(tmp_path / "data")
    really_open = storage.backup._open_snapshot
    places = iter([Place(3), Place(5), Place(8)])

    def moving(path: Path) -> sqlite3.Connection:
        def move() -> None:
            place = next(places, None)
            if place is not None:
                passed(store, place)
                look(store)

        if path.name != "control.db":
            return really_open(path)
        look(store) if packs else move()
        snapshot = really_open(path)
        move()
        return snapshot

    monkeypatch.setattr("storage.backup._open_snapshot", moving)
    backup(tmp_path / "data", tmp_path / "backup", silent)
    monkeypatch.undo()
    store.close()
    store = restored(tmp_path / "backup", tmp_path / "again")
    cursor = store.outbox.cursors()[RELAY]
    assert cursor > Place(1)
    assert rows_from(store, cursor) == rows[4 * (cursor.seq - 1) :]
    store.close()


def test_damage_in_the_archive_is_found(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "data")
    look(store)
    backup(tmp_path / "data", tmp_path / "backup", silent)
    store.close()
    shutil.copytree(tmp_path / "backup", tmp_path / "cut")
    path = min((tmp_path / "data").glob("archive/*/*/*/*.zst"))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 0xFF
    path.unlink()
    path.write_bytes(raw)
    (problem,) = verify(tmp_path / "data", rebuild=False, report=silent).problems
    assert path.name in problem
    path = min((tmp_path / "cut").glob("archive/*/*/*/*.zst"))
    path.write_bytes(path.read_bytes()[:-3])
    problems = verify(tmp_path / "cut", rebuild=False, report=silent).problems
    assert len(problems) == 2
    assert all(path.name in problem for problem in problems)
