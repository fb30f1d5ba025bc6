"""The floors: work that no server of this kind can do without, single-threaded, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import snappy
import zstandard

from gateway.push.push_messages import PushRequest


def cpu_of(work: Callable[[], object], runs: int = 3) -> float:
    """CPU-seconds of this thread for `work`, the least of some runs."""
    best = float("inf")
    for _ in range(runs):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best


def codec_floor(bodies: Sequence[bytes]) -> float:
    """CPU-seconds to snappy-decompress, parse and zstd-1-compress the bodies."""
    compressor = zstandard.ZstdCompressor(level=1)

    def work() -> None:
        for body in bodies:
            raw = snappy.uncompress(body)
            PushRequest.FromString(raw)
            compressor.compress(raw)

    return cpu_of(work)
