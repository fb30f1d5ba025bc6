"""The collector of a server, and `weir collect` as a command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway.weir_command import weir
from tests.server import ServerProcess, wait_until


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def server(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    args = ["--set", f"collector.paths={logs}/inside*.log", "--set", "collector.labels=job=inside"]
    args += ["--set", "collector.scan=50ms", "--set", "collector.poll=20ms", "--set", "collector.batch_wait=20ms"]
    args += ["--set", "limits.max_line_size=100B", "--set", "limits.max_line_size_truncate=false"]
    with ServerProcess(tmp_path_factory.mktemp("server") / "data", *args) as running:
        yield running


def lines(server: ServerProcess, selector: str) -> list[str]:
    params = {"query": selector, "limit": "1000", "direction": "forward", "since": "1h"}
    answer = httpx.get(f"{server.url}/loki/api/v1/query_range", params=params, timeout=60)
    assert answer.status_code == 200, answer.text
    found = [(ts, line) for each in answer.json()["data"]["result"] for ts, line in each["values"]]
    return [line for _, line in sorted(found)]


def figure(server: ServerProcess, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", httpx.get(f"{server.url}/metrics", timeout=60).text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def test_a_server_stores_the_files_of_its_machine_and_goes_on_after_a_kill(server: ServerProcess, logs: Path) -> None:
    log = logs / "inside.log"
    log.write_text("level=error one\n" + "x" * 200 + "\ntwo\n")
    assert wait_until(lambda: lines(server, '{job="inside"}') == ["level=error one", "two"])
    assert lines(server, '{job="inside"} | detected_level="error"') == ["level=error one"]
    assert wait_until(lambda: figure(server, "weir_collector_batches_total") == 1)
    assert figure(server, "weir_collector_lines_total") == 3
    assert figure(server, "weir_collector_refused_lines_total") == 1
    assert figure(server, "weir_collector_running") == 1
    server.kill()
    with log.open("a") as file:
        file.write("three\n")
    server.start()
    assert wait_until(lambda: lines(server, '{job="inside"}') == ["level=error one", "two", "three"])
    server.stop()
    server.start()
    assert wait_until(lambda: figure(server, "weir_collector_files") == 1)
    assert lines(server, '{job="inside"}') == ["level=error one", "two", "three"]


def test_the_command_stores_what_is_there_once(server: ServerProcess, logs: Path, tmp_path: Path) -> None:
    (logs / "a.txt").write_text("one\ntwo\n")
    command = ["collect", f"{logs}/*.txt", "--to", server.url, "--state", str(tmp_path / "state"), "--once"]
    command += ["--label", "job=command", "--label", "host="]
    done = weir(*command)
    assert (done.returncode, done.stderr) == (0, "weir: stored 2 lines of 8 B that were read\n")
    assert lines(server, '{job="command", host=""}') == ["one", "two"]
    again = weir(*command)
    assert (again.returncode, again.stderr) == (0, "weir: stored 0 lines of 0 B that were read\n")


def test_what_is_refused_is_told_and_what_is_wrong_ends_the_command(
    server: ServerProcess, logs: Path, tmp_path: Path
) -> None:
    (logs / "long.txt2").write_text("short\n" + "y" * 200 + "\n")
    command = ["collect", "--to", server.url, "--state", str(tmp_path / "state"), "--once", "--label", "job=long"]
    done = weir(*command, f"{logs}/*.txt2")
    assert done.returncode == 4
    assert "stored 1 lines of 207 B that were read; the server refused 1" in done.stderr
    assert lines(server, '{job="long"}') == ["short"]
    assert weir(*command).returncode == 2
    assert weir(*command, "x", "--multiline", "(").returncode == 2
    assert weir(*command, "x", "--label", "=").returncode == 2
    assert weir("collect", "x", "--to", "nowhere").returncode == 2
