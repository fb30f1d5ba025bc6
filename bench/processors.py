"""On which processors things run while they are measured.

A ratio to a floor compares two amounts of work only if both are done under the same conditions. A floor runs alone, in
one thread. A server keeps all processors busy: what one hands to another finds cold caches, and two of them may share a
core (`neighbour_cost` measures what that costs). So a ratio is measured on one processor, client included; rows about
time as a user sees it run on all (ADR 8).
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
_PIECE_LINES = 400_000
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
    piece = b"".join(b"%d level=info msg=done took=%dms\n" % (at, at * 7919 % 4093) for at in range(_PIECE_LINES))
    done = threading.Event()
    neighbours = [threading.Thread(target=_keep_busy, args=(piece, done)) for _ in range(len(ALL) - 1)]
    with on(ALL):
        alone = _compress(piece)
        for neighbour in neighbours:
            neighbour.start()
        beside = _compress(piece)
        done.set()
        for neighbour in neighbours:
            neighbour.join()
    return beside / alone


def _compress(piece: bytes) -> float:
    """CPU-seconds of this thread to compress a piece, the middle of some rounds after one that warms up."""
    compressor, took = zstandard.ZstdCompressor(), []
    compressor.compress(piece)
    for _ in range(_ROUNDS):
        began = time.thread_time()
        compressor.compress(piece)
        took.append(time.thread_time() - began)
    return sorted(took)[_ROUNDS // 2]


def _keep_busy(piece: bytes, done: threading.Event) -> None:
    compressor = zstandard.ZstdCompressor()
    while not done.is_set():
        compressor.compress(piece)
