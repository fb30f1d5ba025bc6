from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.errors import DirectoryLocked, StorageError
from storage.lock import DirectoryLock, read_origin

_HOLD = """
import sys
from pathlib import Path
from storage.lock import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "new")
    with pytest.raises(DirectoryLocked, match=rf"process {os.getpid()} \(since .*Z\)"):
        DirectoryLock(tmp_path / "new")
    lock.release()
    DirectoryLock(tmp_path / "new").release()


def test_the_lock_of_a_process_that_is_killed_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryLocked, match=f"process {other.pid}"):
            DirectoryLock(tmp_path)
        other.kill()
        other.wait()
    DirectoryLock(tmp_path).release()


def test_an_origin_is_made_once(tmp_path: Path) -> None:
    origin = read_origin(tmp_path)
    assert len(origin) == 16
    assert read_origin(tmp_path) == origin
    assert (tmp_path / "origin").read_text() == origin.hex() + "\n"
    other = tmp_path / "other"
    other.mkdir()
    assert read_origin(other) != origin


@pytest.mark.parametrize("text", [b"", b"1234", b"\xff" * 32, b"g" * 32])
def test_a_damaged_origin_is_told_and_kept(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "origin").write_bytes(text)
    with pytest.raises(StorageError, match="origin"):
        read_origin(tmp_path)
    assert (tmp_path / "origin").read_bytes() == text
