"""Ingest rows: push everything over HTTP, flush, and count what is there."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.payloads import Payloads
from bench.server import MeasuredServer

CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a load cost the server.

    Attributes:
        cpu: CPU-seconds, flush included.
        peak_rss: bytes.
        disk: bytes of blocks.
    """

    cpu: float
    peak_rss: int
    disk: int


def _push(connection: http.client.HTTPConnection, bodies: Sequence[bytes], failures: list[str]) -> None:
    for body in bodies:
        connection.request("POST", "/loki/api/v1/push", body, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 204:
            failures.append(f"{answer.status} {text[:200]!r}")
            return


def ingest(data_dir: Path, load: Payloads, *options: str) -> Ingested:
    """Loads a fresh server through CONNECTIONS connections. Raises RuntimeError if a push is refused."""
    with MeasuredServer(data_dir, *options) as server:
        before = server.cpu()
        failures: list[str] = []
        threads = [
            threading.Thread(target=_push, args=(server.connect(), load.bodies[i::CONNECTIONS], failures))
            for i in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise RuntimeError(f"a push was refused: {failures[0]}")
        connection = server.connect()
        connection.request("POST", "/flush")
        if connection.getresponse().status != 204:
            raise RuntimeError("the flush failed")
        return Ingested(server.cpu() - before, server.peak_rss(), server.disk())
