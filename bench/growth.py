"""Whether a line costs the same when there are more of them, or more streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.ingest import Ingested, check_count, fresh_load, load
from bench.lines import Lines, first_of
from bench.measured import Measured
from bench.payloads import SPREAD, START, Payloads, in_streams, payloads
from bench.server import MeasuredServer

FEW = 5
"""The small end is one in FEW of all bodies: 0.3 of 1.5 M lines."""
STREAM_TRIPLES = 100_000
STREAMS = (10, 10_000)


def growing_lines(folder: Path, lines: Lines, pushed: Payloads) -> Iterator[Measured]:
    """One server takes one in FEW of all lines, then the others, then all once more, 50 minutes later."""
    again = payloads(lines, 5_000, START + SPREAD)
    parted = len(pushed.bodies) // FEW
    few, rest = pushed.bodies[:parted], pushed.bodies[parted:] + again.bodies
    entries = pushed.entries // FEW, pushed.entries + again.entries
    with MeasuredServer(folder / "growing") as server:
        first = load(server, few)
        more = load(server, rest)
        check_count(server, entries[1])
    whole = Ingested(first.cpu + more.cpu, more.peak_rss, 0, 0)
    yield from _ratios("growth 0.3 to 3 M lines", (first, entries[0]), (whole, entries[1]))


def growing_streams(folder: Path, lines: Lines) -> Iterator[Measured]:
    """The same lines in few streams and in many, each into a new server."""
    ends = []
    for streams in STREAMS:
        pushed = in_streams(first_of(lines, STREAM_TRIPLES), streams, 5_000)
        ends.append((fresh_load(folder / f"streams-{streams}", pushed), pushed.entries))
    yield from _ratios("growth 10 to 10,000 streams", ends[0], ends[1])


def _ratios(name: str, small: tuple[Ingested, int], large: tuple[Ingested, int]) -> Iterator[Measured]:
    each = [made.cpu / entries * 1e6 for made, entries in (small, large)]
    yield Measured(f"{name}: CPU per line", each[1] / each[0], further={"us_small": each[0], "us_large": each[1]})
    held = [made.peak_rss / 1e6 for made, _ in (small, large)]
    yield Measured(f"{name}: peak RSS", held[1] / held[0], further={"MB_small": held[0], "MB_large": held[1]})
