"""Fluent Forward and kill -9: each acknowledged chunk is there once, however often it had to be sent."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import msgpack
import pytest

from tests.crash.traffic import read_lines
from tests.server import ServerProcess, running_server, wait_until

SENDERS = 6
EVENTS = 3
KILLS = 4
SOAK_CONNECTIONS = 500
SOAK_SECONDS = 60
SLOT = SOAK_CONNECTIONS * EVENTS
HOUR = 3_600_000_000_000


class Sender:
    """Sends chunks one after the other and each of them again until it is acknowledged, as Fluentd does."""

    def __init__(self, number: int, port: int) -> None:
        self.number, self.port = number, port
        self.acknowledged: list[str] = []
        self.resent = 0
        self._connection: socket.socket | None = None

    def run(self, stop: Event) -> None:
        count = 0
        while not stop.is_set():
            chunk = f"{self.number}/{count}"
            start = time.time_ns() // SLOT * SLOT + self.number * EVENTS  # no two events of all have the same time
            entries = [[event_time(start + event), {"log": f"{chunk}/{event}"}] for event in range(EVENTS)]
            packed = b"".join(msgpack.packb(entry) for entry in entries)
            message = msgpack.packb([f"sender.{self.number}", packed, {"chunk": chunk, "size": EVENTS}])
            while not self._sent(message, chunk):
                if stop.is_set():
                    return
                self.resent += 1
            self.acknowledged.append(chunk)
            count += 1
        if self._connection is not None:
            self._connection.close()

    def _sent(self, message: bytes, chunk: str) -> bool:
        try:
            if self._connection is None:
                self._connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
            self._connection.sendall(message)
            answer = self._connection.recv(1000)
        except OSError:
            answer = b""
        if answer == msgpack.packb({"ack": chunk}):
            return True
        assert answer == b"", answer
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        time.sleep(0.02)
        return False


def event_time(ts: int) -> msgpack.ExtType:
    """An EventTime of the protocol."""
    seconds, nanoseconds = divmod(ts, 1_000_000_000)
    return msgpack.ExtType(0, seconds.to_bytes(4, "big") + nanoseconds.to_bytes(4, "big"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def check(server: ServerProcess, senders: list[Sender]) -> None:
    """Each event of each acknowledged chunk is stored once; events of the chunk under way may be there, once too."""
    now = time.time_ns()
    found = read_lines(server.url, '{job="fluent"}', now - HOUR, now + HOUR)
    wanted = {f"{chunk}/{event}" for sender in senders for chunk in sender.acknowledged for event in range(EVENTS)}
    assert wanted <= found.keys()
    assert set(found.values()) == {1}
    under_way = tuple(f"{sender.number}/{len(sender.acknowledged)}/" for sender in senders)
    assert all(line.startswith(under_way) for line in found.keys() - wanted)


def run_senders(server: ServerProcess, senders: list[Sender], disturb: Callable[[list[Future[None]]], None]) -> None:
    """Lets them send while something else goes on, and looks at the end."""
    stop = Event()
    with ThreadPoolExecutor(len(senders)) as pool:
        running = [pool.submit(sender.run, stop) for sender in senders]
        try:
            disturb(running)
        finally:
            stop.set()
        for each in running:
            each.result()
    check(server, senders)


def test_each_acknowledged_chunk_is_there_once_after_kills(tmp_path: Path) -> None:
    port, chance = free_port(), random.Random(5)
    with running_server(tmp_path / "data", "--forward", f"127.0.0.1:{port}") as server:
        senders = [Sender(number, port) for number in range(SENDERS)]

        def done() -> int:
            return sum(len(sender.acknowledged) for sender in senders)

        def kill(running: list[Future[None]]) -> None:
            for _ in range(KILLS):
                enough = done() + 50 + chance.randrange(50)
                assert wait_until(lambda: done() >= enough or any(each.done() for each in running))  # noqa: B023
                server.kill()
                server.start()

        run_senders(server, senders, kill)
        assert sum(sender.resent for sender in senders) >= KILLS


@pytest.mark.soak
def test_five_hundred_connections_with_acks_lose_and_double_nothing(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path / "data", "--forward", f"127.0.0.1:{port}") as server:
        senders = [Sender(number, port) for number in range(SOAK_CONNECTIONS)]
        run_senders(server, senders, lambda _: time.sleep(SOAK_SECONDS))
        print(f"{sum(len(sender.acknowledged) for sender in senders)} chunks in {SOAK_SECONDS} s")
        assert all(sender.acknowledged for sender in senders)
        assert sum(sender.resent for sender in senders) == 0
        assert "level=error" not in server.log_text
