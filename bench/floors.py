"""The floors: work that no server of this kind can do without, single-threaded, in this process, in the same run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import snappy
import zstandard

from bench.lines import Lines
from bench.payloads import PODS
from gateway.push.push_messages import PushRequest

PIECE_ROWS = 32 * 1024
"""Lines compressed in one piece, as in a row group."""
PIECE_BYTES = 8 << 20
"""Bytes of lines in one piece at most, as in a row group."""
NEEDLE = b"connection refused"
"""What the scan floor counts: the literal of the row with a literal filter."""
RUNS = 3
"""Times a floor is measured; the least counts."""
LEVEL = 1
"""zstd level of both floors, as of a flush."""


def cpu_of(work: Callable[[], object], runs: int = RUNS) -> float:
    """CPU-seconds of this thread for `work`, the least of some runs."""
    best = float("inf")
    for _ in range(runs):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best


def codec_floor(bodies: Sequence[bytes], runs: int = RUNS) -> float:
    """CPU-seconds to snappy-decompress, parse and zstd-1-compress the bodies."""
    compressor = zstandard.ZstdCompressor(level=LEVEL)

    def work() -> None:
        for body in bodies:
            raw = snappy.uncompress(body)
            PushRequest.FromString(raw)
            compressor.compress(raw)

    return cpu_of(work, runs)


def json_floor(bodies: Sequence[bytes], runs: int = RUNS) -> float:
    """CPU-seconds to parse and zstd-1-compress JSON bodies: `codec` for pushes that are neither snappy nor protobuf."""
    compressor = zstandard.ZstdCompressor(level=LEVEL)

    def work() -> None:
        for body in bodies:
            json.loads(body)
            compressor.compress(body)

    return cpu_of(work, runs)


class ScanFloor:
    """Lines compressed as a flush would: each app's streams one after another, in pieces of a row group's size."""

    def __init__(self, lines: Lines) -> None:
        self._pieces = {
            app: [
                zstandard.ZstdCompressor(level=LEVEL).compress(piece)
                for piece in cut(line for pod in range(PODS) for line in kind[pod::PODS])
            ]
            for app, kind in lines.items()
        }

    def pieces(self, apps: Iterable[str]) -> list[bytes]:
        """The compressed lines of these apps."""
        return [piece for app in apps for piece in self._pieces[app]]

    def seconds(self, apps: Iterable[str], runs: int = RUNS) -> float:
        """CPU-seconds to decompress the lines of these apps once and count NEEDLE in them."""
        pieces = self.pieces(apps)
        decompressor = zstandard.ZstdDecompressor()

        def work() -> None:
            for piece in pieces:
                decompressor.decompress(piece).count(NEEDLE)

        return cpu_of(work, runs)


def cut(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines joined to pieces of at most PIECE_ROWS lines and, but for a single line, PIECE_BYTES bytes."""
    piece: list[bytes] = []
    held = 0
    for line in lines:
        if len(piece) == PIECE_ROWS or (piece and held + len(line) > PIECE_BYTES):
            yield b"".join(piece)
            piece, held = [], 0
        piece.append(line)
        held += len(line)
    if piece:
        yield b"".join(piece)
