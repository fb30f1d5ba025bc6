"""`weir import` against a server: what lands there, what is refused, and each line once through kills of both."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway.weir_command import COMMAND, environment, on_terminal, weir
from tests.server import ServerProcess, running_server, wait_until

YEARS = {"start": "2000-01-01T00:00:00Z", "end": "2030-01-01T00:00:00Z"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    folder = tmp_path_factory.mktemp("import")
    # The same port after a restart.
    args = ["--http", f"127.0.0.1:{port}", "--set", "limits.max_line_size=1KB"]
    args += ["--set", "limits.max_query_length=0", "--set", "limits.max_entries_limit_per_query=100000"]
    with running_server(folder / "data", *args) as running:
        yield running


def lines_of(server: ServerProcess, selector: str) -> list[tuple[str, str, dict[str, str]]]:
    params = {"query": selector, "limit": "100000", "direction": "forward", **YEARS}
    answer = httpx.get(f"{server.url}/loki/api/v1/query_range", params=params, timeout=60)
    assert answer.status_code == 200, answer.text
    streams = answer.json()["data"]["result"]
    return sorted((ts, line, each["stream"]) for each in streams for ts, line in each["values"])


def test_a_folder_of_logs_of_years_ago_is_there_afterwards(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "old.log").write_text("2009-02-03 04:05:06 one\n  trace\n2009-02-03 04:05:06 one\n")
    (tmp_path / "new.log").write_text("2019-02-03 04:05:06 two\n")
    done = weir("import", str(tmp_path), "--to", server.url, "--label", "job=years")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "stored 4 lines of 2 files, 80 B\n"
    found = lines_of(server, '{job="years"}')
    assert [(ts, line) for ts, line, _ in found] == [
        ("1233633906000000000", "2009-02-03 04:05:06 one"),
        ("1233633906000000001", "  trace"),
        ("1233633906000000002", "2009-02-03 04:05:06 one"),
        ("1549166706000000000", "2019-02-03 04:05:06 two"),
    ]
    assert found[0][2]["filename"] == str(tmp_path / "old.log")
    with (tmp_path / "new.log").open("a") as file:
        file.write("2019-02-03 04:05:07 three\n")
    again = weir("import", str(tmp_path), "--to", server.url, "--label", "job=years")
    assert again.stdout == "stored 1 lines of 2 files, 26 B; 4 lines were imported before\n"


def test_lines_that_the_server_refuses_are_named_and_kept(server: ServerProcess, tmp_path: Path) -> None:
    lines = [json.dumps({"ts": str(10**18 + at), "labels": {"job": "refused"}, "line": f"l{at}"}) for at in range(50)]
    lines[20] = json.dumps({"ts": str(10**18), "labels": {"job": "refused"}, "line": "x" * 2000})
    lines[30] = '{"ts":"never","labels":{"job":"refused"},"line":"y"}'
    (tmp_path / "a.ndjson").write_text("\n".join(lines))
    kept = tmp_path / "kept"
    done = weir("import", str(tmp_path / "a.ndjson"), "--to", server.url, "--rejected", str(kept))
    assert done.returncode == 4
    assert done.stdout.startswith("stored 48 lines of 1 file")
    assert "lines not stored: 2\n" in done.stderr
    assert "1: 'never' is no time\n" in done.stderr
    assert "max entry size" in done.stderr.lower()
    records = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [record["line"] for record in records] == [lines[30], "x" * 2000]
    assert records[1]["labels"] == {"job": "refused"}
    assert len(lines_of(server, '{job="refused"}')) == 48


def test_a_dry_run_shows_what_would_be_and_sends_nothing(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("06.05.2024 07:08:09 up\n" * 20)
    args = ["--time-format", "%d.%m.%Y %H:%M:%S", "--zone", "Europe/Berlin", "-l", "job=dry", "--filename-label", ""]
    done = weir("import", str(tmp_path / "a.log"), "--to", server.url, "--dry-run", *args)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == '2024-05-06T05:08:09Z {job="dry"} 06.05.2024 07:08:09 up'
    assert len(done.stdout.splitlines()) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]
    assert lines_of(server, '{job="dry"}') == []


def test_stdin_and_a_terminal(server: ServerProcess, tmp_path: Path) -> None:
    command = [*COMMAND, "import", "-", "--to", server.url, "-l", "job=stdin"]
    done = subprocess.run(
        command, env=environment(), input=b"2019-02-03 04:05:06 in\n", capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"stored 1 lines of 1 file, 23 B\n", b"")
    assert [line for _, line, _ in lines_of(server, '{job="stdin"}')] == ["2019-02-03 04:05:06 in"]
    (tmp_path / "a.log").write_text("2019-02-03 04:05:06 in\n")
    code, seen = on_terminal("import", str(tmp_path / "a.log"), "--to", server.url, "-l", "job=terminal")
    assert (code, "stored 1 lines" in seen) == (0, True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["none.log"], "cannot read"),
        (["pyproject.toml", "--label", "x"], "say NAME=VALUE"),
        (["pyproject.toml", "--label", "a b=c"], "'a b' is not a label's name"),
        (["pyproject.toml", "--zone", "Mars/Olympus"], "there is no time zone"),
        (["pyproject.toml", "--encoding", "utf-16"], "a newline is more than a byte"),
        (["pyproject.toml", "--encoding", "none"], "there is no encoding"),
        (["pyproject.toml", "--state", "/none"], "there is no folder"),
        (["pyproject.toml", "--time-format", "%Q"], "there is no %Q"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(args: list[str], said: str) -> None:
    done = weir("import", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_each_line_is_stored_once_through_kills_of_client_and_server(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    lines = [f"{1_500_000_000 + number} line {number} {'x' * 100}" for number in range(9_000)]
    path.write_text("\n".join(lines))
    command = [*COMMAND, "import", str(path), "--to", server.url, "-l", "job=kills", "--batch-lines", "100"]
    state = tmp_path / "a.log.weir-import"

    def acknowledged() -> int:
        return state.read_bytes().count(b"\n") if state.exists() else 0

    def killed_after(batches: int, *, server_too: bool) -> None:
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # A run writes its state anew as one line, then adds one for each batch.
            assert wait_until(lambda: process.poll() is not None or acknowledged() >= batches)
            if server_too:
                server.kill()
                server.start()
                before = acknowledged()
                assert wait_until(lambda: process.poll() is not None or acknowledged() > before)
        finally:
            process.kill()
            process.wait()

    killed_after(3, server_too=False)
    killed_after(7, server_too=True)
    killed_after(5, server_too=False)
    done = subprocess.run(command, env=environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    found = lines_of(server, '{job="kills"}')
    assert [line for _, line, _ in found] == lines
