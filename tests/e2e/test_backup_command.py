"""`weir backup`, `restore` and `verify` as a shell sees them: exit codes, texts, a bar on a terminal."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pytest

from tests.gateway.weir_command import on_terminal, weir
from tests.server import ServerProcess, running_server

SECOND = 1_000_000_000


@pytest.fixture
def left(server: ServerProcess) -> Path:
    """What a server that was stopped left: one entry in a block, one in the log."""
    _push(server, "in a block")
    assert httpx.post(f"{server.url}/flush", timeout=60).status_code == 204
    _push(server, "in the log")
    assert server.stop() == 0
    return server.data_dir


def _push(server: ServerProcess, line: str) -> None:
    streams = [{"stream": {"app": "web"}, "values": [[str(time.time_ns()), line]]}]
    assert httpx.post(f"{server.url}/loki/api/v1/push", json={"streams": streams}).status_code == 204


def test_the_way_there_and_back(server: ServerProcess, tmp_path: Path) -> None:
    _push(server, "in a block")
    assert httpx.post(f"{server.url}/flush", timeout=60).status_code == 204
    _push(server, "in the log")
    backup, again = tmp_path / "backups" / "one", tmp_path / "again"
    done = weir("backup", str(backup), "--data-dir", str(server.data_dir))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"B, 1 blocks, 1 of them linked, \d WAL segments\n$", done.stdout), done.stdout
    _push(server, "too late")
    done = weir("verify", "--data-dir", str(backup))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^backup of 20\S+Z: read .* and 1 blocks: 2 entries\n$", done.stdout), done.stdout
    done = weir("restore", str(backup), "--data-dir", str(again))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(rf"^backup of 20\S+Z: .*B, 1 blocks, \d WAL segments\nrestored to {again}\n$", done.stdout)
    with running_server(again) as other:
        found = weir("query", '{app="web"}', "-o", "raw", "--direction", "forward", "--addr", other.url)
    assert found.stdout == "in a block\nin the log\n"


def test_a_data_directory_that_is_none_is_2_or_1(tmp_path: Path) -> None:
    done = weir("backup", str(tmp_path / "b"), "--data-dir", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "there is no data directory" in done.stderr
    (tmp_path / "empty").mkdir()
    done = weir("backup", str(tmp_path / "b"), "--data-dir", str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "is not a data directory of Weir" in done.stderr
    assert not (tmp_path / "b").exists()


def test_what_cannot_be_is_1_and_says_why(left: Path, server: ServerProcess, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert weir("backup", str(backup), "--data-dir", str(left)).returncode == 0
    for args, says in [
        (["backup", str(backup), "--data-dir", str(left)], "is not empty"),
        (["backup", str(left / "b"), "--data-dir", str(left)], "inside of the data directory"),
        (["backup", "/proc/weir", "--data-dir", str(left)], "the backup failed: "),
        (["restore", str(backup), "--data-dir", str(left)], "it holds blocks/"),
        (["restore", str(left), "--data-dir", str(tmp_path / "again")], "is no backup"),
        (["restore", str(tmp_path / "nowhere"), "--data-dir", str(tmp_path / "again")], "there is no folder"),
        (["verify", "--data-dir", str(backup), "--rebuild"], "is a backup"),
    ]:
        done = weir(*args)
        assert done.returncode == 1, args
        assert says in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "again").exists()
    server.start()
    done = weir("restore", str(backup), "--data-dir", str(left))
    assert done.returncode == 1
    assert f"in use by weir process {server.pid}" in done.stderr


def test_a_damaged_backup_is_1_and_4_when_it_is_wanted_all_the_same(left: Path, tmp_path: Path) -> None:
    backup, again = tmp_path / "backup", tmp_path / "again"
    assert weir("backup", str(backup), "--data-dir", str(left)).returncode == 0
    (block,) = backup.glob("blocks/*/*/*.parquet")
    block.unlink()
    done = weir("verify", "--data-dir", str(backup))
    assert done.returncode == 1
    assert f"{block.name} is missing" in done.stderr
    done = weir("restore", str(backup), "--data-dir", str(again))
    assert done.returncode == 1
    assert "Nothing was restored" in done.stderr
    done = weir("restore", str(backup), "--data-dir", str(again), "--allow-damage")
    assert done.returncode == 4
    assert f"{block.name} is missing" in done.stderr
    with running_server(again) as other:
        assert weir("query", '{app="web"}', "-o", "raw", "--addr", other.url).stdout == "in the log\n"


def test_a_terminal_sees_a_bar_and_then_the_result(left: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    for args, what in [
        (["backup", str(backup), "--data-dir", str(left)], "backed up"),
        (["verify", "--data-dir", str(backup)], "checked"),
        (["restore", str(backup), "--data-dir", str(tmp_path / "again")], "restored"),
        (["verify", "--data-dir", str(tmp_path / "again")], "checked"),
    ]:
        code, screen = on_terminal(*args, env={"TERM": "xterm", "COLUMNS": "120"})
        assert code == 0, screen
        plain = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", screen)
        assert re.search(rf"[1-9][0-9.]*/[0-9.]+ KiB {what} ━+ 0:00:00 \S", plain), screen
