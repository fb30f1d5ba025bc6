from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from storage.reserve import RETRY, Reserve


class Clock:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        patch.setattr("storage.reserve.time.monotonic", lambda: self.now)


def test_the_space_is_really_taken_and_given_back(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 1 << 20)
    assert not reserve.held
    assert reserve.ensure()
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 1 << 20
    reserve.release()
    assert not reserve.held
    assert (tmp_path / "reserve").stat().st_blocks == 0


def test_a_smaller_reserve_gives_back_the_rest(tmp_path: Path) -> None:
    assert Reserve(tmp_path / "reserve", 1 << 20).ensure()
    assert Reserve(tmp_path / "reserve", 4096).ensure()
    assert (tmp_path / "reserve").stat().st_size == 4096


def test_no_reserve_is_held_at_once(tmp_path: Path) -> None:
    assert Reserve(tmp_path / "reserve", 0).ensure()


def test_without_room_it_is_not_held_and_tried_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    tries = []
    room = False

    def allocate(fd: int, start: int, size: int) -> None:
        tries.append(size)
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd, start, size)

    real = os.posix_fallocate
    monkeypatch.setattr("storage.reserve.os.posix_fallocate", allocate)
    reserve = Reserve(tmp_path / "reserve", 4096)
    assert not reserve.ensure()
    assert not reserve.ensure()
    assert len(tries) == 1
    room = True
    clock.now += RETRY
    assert reserve.ensure()
    assert reserve.held


def test_what_was_released_is_not_taken_back_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    reserve = Reserve(tmp_path / "reserve", 4096)
    reserve.ensure()
    reserve.release()
    assert not reserve.ensure()
    clock.now += RETRY
    assert reserve.ensure()
