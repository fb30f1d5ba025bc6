"""Live tail under a steady load: how long after its push an entry is at a client's socket.

A push's lines have the time at which it was made; a reader that only counts takes that from each frame and looks at the
clock. Reader, pusher and server share the machine.
"""

from __future__ import annotations

import re
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

import snappy

from bench.lines import Lines
from bench.measured import Measured
from bench.payloads import request
from bench.pushing import PROTOBUF, http_push, push_all
from bench.server import MeasuredServer

LINES_A_PUSH = 100
PUSHES_A_SECOND = 50
SECONDS = 10.0
WARM = 2.0
"""Seconds of load before it counts."""
PODS = 5
QUERIES = (
    '{app="tail"}',
    '{app="tail"} |= "connection"',
    '{app="tail"} | json | level="error"',
    '{app="tail", pod="tail-1"}',
    '{app="tail"} |~ "[45][0-9]{2}"',
)
EACH = 4
"""Tails with the same query: 20 in all."""

_TIME = re.compile(rb'"values":\[\["(\d+)"')
_ENTRY = b'"values":[["'


def live_tail(folder: Path, lines: Lines) -> Iterator[Measured]:
    """Median and p99 over all entries that all tails got."""
    with MeasuredServer(folder / "tail", "--set", "limits.max_concurrent_tail_requests=0") as server:
        readers = [_Reader(server.port, query) for query in QUERIES for _ in range(EACH)]
        stop = threading.Event()
        reading = threading.Thread(target=_read, args=(readers, stop))
        reading.start()
        _push(server, lines["json"], WARM)
        for reader in readers:
            reader.took.clear()
        spent = server.cpu()
        pushed = _push(server, lines["json"], SECONDS)
        cpu = server.cpu() - spent
        time.sleep(1.0)  # what is on its way arrives
        stop.set()
        reading.join()
        whole = [sum(count for _, count in reader.took) for reader in readers[:EACH]]
        if any(count < pushed for count in whole):
            raise RuntimeError(f"of {pushed} lines tails without a filter got {whole}")
        took = sorted(found for reader in readers for found in reader.took)
        further = {
            "lines_per_s": pushed / SECONDS,
            "entries_sent": sum(count for _, count in took),
            "cpu_s_per_s": cpu / SECONDS,
            "p999_ms": _quantile(took, 0.999) * 1e3,
        }
        yield Measured("live tail: entry to frame, median", _quantile(took, 0.5) * 1e3, cpu, further=further)
        yield Measured("live tail: entry to frame, p99", _quantile(took, 0.99) * 1e3, cpu, further=further)


def _quantile(took: Sequence[tuple[float, int]], part: float) -> float:
    """The seconds within which that part of the entries came; `took` has (seconds, entries), ascending."""
    wanted = part * sum(count for _, count in took)
    for seconds, count in took:
        wanted -= count
        if wanted <= 0:
            return seconds
    return took[-1][0]


def _push(server: MeasuredServer, lines: Sequence[bytes], seconds: float) -> int:
    """Pushes at fixed times; how many lines."""
    labels = [f'{{app="tail", pod="tail-{pod}"}}' for pod in range(PODS)]
    began = time.monotonic()
    pushes = int(seconds * PUSHES_A_SECOND)
    for number in range(pushes):
        time.sleep(max(0.0, began + number / PUSHES_A_SECOND - time.monotonic()))
        first = number * LINES_A_PUSH % (len(lines) - LINES_A_PUSH)
        now = time.time_ns()
        made = request(labels, ((i % PODS, now + i, lines[first + i]) for i in range(LINES_A_PUSH)))
        push_all(server.port, [http_push(snappy.compress(made.SerializeToString()), PROTOBUF)], 1)
    return pushes * LINES_A_PUSH


class _Reader:
    """One tail that counts.

    Attributes:
        took: seconds from the time of a frame's first entry to its arrival, and how many entries it had.
    """

    def __init__(self, port: int, query: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.took: list[tuple[float, int]] = []
        self._rest = b""
        target = f"/loki/api/v1/tail?{urlencode({'query': query})}"
        head = f"GET {target} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        self.socket.sendall((head + key).encode())
        while b"\r\n\r\n" not in self._rest:
            self._rest += self.socket.recv(1 << 16)
        answer, _, self._rest = self._rest.partition(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"the tail was refused: {answer!r}")

    def read(self) -> None:
        """Takes what has come."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise RuntimeError("a tail was closed")
        self._rest += data
        while (frame := self._frame()) is not None:
            found = _TIME.search(frame)
            if found is not None:
                self.took.append((time.time() - int(found[1]) / 1e9, frame.count(_ENTRY)))

    def _frame(self) -> bytes | None:
        """The next message, if it is whole: a server's have no mask."""
        came = self._rest
        if len(came) < 10 and (len(came) < 2 or came[1] > 125):
            return None
        size, at = came[1], 2
        if size == 126:
            size, at = int.from_bytes(came[2:4]), 4
        elif size == 127:
            size, at = int.from_bytes(came[2:10]), 10
        if len(came) < at + size:
            return None
        self._rest = came[at + size :]
        return came[at : at + size]


def _read(readers: Sequence[_Reader], stop: threading.Event) -> None:
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader.socket, selectors.EVENT_READ, reader)
        while not stop.is_set():
            for key, _ in selector.select(0.1):
                key.data.read()
    for reader in readers:
        reader.socket.close()
