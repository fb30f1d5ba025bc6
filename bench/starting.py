"""How long a start takes and what an idle server holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.measured import Measured
from bench.server import MeasuredServer

STARTS = 3
IDLE = 1.0
"""Seconds after which a server that nobody asked anything is idle."""


def starts(folder: Path) -> Iterator[Measured]:
    """Start to ready of an empty server and its memory, the least of STARTS."""
    ready, held = [], []
    for number in range(STARTS):
        with MeasuredServer(folder / f"start-{number}") as server:
            ready.append(server.ready_after)
            time.sleep(IDLE)
            held.append(server.rss())
    yield Measured("start to ready, empty", min(ready))
    yield Measured("idle RSS", min(held) / 1e6)
