"""Files that get their names together: bytes before names, all or an error, no descriptor left open."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from storage import publish as publish_module
from storage.blockwrite import sync_now
from storage.publish import Unpublished, publish


class Seen:
    """What was synced and renamed, in order: names of files and folders."""

    def __init__(self, patch: pytest.MonkeyPatch, fails: str = "") -> None:
        self.steps: list[tuple[str, str]] = []
        self._fails = fails
        self._sync, self._rename = os.fsync, Path.rename
        patch.setattr("storage.publish.os.fsync", self._synced)

        def rename(path: Path, to: Path) -> Path:
            return self._renamed(path, to)

        patch.setattr("storage.publish.Path.rename", rename)

    def _synced(self, fd: int) -> None:
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        if name == self._fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._sync(fd)
        self.steps.append(("sync", name))

    def _renamed(self, path: Path, to: Path) -> Path:
        if to.name == self._fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.steps.append(("rename", to.name))
        return self._rename(path, to)


def write(files: Unpublished, final: Path) -> None:
    final.parent.mkdir(exist_ok=True)
    with files.temporary(final).open("wb") as file:
        file.write(final.name.encode())
        file.flush()
        files.sync_later(file.fileno())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_all_bytes_are_durable_before_the_first_name_and_all_names_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(publish_module, "MOST_OPEN", 16)
    before, seen = open_files(), Seen(monkeypatch)
    with Unpublished() as files:
        for number in range(count):
            write(files, tmp_path / f"d{number % 3}" / f"{number}.parquet")
        assert open_files() - before <= 16
        files.publish([tmp_path])
        assert len(files) == count
    assert open_files() == before
    synced, renamed, folders = seen.steps[:count], seen.steps[count : 2 * count], seen.steps[2 * count :]
    assert sorted(synced) == sorted(("sync", f"{number}.tmp") for number in range(count))
    assert renamed == [("rename", f"{number}.parquet") for number in range(count)]
    assert sorted(folders) == sorted(
        ("sync", name) for name in [tmp_path.name, *(f"d{at}" for at in range(min(3, count)))]
    )
    assert all(path.read_bytes() == path.name.encode() for path in tmp_path.glob("*/*.parquet"))
    assert not list(tmp_path.glob("*/*.tmp"))


@pytest.mark.parametrize("fails", ["3.tmp", "4.parquet", "d1"])
def test_what_fails_is_told_and_all_names_that_there_may_be_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    before, seen = open_files(), Seen(monkeypatch, fails)
    with Unpublished() as files:
        for number in range(7):
            write(files, tmp_path / f"d{number % 3}" / f"{number}.parquet")
        with pytest.raises(OSError, match=r"error|space"):
            files.publish([])
    assert open_files() == before
    named = [name for what, name in seen.steps if what == "rename"]
    assert len(named) == {"3.tmp": 0, "4.parquet": 4, "d1": 7}[fails]
    assert set(tmp_path.glob("*/*")) <= set(files.paths)


def test_one_file_is_published_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(monkeypatch)
    final = tmp_path / "a.parquet"
    with final.with_suffix(".tmp").open("wb") as file:
        sync_now(file.fileno())
    publish(final.with_suffix(".tmp"), final)
    assert seen.steps == [("sync", "a.tmp"), ("rename", "a.parquet"), ("sync", tmp_path.name)]
