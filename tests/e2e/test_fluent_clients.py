"""Real senders of Fluent Forward, and what is stored of what they sent. Those from npm need `make test-node`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.readback import HERE, Stored, run_client, stored
from tests.server import ServerProcess, running_server, wait_until

LINES = [
    "cart opened",
    "order 17 placed by Jürgen 日本 😀",
    'a "quoted" <tag> & a \\ backslash',
    "order failed\n    at line two",
]
MODES = ["Message", "Forward", "PackedForward", "CompressedPackedForward"]
SECURITY = {"WEIR_FORWARD__SHARED_KEY": "s3cret", "WEIR_FORWARD__USERS": "bob:pw"}


@pytest.fixture
def forward(tmp_path: Path) -> Iterator[ServerProcess]:
    with running_server(tmp_path / "data", "--forward", "127.0.0.1:0") as process:
        yield process


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[ServerProcess]:
    with running_server(tmp_path / "data", "--forward", "127.0.0.1:0", env=SECURITY) as process:
        yield process


def port_of(server: ServerProcess) -> str:
    found = re.search(r"forward=127\.0\.0\.1:(\d+)", server.log_text)
    assert found is not None
    return found[1]


def metric(server: ServerProcess, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def entries(server: ServerProcess, tag: str, count: int) -> list[Stored]:
    """Entries of one tag. Senders without acknowledgements are done before their last event has come."""
    query = f'{{job="fluent"}} | fluent_tag="{tag}"'
    assert wait_until(lambda: len(stored(server.url, query)) >= count)
    return stored(server.url, query)


def check(server: ServerProcess) -> None:
    found = entries(server, "shop.web", 4)
    assert sorted(entry.line for entry in found) == sorted(LINES)
    assert {entry.metadata["detected_level"] for entry in found} == {"debug", "info", "warn", "error"}
    assert "level=warn" not in server.log_text


def test_fluent_logger_of_pypi(forward: ServerProcess) -> None:
    run = run_client([sys.executable, "python/push_fluent_logger.py", port_of(forward)])
    check(forward)
    assert [entry.line for entry in entries(forward, "shop.web", 4)] == LINES
    assert all(run.began <= entry.ts <= run.ended for entry in entries(forward, "shop.web", 4))
    found = entries(forward, "shop.logging", 2)
    assert {entry.line for entry in found} == {"a plain message", "a message in a dict"}
    assert {entry.metadata["where"] for entry in found} == {"orders"}


def push(script: str, server: ServerProcess, *args: str) -> None:
    modules = HERE / "npm" / "node_modules"
    assert modules.is_dir(), "the npm packages are not installed: run `make test-node`, which does it"
    assert run_client(["node", f"npm/{script}", port_of(server), *args]).stdout.endswith("done\n")


@pytest.mark.node
@pytest.mark.parametrize(
    ("script", "mode"),
    [
        *(("push_fluent.mjs", mode) for mode in MODES if mode != "Forward"),  # which it has not
        *(("push_fluent_org.mjs", mode) for mode in MODES),
    ],
)
@pytest.mark.parametrize("ack", ["plain", "ack"])
def test_the_loggers_of_npm(forward: ServerProcess, script: str, mode: str, ack: str) -> None:
    push(script, forward, mode, ack)
    check(forward)
    if ack == "ack":
        assert metric(forward, "weir_forward_acks_total") >= 1


@pytest.mark.node
@pytest.mark.parametrize("script", ["push_fluent.mjs", "push_fluent_org.mjs"])
def test_the_loggers_of_npm_shake_hands(secured: ServerProcess, script: str) -> None:
    push(script, secured, "PackedForward", "ack", "s3cret")
    check(secured)
