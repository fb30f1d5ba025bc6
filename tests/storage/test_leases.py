"""Files that have gone from the view are removed once nobody can be reading them."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.leases import Leases


def made(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(b"block")
    return path


def test_a_file_that_nobody_reads_goes_at_the_next_sweep(tmp_path: Path) -> None:
    leases, path = Leases(), made(tmp_path, "a")
    leases.remove_later(path)
    assert path.exists()
    assert leases.waiting == 1
    assert leases.sweep() == [path]
    assert not path.exists()
    assert leases.waiting == 0


def test_a_file_stays_as_long_as_someone_who_began_before_it_went(tmp_path: Path) -> None:
    leases, path = Leases(), made(tmp_path, "a")
    first, second = leases.begin(), leases.begin()
    leases.remove_later(path)
    assert leases.sweep() == []
    del first
    assert leases.sweep() == []
    del second
    assert leases.sweep() == [path]


def test_who_begins_after_a_file_went_does_not_hold_it(tmp_path: Path) -> None:
    leases, path = Leases(), made(tmp_path, "a")
    leases.remove_later(path)
    later = leases.begin()
    assert leases.sweep() == [path]
    del later


def test_each_file_waits_for_its_own_readers(tmp_path: Path) -> None:
    leases, first, second = Leases(), made(tmp_path, "a"), made(tmp_path, "b")
    leases.remove_later(first)
    between = leases.begin()
    leases.remove_later(second)
    assert leases.sweep() == [first]
    del between
    assert leases.sweep() == [second]


def test_a_file_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    leases = Leases()
    leases.remove_later(tmp_path / "gone")
    assert leases.sweep() == [tmp_path / "gone"]


def test_what_cannot_be_removed_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leases, folder = Leases(), tmp_path / "folder"
    folder.mkdir()
    leases.remove_later(folder)  # unlink of a folder fails
    assert leases.sweep() == []
    assert leases.waiting == 1
    assert "it is tried again" in caplog.text
    folder.rmdir()
    assert leases.sweep() == [folder]
