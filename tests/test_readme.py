"""What README promises: its shell blocks run against a real server, its files exist, its configuration is valid."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.server import ServerProcess, running_server, wait_until

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("readme") / "data") as process:
        yield process


def run(server: ServerProcess, script: str) -> str:
    bin_folder = str(Path(sys.executable).parent)
    script = script.replace("http://127.0.0.1:3100", server.url).replace(".venv/bin/weir", f"{bin_folder}/weir")
    done = subprocess.run(
        ["sh", "-ec", script], capture_output=True, text=True, check=False, env={**os.environ, "TZ": "UTC"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    assert re.findall(r"^make (\w+)", blocks("sh")[0], re.MULTILINE) == ["run", "test"]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"run", "test"} <= set(targets)


def test_a_line_pushed_with_curl_comes_back(server: ServerProcess) -> None:
    answer = run(server, blocks("sh")[1])
    assert "HTTP/1.1 204" in answer
    lines, counts = (json.loads(text)["data"] for text in answer.split("\n") if text.startswith('{"status"'))
    assert lines["result"][0]["stream"]["order"] == "4711"
    assert lines["result"][0]["values"][0][1] == "payment failed: card expired"
    assert (counts["resultType"], counts["result"][0]["metric"]) == ("vector", {"app": "shop"})


def test_the_command_line_finds_it_too(server: ServerProcess) -> None:
    run(server, blocks("sh")[1])
    answer = run(server, blocks("sh")[2])
    assert "payment failed: card expired" in answer
    assert "service_name" in answer


def test_a_line_by_hand_is_taken_and_the_server_is_well(server: ServerProcess) -> None:
    answer = run(server, blocks("sh")[3])
    assert "HTTP/1.1 202" in answer
    assert '"status":"accepted"' in answer
    assert '"status":"ok","service":"weir"' in answer
    found = run(server, ".venv/bin/weir query '{service_name=\"backup\"}' --since 1h --addr http://127.0.0.1:3100")
    assert "disk is 91 % full" in found


def test_what_comes_in_is_passed_on(server: ServerProcess, tmp_path: Path) -> None:
    names, _, command = blocks("sh")[4].partition(".venv/bin/weir serve")
    env = dict(re.findall(r"(\w+)=(\S+)", names))
    assert env["UPSTREAM_SERVER"] == "https://central.example.com"
    arguments = command.split()
    assert arguments[::2] == ["--http", "--data-dir", "--forward"]
    env |= {"UPSTREAM_SERVER": server.url, "UPSTREAM_BATCH_INTERVAL": "100ms"}
    with running_server(tmp_path / "edge", env=env) as edge:
        line = json.dumps({"level": "info", "service": "edge", "message": "passed on"})
        httpx.post(f"{edge.url}/log", content=line).raise_for_status()

        def arrived() -> bool:
            found = run(server, ".venv/bin/weir query '{service_name=\"edge\"}' --addr http://127.0.0.1:3100")
            return "passed on" in found

        assert wait_until(arrived)


def test_files_are_collected(server: ServerProcess, tmp_path: Path) -> None:
    found = re.search(r"`(weir collect) /var/log/\*\.log (--to http://127\.0\.0\.1:3100)`", README)
    assert found is not None
    (tmp_path / "web.log").write_text("collected from a file\n")
    run(server, f".venv/bin/{found[1]} '{tmp_path}/*.log' {found[2]} --state {tmp_path}/state --once")
    answer = run(server, ".venv/bin/weir query '{filename=~\".+\"}' --addr http://127.0.0.1:3100")
    assert "collected from a file" in answer


def test_the_grafana_provisioning_is_yaml_that_grafana_reads() -> None:
    (source,) = yaml.safe_load(blocks("yaml")[0])["datasources"]
    assert (source["type"], source["access"]) == ("loki", "proxy")


def test_every_linked_file_exists() -> None:
    for page in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert (ROOT / link).exists(), f"{page} links {link}"
