"""On which processors things run while they are measured.

A ratio to a floor compares two amounts of work only if both are done under the same conditions. Where processors are
hardware threads that share a core, work costs more CPU-seconds while the other thread is busy (`neighbour_cost`
measures how much), and a server that keeps both busy would be held against a floor that ran alone. So a ratio is
measured on one processor, client included; rows about time as a user sees it run on all.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import zstandard

ALL = frozenset(os.sched_getaffinity(0))
ONE = frozenset([max(ALL)])
"""Not the first one, which a system gives most of its own work to."""
_PIECE = 4 << 20
_ROUNDS = 12


class Process(Protocol):
    """A process that is measured."""

    @property
    def pid(self) -> int:
        """Its number."""


def run_on(processors: frozenset[int], pid: int) -> None:
    """Lets all threads of a process, and those that they will start, run on these processors only."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # a thread that ended since
            os.sched_setaffinity(int(thread.name), processors)


@contextmanager
def on(processors: frozenset[int], *servers: Process) -> Iterator[None]:
    """Runs this process and these servers on some processors, and then where this process was before."""
    before = frozenset(os.sched_getaffinity(0))
    everyone = [os.getpid(), *(server.pid for server in servers)]
    try:
        for pid in everyone:
            run_on(processors, pid)
        yield
    finally:
        for pid in everyone:
            run_on(before, pid)


def neighbour_cost() -> float:
    """CPU-seconds of the same work while every other processor is busy, over those while they are idle; 1 if alone."""
    if len(ALL) == 1:
        return 1.0
    with on(ALL):
        alone = _compress()
        done = threading.Event()
        neighbours = [threading.Thread(target=_keep_busy, args=(done,)) for _ in range(len(ALL) - 1)]
        for neighbour in neighbours:
            neighbour.start()
        beside = _compress()
        done.set()
        for neighbour in neighbours:
            neighbour.join()
    return beside / alone


def _piece() -> bytes:
    return b"".join(b"%d level=info msg=done took=%dms\n" % (at, at * 7919 % 4093) for at in range(_PIECE // 32))


def _compress() -> float:
    """CPU-seconds of this thread to compress a piece, the least of some rounds."""
    compressor, piece, took = zstandard.ZstdCompressor(), _piece(), []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        compressor.compress(piece)
        took.append(time.thread_time() - began)
    return min(took)


def _keep_busy(done: threading.Event) -> None:
    compressor, piece = zstandard.ZstdCompressor(), _piece()
    while not done.is_set():
        compressor.compress(piece)
