"""The Fluent Forward door: packed chunks with acks, and a message an event."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgpack

from bench.floors import codec_floor
from bench.ingest import check_count
from bench.lines import Lines, first_of
from bench.measured import Measured, over_floor
from bench.payloads import payloads, times
from bench.server import MeasuredServer

CONNECTIONS = 4
PACKED_RUNS, SINGLE_RUNS = 4, 2
"""Loads; the one that cost least counts. The floor is taken again before each of them, as what a core gives changes
while other processes run."""
TRIPLES = 20_000
"""Lines of each app sent in chunks."""
EVENTS_A_CHUNK = 1_000
SINGLE = 4_000
"""Lines of each app sent as messages."""
CONTAINERS = 10
WARM_CHUNKS, WARM_MESSAGES = 12, 400
"""Sent and flushed before each load: what a server does once (loading its kernels, building the parser of queries)
took a fifth of what 60,000 events take."""
_ANSWER = 1_000


def records(lines: Sequence[bytes]) -> Iterator[tuple[msgpack.ExtType, dict[str, bytes | str]]]:
    """(time, record) of each line, as Docker's log driver writes it."""
    for place, (when, line) in enumerate(zip(times(len(lines)), lines, strict=True)):
        container = place % CONTAINERS
        yield (
            msgpack.ExtType(0, struct.pack(">II", *divmod(when, 1_000_000_000))),
            {
                "container_id": f"{container:064x}",
                "container_name": f"/web-{container}",
                "source": "stdout",
                "log": line,
            },
        )


def chunks(lines: Sequence[bytes], per_chunk: int, tag: str = "bench") -> list[bytes]:
    """PackedForward messages that ask for an ack."""
    entries = [msgpack.packb(entry) for entry in records(lines)]
    return [
        msgpack.packb([tag, b"".join(entries[first : first + per_chunk]), {"chunk": f"{first:024}"}])
        for first in range(0, len(entries), per_chunk)
    ]


def messages(lines: Sequence[bytes], tag: str = "bench") -> list[bytes]:
    """A message an event that asks for an ack."""
    return [
        msgpack.packb([tag, when, record, {"chunk": f"{place:024}"}])
        for place, (when, record) in enumerate(records(lines))
    ]


def send(port: int, sent: Sequence[bytes]) -> None:
    """Sends messages over CONNECTIONS connections, each once the one before it is acknowledged.

    Raises RuntimeError if one is not.
    """

    def run(own: Sequence[bytes]) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for message in own:
                connection.sendall(message)
                if not connection.recv(_ANSWER):  # an ack comes in one piece
                    raise RuntimeError("a forward connection was closed without an ack")

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(run, [sent[first::CONNECTIONS] for first in range(CONNECTIONS)]))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def by_forward(folder: Path, lines: Lines) -> Iterator[Measured]:
    """Both, until all is in blocks."""
    some = first_of(lines, TRIPLES)
    flat = _joined(some)
    warm = chunks(flat[: WARM_CHUNKS * EVENTS_A_CHUNK], EVENTS_A_CHUNK, "warm")
    packed = _Load(warm, len(warm) * EVENTS_A_CHUNK, chunks(flat, EVENTS_A_CHUNK), some, PACKED_RUNS)
    yield _row(folder / "packed", "ingest by Forward, packed, 1,000 events a chunk", packed)
    some = first_of(lines, SINGLE)
    flat = _joined(some)
    single = _Load(messages(flat[:WARM_MESSAGES], "warm"), WARM_MESSAGES, messages(flat), some, SINGLE_RUNS)
    yield _row(folder / "messages", "ingest by Forward, a message an event", single)


@dataclass(frozen=True, slots=True)
class _Load:
    """What is sent to a new server.

    Attributes:
        warm: messages before those that count.
        warm_events: events in them.
        sent: the messages that count.
        lines: in those.
        runs: how often.
    """

    warm: Sequence[bytes]
    warm_events: int
    sent: Sequence[bytes]
    lines: Lines
    runs: int


def _joined(lines: Lines) -> list[bytes]:
    return [line for own in lines.values() for line in own]


def _row(folder: Path, name: str, load: _Load) -> Measured:
    events = len(_joined(load.lines))
    bodies = payloads(load.lines, EVENTS_A_CHUNK).bodies
    cost = floor = float("inf")
    for run in range(load.runs):
        floor = min(floor, codec_floor(bodies))
        port = _free_port()
        with MeasuredServer(folder.with_name(f"{folder.name}-{run}"), "--forward", f"127.0.0.1:{port}") as server:
            send(port, load.warm)
            server.flush()
            began = server.cpu()
            send(port, load.sent)
            server.flush()
            cost = min(cost, server.cpu() - began)
            check_count(server, events + load.warm_events, 'job="fluent"')
    return over_floor(name, cost, floor, cpu_us_per_line=cost / events * 1e6)
