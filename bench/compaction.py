"""What compaction costs those who push and ask meanwhile: a server that compacts beside one that does not.

Both have the same data, get the same pushes and are asked the same, in turns; who has no turn stands still. What is
asked for is of one day, which is compacted already, and what is compacted of those before: so both read the same.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.asking import RANGE
from bench.dashboard import PUSHERS, push_steadily
from bench.ingest import load
from bench.lines import Lines
from bench.measured import Measured
from bench.payloads import START, Payloads, payloads
from bench.processors import ALL, on
from bench.queries import Query, differ, totals
from bench.server import COMPACTING, MeasuredServer

SMALL_BLOCKS = ("--set", "memtable.size=8MB")
"""Makes a flush of every few MB, so that there is something to compact."""
DAY = 86_400_000_000_000
DAYS = 2
"""Before the one that is asked for, each with all lines, to be compacted."""
PER_REQUEST = 5_000
"""Lines of a push of what is to be compacted."""
TURNS = 9
"""Of each server, the first of which does not count: both have just been started."""
FEWEST = 4
"""Turns in which there was something to compact, that must be left."""
SECONDS = 3.0
"""For which pushes go on in a turn, at least."""
LEAST = 0.05
"""CPU-seconds a second that compaction must have taken meanwhile for a turn to count."""
ASKED = 4
"""Times that a query is asked in a turn; the middle counts."""


def beside_compaction(folder: Path, lines: Lines, pushed: Payloads, query: Query) -> Iterator[Measured]:
    """Push p99 and the CPU of a query while blocks are compacted, over those while none are.

    Raises RuntimeError if an answer is wrong, or if nothing was compacted meanwhile.
    """
    quiet, busy = folder / "not-compacting", folder / "compacting"
    with MeasuredServer(quiet) as server:
        load(server, pushed.bodies)
        server.compact()
    with MeasuredServer(quiet, *SMALL_BLOCKS) as server:
        for days in range(1, DAYS + 1):
            load(server, payloads(lines, PER_REQUEST, START - days * DAY).bodies)
    shutil.copytree(quiet, busy)
    turns = []
    with (
        MeasuredServer(quiet) as without,
        MeasuredServer(busy, *COMPACTING) as beside,
        on(ALL, without),
        on(ALL, beside),
        _standing_still(without),
        _standing_still(beside),
    ):
        for _ in range(TURNS):
            with _going_on(without):
                first = _turn(without, lines, query)
            with _going_on(beside):
                turns.append((first, _turn(beside, lines, query)))
    held = [pair for pair in turns[1:] if pair[1].compacted >= LEAST]
    if len(held) < FEWEST:
        raise RuntimeError("compaction had ended before its cost could be measured")
    p99 = [_p99([seconds for pair in held for seconds in pair[side].latencies]) for side in (0, 1)]
    share = statistics.mean(two.compacted for _, two in held)
    further = {"p99_ms": p99[1] * 1e3, "without_ms": p99[0] * 1e3, "turns": len(held), "compaction_share": share}
    yield Measured("compaction: push p99 over that without", p99[1] / p99[0], further=further)
    cpu = [statistics.median(pair[side].cpu for pair in held) for side in (0, 1)]
    ratio = statistics.median(two.cpu / one.cpu for one, two in held)
    further = {"cpu_ms": cpu[1] * 1e3, "without_ms": cpu[0] * 1e3, "turns": len(held)}
    yield Measured("compaction: query CPU over that without", ratio, further=further)


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one server was seen to do.

    Attributes:
        latencies: of pushes, in seconds.
        cpu: CPU-seconds of a query and the pushes beside it, without what compaction took.
        compacted: CPU-seconds a second that it took.
    """

    latencies: list[float]
    cpu: float
    compacted: float


def _turn(server: MeasuredServer, lines: Lines, query: Query) -> _Turn:
    expected = query.truth(lines)
    stop = threading.Event()
    spent, began = server.compaction_cpu(), time.monotonic()
    took = []
    with ThreadPoolExecutor(PUSHERS) as pushers:
        pushing = [pushers.submit(push_steadily, server, lines, number, stop) for number in range(PUSHERS)]
        try:
            for _ in range(ASKED):
                before, own = server.cpu(), server.compaction_cpu()
                answer = totals(server.ask(RANGE, query.parameters())["data"]["result"], query.scale)
                took.append(server.cpu() - before - (server.compaction_cpu() - own))
                if differ(answer, expected):
                    raise RuntimeError(f"{query.text} answers otherwise beside compaction")
            stop.wait(max(0.0, began + SECONDS - time.monotonic()))
        finally:
            stop.set()
        latencies = [seconds for one in pushing for seconds in one.result()]
    compacted = (server.compaction_cpu() - spent) / (time.monotonic() - began)
    return _Turn(latencies, statistics.median(took), compacted)


def _p99(latencies: list[float]) -> float:
    return sorted(latencies)[int(len(latencies) * 0.99)]


@contextmanager
def _standing_still(server: MeasuredServer) -> Iterator[None]:
    """A server does nothing for the time of the context; it could not end either."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextmanager
def _going_on(server: MeasuredServer) -> Iterator[None]:
    """A server that stands still goes on for the time of the context."""
    os.kill(server.pid, signal.SIGCONT)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGSTOP)
