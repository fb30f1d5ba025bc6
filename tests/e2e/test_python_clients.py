"""The two logging handlers from PyPI. They share one module name, so each lives in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.readback import Run, Stored, run_client, stored
from tests.server import ServerProcess

PLAIN = ["cart opened", "order 17 placed by Jürgen 日本 😀", 'a "quoted" <tag> & a \\ backslash']
LEVELS = ["debug", "info", "warning", "error"]


def push(distribution: str, script: str, *args: str) -> Run:
    site = Path(sys.prefix) / "clients" / distribution
    assert site.is_dir(), f"{distribution} is not in {site}: `make test` installs it"
    return run_client([sys.executable, f"python/{script}", *args], {"PYTHONPATH": str(site)})


def check_lines(entries: Sequence[Stored], run: Run) -> None:
    assert [entry.line for entry in entries[:3]] == PLAIN
    failed = entries[3].line
    assert failed.startswith("order failed\nTraceback (most recent call last):\n")
    assert failed.endswith("RuntimeError: no such customer")
    assert len(entries) == 4
    assert [entry.stream["severity"] for entry in entries] == LEVELS
    assert {entry.stream["logger"] for entry in entries} == {"shop.orders"}
    assert all(run.began - 1_000 <= entry.ts <= run.ended for entry in entries)


@pytest.mark.parametrize(("version", "path"), [("0", "/api/prom/push"), ("1", "/loki/api/v1/push")])
def test_python_logging_loki(server: ServerProcess, version: str, path: str) -> None:
    run = push("python-logging-loki", "push_python_logging_loki.py", server.url + path, version)
    entries = stored(server.url, '{application="shop"}')
    check_lines(entries, run)
    assert entries[2].stream["zone_name"] == "eu-1"


@pytest.mark.parametrize("how", ["direct", "batch"])
def test_inuits_python_logging_loki(server: ServerProcess, how: str) -> None:
    url = f"{server.url}/loki/api/v1/push"
    run = push("inuits-python-logging-loki", "push_inuits_python_logging_loki.py", url, how)
    entries = stored(server.url, '{application="shop"}')
    check_lines(entries, run)
    labels = entries[2].stream
    assert (labels["zone"], labels["attempt"], labels["vip"]) == ("eu-1", "2", "null")


def test_what_a_library_pushed_is_there_after_a_kill(server: ServerProcess) -> None:
    url = f"{server.url}/loki/api/v1/push"
    run = push("inuits-python-logging-loki", "push_inuits_python_logging_loki.py", url, "direct")
    server.kill()
    server.start()
    check_lines(stored(server.url, '{application="shop"}'), run)
