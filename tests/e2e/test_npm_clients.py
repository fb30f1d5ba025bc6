"""The two loggers from npm. They need Node.js and `npm ci` in tests/e2e/npm: `make test-node` does both."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.e2e.readback import HERE, Run, Stored, run_client, stored
from tests.server import ServerProcess

pytestmark = pytest.mark.node

MILLISECOND = 1_000_000
"""What both cut their timestamps to, ns."""


def push(script: str, *args: str) -> Run:
    modules = HERE / "npm" / "node_modules"
    assert modules.is_dir(), "the npm packages are not installed: run `make test-node`, which does it"
    return run_client(["node", f"npm/{script}", *args])


@pytest.mark.parametrize("how", ["single", "batch"])
def test_pino_loki(server: ServerProcess, how: str) -> None:
    run = push("push_pino.mjs", server.url, how)
    found = by_level(stored(server.url, '{application="shop"}'), run)
    lines = {level: json.loads(entry.line) for level, entry in found.items()}
    assert {level: line["msg"] for level, line in lines.items()} == {
        "debug": "cart opened",
        "info": "order placed",
        "warning": 'a "quoted" <tag> & a \\ backslash',
        "error": "order failed",
    }
    assert found["info"].metadata["order"] == "17"
    assert found["info"].metadata["customer"] == "Jürgen 日本 😀"
    assert found["warning"].stream["zone"] == "eu-1"
    assert lines["error"]["err"]["message"] == "no such customer"


@pytest.mark.parametrize(
    ("how", "content_type"), [("json", "application/json"), ("protobuf", "application/x-protobuf")]
)
def test_winston_loki(server: ServerProcess, how: str, content_type: str) -> None:
    run = push("push_winston.mjs", server.url, how)
    assert run.stdout == f"{content_type}\n"
    found = by_level(stored(server.url, '{application="shop"}'), run)
    assert {level: entry.line for level, entry in found.items()} == {
        "debug": "debug: cart opened",
        "info": 'info: order placed {"customer":"Jürgen 日本 😀","order":17}',
        "warn": 'warn: a <tag> & a \\ backslash {"labels":{"zone":"eu-1"}}',
        "error": "error: order failed\n    at line two",
    }
    assert found["warn"].stream["zone"] == "eu-1"
    if how == "json":
        # Only winston-loki's JSON carries what else was logged, as structured metadata.
        assert found["info"].metadata["order"] == "17"
        assert found["info"].metadata["customer"] == "Jürgen 日本 😀"


def by_level(entries: Sequence[Stored], run: Run) -> dict[str, Stored]:
    """The four entries by their label `level`. They may share a millisecond, so that their order says nothing."""
    assert len(entries) == 4
    assert all(run.began - MILLISECOND <= entry.ts <= run.ended for entry in entries)
    return {entry.stream["level"]: entry for entry in entries}
