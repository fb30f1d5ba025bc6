"""Servers over the data set, with it in different places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.asking import send
from tests.conformance.cases import pushes
from tests.server import ServerProcess, running_server

LOKI_FILE = Path(__file__).parent.parent / "config" / "fixtures" / "loki.yaml"
"""The settings under which the answers were recorded."""


@contextmanager
def fresh_server(data_dir: Path) -> Iterator[ServerProcess]:
    """An empty server with Loki's own settings file."""
    # The file asks for warnings only; where the server listens is said at info.
    with running_server(data_dir, "--config", str(LOKI_FILE), "--set", "log.level=info") as server:
        yield server


@contextmanager
def connected(server: ServerProcess) -> Iterator[httpx.Client]:
    """One connection that stays open."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def in_memory(server: ServerProcess) -> None:
    _load(server, pushes())


def in_blocks(server: ServerProcess) -> None:
    _load(server, pushes())
    _flush(server)


def half_and_half(server: ServerProcess) -> None:
    """A flush in the middle of the load: most streams then stand in a block and in memory."""
    half = len(pushes()) // 2
    _load(server, pushes()[:half])
    _flush(server)
    _load(server, pushes()[half:])


def after_a_kill(server: ServerProcess) -> None:
    _load(server, pushes())
    server.kill()
    server.start()


STATES: dict[str, Callable[[ServerProcess], None]] = {
    "in memory": in_memory,
    "in blocks": in_blocks,
    "half and half": half_and_half,
    "after a kill": after_a_kill,
}
"""Name -> how to bring the data of an empty server there."""


def _load(server: ServerProcess, requests: Sequence[Mapping[str, Any]]) -> None:
    with connected(server) as client:
        for request in requests:
            pushed = send(client, {"method": "POST", **request, "body": {"json": request["body"]}})
            assert pushed.status == 204, pushed


def _flush(server: ServerProcess) -> None:
    with connected(server) as client:
        client.post("/flush").raise_for_status()
