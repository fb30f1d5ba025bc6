"""`weir volume` and `weir stats` against a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.gateway.weir_command import weir
from tests.server import ServerProcess, running_server

SECOND = 10**9
NOON = time.time_ns() // (600 * SECOND) * 600 * SECOND - 1200 * SECOND


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("volumes") / "data") as running:
        streams = [
            {"stream": {"app": app, "pod": pod}, "values": [[str(NOON + n * SECOND), "x" * size] for n in range(101)]}
            for app, pod, size in (("web", "p1", 30), ("web", "p2", 50), ("api", "p1", 10))
        ]
        httpx.post(f"{running.url}/loki/api/v1/push", json={"streams": streams}).raise_for_status()
        yield running


def ask(server: ServerProcess, *args: str) -> list[str]:
    window = ("--from", str(NOON), "--to", str(NOON + 600 * SECOND))
    done = weir(*args, *window, "--addr", server.url)
    assert (done.returncode, done.stderr) == (0, ""), done
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_volumes_are_printed_with_the_largest_first(server: ServerProcess) -> None:
    # Beside the lines 8 bytes a pair of metadata, and the level once: detected_level, unknown.
    assert ask(server, "volume", "--by", "app") == ['9.5 KiB {app="web"}', '1.8 KiB {app="api"}']
    assert ask(server, "volume", '{app="web"}', "--by", "pod", "--limit", "1") == ['5.7 KiB {pod="p2"}']
    assert ask(server, "volume", "--labels", "--by", "app", "--by", "pod") == ["11.3 KiB app", "11.3 KiB pod"]
    assert len(ask(server, "volume")) == 3
    (result,) = json.loads("".join(ask(server, "volume", '{app="api"}', "--json")))
    assert result["value"][1] == str(101 * 18 + 21)


def test_volumes_by_steps_are_printed_with_their_times(server: ServerProcess) -> None:
    lines = ask(server, "volume", '{app="web"}', "--step", "50s")
    assert len(lines) == 3
    assert all(line.endswith('{app="web"}') and line[:2] == "20" for line in lines)


def test_stats_are_printed(server: ServerProcess) -> None:
    found = ask(server, "stats", '{app="web"}')
    assert [line.split()[0] for line in found] == ["Streams", "Chunks", "Bytes", "Entries"]
    assert (found[0], found[3]) == ("Streams 2", "Entries 202")
    (line,) = ask(server, "stats", '{app="web"}', "--json")
    assert json.loads(line)["entries"] == 202


def test_what_cannot_be_asked_is_said(server: ServerProcess) -> None:
    done = weir("volume", "{", "--addr", server.url)
    assert done.returncode != 0
    assert "parse error" in done.stderr
    assert weir("volume", "--step", "x", "--addr", server.url).returncode != 0
