"""One server a data directory: a second one ends and names the first."""

from __future__ import annotations

import time
from pathlib import Path

from tests.crash.traffic import Connection, Line, push_body, read_lines
from tests.server import ServerProcess, running_server

NOW = time.time_ns()


def test_a_second_server_ends_with_1_naming_the_first_which_goes_on(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as first:
        second = ServerProcess(tmp_path / "data").launch()
        assert second.wait() == 1
        assert f"process {first.pid}" in second.log_text
        assert str(tmp_path / "data") in second.log_text
        assert "Traceback" not in second.log_text
        _still_serves(first, "after the second")


def test_a_killed_server_leaves_no_lock(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data").start()
    server.kill()
    with server:
        _still_serves(server, "after the kill")


def _still_serves(server: ServerProcess, text: str) -> None:
    with Connection(server.url) as connection:
        assert connection.push(push_body([Line((("job", "lock"),), NOW, text)])).status == 204
    assert read_lines(server.url, '{job="lock"}', NOW, NOW + 1) == {text: 1}
