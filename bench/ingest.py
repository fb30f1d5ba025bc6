"""Ingest rows: push everything over HTTP, flush, and see what it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.floors import codec_floor
from bench.lines import Lines, first_of
from bench.measured import Measured, over_floor
from bench.payloads import SPREAD, START, Payloads, payloads, with_metadata
from bench.server import MeasuredServer

CONNECTIONS = 4
AGENTS = 32
"""Connections of small requests: agents that send 100 lines at a time are many, as those of the small pushes are."""
SMALLER = 100_000
"""Triples pushed 100 lines a request."""
SINGLE = 2_000
"""Triples pushed one line a request."""
RUNS = 2
"""Times that these are loaded; the one that cost least counts."""
METADATA = 60_000
"""Lines pushed with structured metadata."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a load cost the server.

    Attributes:
        cpu: CPU-seconds, flush included.
        peak_rss: bytes.
        disk: bytes of blocks.
        written: bytes sent to the disk, WAL included.
        patterns: CPU-seconds spent on patterns of the lines.
    """

    cpu: float
    peak_rss: int
    disk: int
    written: int
    patterns: float = 0.0


def load(server: MeasuredServer, bodies: tuple[bytes, ...], connections: int = CONNECTIONS) -> Ingested:
    """Pushes bodies through some connections and flushes. Raises RuntimeError if one is refused."""
    spent, written, stood, patterns = server.cpu(), server.written(), server.disk(), server.patterns_cpu()
    server.push(bodies, connections)
    server.flush()
    return Ingested(
        server.cpu() - spent,
        server.peak_rss(),
        server.disk() - stood,
        server.written() - written,
        server.patterns_cpu() - patterns,
    )


def fresh_load(folder: Path, pushed: Payloads, connections: int = CONNECTIONS) -> Ingested:
    """As `load`, into a new server in `folder`, of which all lines must then be there."""
    with MeasuredServer(folder) as server:
        made = load(server, pushed.bodies, connections)
        check_count(server, pushed.entries)
    return made


def check_count(server: MeasuredServer, entries: int, selector: str = 'app=~".+"') -> None:
    """Raises RuntimeError unless a query counts so many entries within an hour of START."""
    seconds = math.ceil(2 * SPREAD / 1e9)
    asked: dict[str, str | int] = {
        "query": f"sum(count_over_time({{{selector}}}[{seconds}s]))",
        "time": START + 2 * SPREAD,
    }
    result = server.ask("/loki/api/v1/query", asked)["data"]["result"]
    found = int(float(result[0]["value"][1])) if result else 0
    if found != entries:
        raise RuntimeError(f"{entries} lines were acknowledged and {found} are there")


def main_rows(made: Ingested, pushed: Payloads, floor: float) -> Iterator[Measured]:
    """What the load of all lines at 5,000 a request says."""
    yield over_floor(
        "ingest, 5,000 lines a request, in blocks", made.cpu, floor, cpu_us_per_line=made.cpu / pushed.entries * 1e6
    )
    yield _written("bytes written per line, 5,000 lines a request", made, pushed)
    yield Measured("patterns of lines, of the CPU of ingest", made.patterns / made.cpu * 100, cpu=made.patterns)
    yield Measured("peak RSS while loading", made.peak_rss / 1e6)
    share = made.disk / pushed.raw_bytes * 100
    further = {"disk_MB": made.disk / 1e6, "payload_MB": pushed.raw_bytes / 1e6}
    yield Measured("disk after flush, of payload", share, further=further)


def compacted_disk(server: MeasuredServer, pushed: Payloads) -> Measured:
    """Compacts what a load left, and says what it takes on disk."""
    stood, spent = server.disk(), server.cpu()
    server.compact()
    disk = server.disk()
    further = {"disk_MB": disk / 1e6, "before_MB": stood / 1e6, "cpu_s": server.cpu() - spent}
    return Measured(
        "disk after compaction with index, of payload",
        disk / pushed.raw_bytes * 100,
        note="there is no text index yet",
        further=further,
    )


def smaller_rows(folder: Path, lines: Lines, wanted: Callable[[str], bool]) -> Iterator[Measured]:
    """100 lines and 1 line a request, where one of their rows is wanted."""
    few = "ingest, 100 lines a request, 4 connections"
    for triples, per_request, connections, row, written in (
        (SMALLER, 100, AGENTS, "ingest, 100 lines a request", "bytes written per line, 100 lines a request"),
        (SMALLER, 100, CONNECTIONS, few, ""),
        (SINGLE, 1, CONNECTIONS, "ingest, 1 line a request", "bytes written per line, 1 line a request"),
    ):
        if not (wanted(row) or (written and wanted(written))):
            continue
        pushed = payloads(first_of(lines, triples), per_request)
        floor = codec_floor(pushed.bodies)
        name = f"ingest-{per_request}-{connections}"
        loads = [fresh_load(folder / f"{name}-{number}", pushed, connections) for number in range(RUNS)]
        made = min(loads, key=lambda load: load.cpu)
        yield over_floor(row, made.cpu, floor, cpu_us_per_line=made.cpu / pushed.entries * 1e6)
        if written:
            yield _written(written, made, pushed)


def metadata_rows(folder: Path, lines: Lines) -> Iterator[Measured]:
    """The set with structured metadata."""
    pushed = with_metadata(lines["json"][:METADATA], 5_000)
    floor = codec_floor(pushed.bodies)
    made = fresh_load(folder / "metadata", pushed)
    yield over_floor(
        "ingest with structured metadata, 5,000 lines a request",
        made.cpu,
        floor,
        cpu_us_per_line=made.cpu / pushed.entries * 1e6,
    )
    yield Measured("disk after flush with structured metadata, of payload", made.disk / pushed.raw_bytes * 100)


def _written(row: str, made: Ingested, pushed: Payloads) -> Measured:
    return Measured(row, made.written / pushed.entries, further={"line_bytes": pushed.line_bytes / pushed.entries})
