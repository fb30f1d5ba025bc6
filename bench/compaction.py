"""What compaction costs those who push and ask meanwhile: a server that compacts beside one that does not."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.asking import RANGE
from bench.dashboard import PUSHERS, push_steadily
from bench.ingest import load
from bench.lines import Lines
from bench.measured import Measured
from bench.payloads import Payloads
from bench.processors import ALL, on
from bench.queries import Query, differ, totals
from bench.server import COMPACTING, MeasuredServer

SMALL_BLOCKS = ("--set", "memtable.size=8MB")
"""Makes a flush of every few MB, so that there is something to compact."""
ROUNDS = 3
"""Times that each server is started, gets pushes and is asked, in turn; the best counts."""
SECONDS = 6.0
"""For which pushes go on in a round."""
WARM_UP = 15
"""First pushes of each pusher, which do not count: both servers have just been started."""
LEAST = 0.1
"""CPU-seconds a second that compaction must have taken meanwhile for a round to count."""
ASKED = 4
"""Times that a query is asked in a round."""


def beside_compaction(folder: Path, lines: Lines, pushed: Payloads, query: Query) -> Iterator[Measured]:
    """Push p99 and the CPU of a query while blocks are compacted, over those while none are.

    Raises RuntimeError if an answer is wrong, or if nothing was compacted meanwhile.
    """
    quiet, busy = folder / "not-compacting", folder / "compacting"
    with MeasuredServer(quiet, *SMALL_BLOCKS) as server:
        load(server, pushed.bodies)
    rounds = []
    for _ in range(ROUNDS):
        with MeasuredServer(quiet) as without, on(ALL, without):
            first = _round(without, lines, query)
        shutil.copytree(quiet, busy)
        with MeasuredServer(busy, *COMPACTING) as beside, on(ALL, beside):
            rounds.append((first, _round(beside, lines, query)))
        shutil.rmtree(busy)
    p99 = min(one.p99 for one, _ in rounds), min(two.p99 for _, two in rounds)
    cpu = min(one.cpu for one, _ in rounds), min(two.cpu_beside for _, two in rounds)
    if float("inf") in (p99[1], cpu[1]):
        raise RuntimeError("compaction had ended before its cost could be measured")
    further = {"p99_ms": p99[1] * 1e3, "without_ms": p99[0] * 1e3}
    yield Measured("compaction: push p99 over that without", p99[1] / p99[0], further=further)
    further = {"cpu_ms": cpu[1] * 1e3, "without_ms": cpu[0] * 1e3}
    yield Measured("compaction: query CPU over that without", cpu[1] / cpu[0], further=further)


@dataclass(frozen=True, slots=True)
class _Round:
    """What one server was seen to do, in seconds.

    Attributes:
        p99: of pushes; infinite if the server has compaction on and it took nothing meanwhile.
        cpu: of a query, without what compaction took.
        cpu_beside: that of one beside which compaction went on.
    """

    p99: float
    cpu: float
    cpu_beside: float


def _round(server: MeasuredServer, lines: Lines, query: Query) -> _Round:
    stop = threading.Event()
    timer = threading.Timer(SECONDS, stop.set)
    spent = server.compaction_cpu()
    timer.start()
    with ThreadPoolExecutor(PUSHERS) as pushers:
        pushing = [pushers.submit(push_steadily, server, lines, number, stop) for number in range(PUSHERS)]
        latencies = sorted(seconds for one in pushing for seconds in one.result()[WARM_UP:])
    compacted = server.compaction_cpu() - spent
    idle = server.compacts and compacted < LEAST * SECONDS
    cpu = beside = float("inf")
    expected = query.truth(lines)
    for _ in range(ASKED):
        spent, own = server.cpu(), server.compaction_cpu()
        answer = totals(server.ask(RANGE, query.parameters())["data"]["result"], query.scale)
        if differ(answer, expected):
            raise RuntimeError(f"{query.text} answers otherwise beside compaction")
        compacted = server.compaction_cpu() - own
        took = server.cpu() - spent - compacted
        cpu = min(cpu, took)
        beside = min(beside, took) if compacted else beside
    return _Round(float("inf") if idle else latencies[int(len(latencies) * 0.99)], cpu, beside)
