"""Runs a log library in a process of its own and reads back over HTTP what the server made of it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Stored:
    """One entry as query_range gives it."""

    ts: int
    line: str
    stream: dict[str, str]
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """What the library's process printed, and the ns around it."""

    stdout: str
    began: int
    ended: int


def run_client(command: Sequence[str], env: Mapping[str, str] | None = None) -> Run:
    """Runs a script to its end. Libraries report a refused push on stderr, so that must be empty."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "LOKI_"))}
    began = time.time_ns()
    done = subprocess.run(
        command, env=kept | dict(env or {}), capture_output=True, text=True, timeout=120, check=False, cwd=HERE
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return Run(done.stdout, began, time.time_ns())


def stored(url: str, selector: str) -> list[Stored]:
    """Entries of the last hour, oldest first, structured metadata apart from the stream's own labels."""
    response = httpx.get(
        f"{url}/loki/api/v1/query_range",
        params={"query": selector, "direction": "forward", "limit": 1000},
        headers={"X-Loki-Response-Encoding-Flags": "categorize-labels"},
    )
    assert response.status_code == 200, response.text
    found = [
        Stored(int(ts), line, stream["stream"], _metadata(more))
        for stream in response.json()["data"]["result"]
        for ts, line, more in stream["values"]
    ]
    return sorted(found, key=lambda entry: entry.ts)


def _metadata(more: Any) -> dict[str, str]:
    metadata: dict[str, str] = more.get("structuredMetadata", {})
    return metadata
