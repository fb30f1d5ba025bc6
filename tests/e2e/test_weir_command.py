"""The `weir` command against a real server: what its exit codes and texts promise."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests.gateway.weir_command import weir
from tests.server import ServerProcess, running_server

SECOND = 1_000_000_000
FIXTURES = Path(__file__).parent.parent / "config" / "fixtures"


def push(server: ServerProcess, entries: list[tuple[dict[str, str], int, str]]) -> None:
    streams = [{"stream": labels, "values": [[str(ts), line]]} for labels, ts, line in entries]
    response = httpx.post(f"{server.url}/loki/api/v1/push", json={"streams": streams})
    assert response.status_code == 204, response.text


def test_lines_pushed_are_printed(server: ServerProcess) -> None:
    now = time.time_ns()
    push(server, [({"app": "web"}, now, "second"), ({"app": "web"}, now - SECOND, "first")])
    done = weir("query", '{app="web"}', "-o", "raw", "--addr", server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "second\nfirst\n", "")
    done = weir("query", '{app="web"} |= "fir"', "-o", "jsonl", "--addr", server.url)
    assert json.loads(done.stdout)["labels"]["app"] == "web"


def test_labels_and_series_are_printed(server: ServerProcess) -> None:
    now = time.time_ns()
    push(server, [({"app": "web", "env": "prod"}, now, "x"), ({"app": "api", "env": "prod"}, now, "y")])
    assert weir("labels", "--addr", server.url).stdout == "app\nenv\nservice_name\n"
    assert weir("labels", "app", "--addr", server.url).stdout == "api\nweb\n"
    assert weir("series", '{app="api"}', "--addr", server.url).stdout == (
        '{app="api", env="prod", service_name="api"}\n'
    )


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_download_in_pages_has_every_line_once_in_memory_and_in_blocks(server: ServerProcess, direction: str) -> None:
    start = time.time_ns() // SECOND * SECOND - 600 * SECOND
    # Runs of equal timestamps over two streams, longer than a page now and then.
    entries = [({"app": f"a{number % 2}"}, start + number // 25 * SECOND, f"line {number}") for number in range(200)]
    push(server, entries)
    args = ["query", '{app=~"a."}', "--limit", "0", "--batch", "7", "--direction", direction, "-o", "raw"]
    in_memory = weir(*args, "--addr", server.url)
    assert in_memory.returncode == 0, in_memory.stderr
    assert sorted(in_memory.stdout.splitlines()) == sorted(line for _, _, line in entries)
    assert httpx.post(f"{server.url}/flush", timeout=60).status_code == 204
    assert weir(*args, "--addr", server.url).stdout == in_memory.stdout


def test_what_the_server_refuses_is_1_with_its_text(server: ServerProcess) -> None:
    done = weir("query", '{app="web"', "--addr", server.url)
    assert done.returncode == 1
    assert "parse error at line 1, col 11" in done.stderr
    done = weir("query", '{app="web"}', "--limit", "6000", "--batch", "6000", "--addr", server.url)
    assert done.returncode == 1
    assert "max entries limit per query exceeded" in done.stderr


def test_a_server_that_is_gone_is_3(server: ServerProcess) -> None:
    assert server.stop() == 0
    done = weir("labels", "--addr", server.url)
    assert done.returncode == 3
    assert server.url in done.stderr


def test_more_equal_timestamps_than_the_server_gives_at_once_is_4(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--set", "limits.max_entries_limit_per_query=20") as server:
        now = time.time_ns()
        push(server, [({"app": "web"}, now, f"line {number}") for number in range(30)])
        done = weir("query", '{app="web"}', "--limit", "0", "--batch", "20", "-o", "raw", "--addr", server.url)
    assert done.returncode == 4
    assert len(set(done.stdout.splitlines())) == 20
    assert "max entries limit per query exceeded" in done.stderr


def test_serve_on_a_port_that_is_taken_is_1_and_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = weir("serve", "--data-dir", str(tmp_path / "data"), "--http", address)
    assert done.returncode == 1
    assert address in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_verify_passes_what_a_server_left(server: ServerProcess) -> None:
    push(server, [({"app": "web"}, time.time_ns(), "in a block")])
    assert httpx.post(f"{server.url}/flush", timeout=60).status_code == 204
    push(server, [({"app": "web"}, time.time_ns(), "in the log")])
    assert server.stop() == 0
    for args in ([], ["--rebuild"]):
        done = weir("verify", "--data-dir", str(server.data_dir), *args)
        assert (done.returncode, done.stderr) == (0, "")
        assert "1 blocks: 2 entries" in done.stdout


def test_verify_of_a_directory_in_use_is_1(server: ServerProcess) -> None:
    done = weir("verify", "--data-dir", str(server.data_dir))
    assert done.returncode == 1
    assert str(server.pid) in done.stderr


def test_verify_of_a_damaged_block_is_1_and_names_it(server: ServerProcess) -> None:
    push(server, [({"app": "web"}, time.time_ns(), "x" * 5000)])
    assert httpx.post(f"{server.url}/flush", timeout=60).status_code == 204
    assert server.stop() == 0
    (block,) = server.data_dir.glob("blocks/**/*.parquet")
    data = block.read_bytes()
    block.write_bytes(data[: len(data) // 2])
    done = weir("verify", "--data-dir", str(server.data_dir))
    assert done.returncode == 1
    assert block.name in done.stderr


def test_flags_go_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "weir.yml"
    config.write_text("data_dir: from-file\nserver:\n  shutdown_timeout: 11s\nlog:\n  level: warn\n")
    env = {"WEIR_DATA_DIR": "from-env", "WEIR_SERVER__SHUTDOWN_TIMEOUT": "12s"}
    done = weir("config", "show", "--config", str(config), "--set", "data_dir=from-flag", env=env)
    shown = yaml.safe_load(done.stdout)
    assert (shown["data_dir"], shown["server"]["shutdown_timeout"], shown["log"]["level"]) == (
        "from-flag",
        "12s",
        "warn",
    )


def test_what_config_show_prints_is_a_valid_file(tmp_path: Path) -> None:
    shown = weir("config", "show", "--profile", "small").stdout
    config = tmp_path / "weir.yml"
    config.write_text(shown)
    assert weir("config", "check", "--config", str(config)).returncode == 0
    assert weir("config", "show", "--config", str(config)).stdout == shown


def test_a_loki_file_is_checked_and_what_it_says_in_vain_is_listed() -> None:
    done = weir("config", "check", "--config", str(FIXTURES / "loki-fragment.yaml"))
    assert done.returncode == 0, done.stderr
    assert "schema_config" in done.stdout


def test_a_query_is_explained_in_memory_and_in_blocks(server: ServerProcess) -> None:
    now = time.time_ns()
    entries = [({"app": "web"}, now - number * 1_000_000, f'{{"n":{number}}}') for number in range(50)]
    push(server, [*entries, ({"app": "db"}, now, "x")])
    assert httpx.post(f"{server.url}/flush", timeout=60).status_code == 204
    push(server, [({"app": "web"}, now, '{"n":50}')])
    query = ["query", 'sum(count_over_time({app="web"} | json | n > 40 [1h]))', "-o", "none", "--explain"]
    done = weir(*query, "--addr", server.url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "| json columns looks for n" in lines
    assert "Streams 1 of 2 match" in lines
    assert {"1 read: of blocks", "1 read: of memory"} <= set(lines)
    assert "matched by streams and time 51" in lines
    assert "came through 10" in lines

    done = weir("query", '{app="web"}', "--limit", "1", "-o", "raw", "--explain", "--addr", server.url)
    assert done.stdout == '{"n":50}\n'
    assert 'Query     {app="web"}' in done.stderr
    done = weir("query", "count_over_time({}[5m])", "--explain", "--addr", server.url)
    assert done.returncode == 1
