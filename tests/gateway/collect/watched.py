"""A collector in a thread of the test, and what it delivers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import snappy

from config.collector import Collector as Settings
from gateway.collect.delivery import Outcome, Taken
from gateway.collect.making import collector_of
from gateway.collect.run import Collector
from gateway.push.push_messages import PushRequest
from tests.server import wait_until

MS = 1_000_000


@dataclass
class Server:
    """Takes batches as a server does: one id once. `answers` are given first."""

    answers: list[Outcome] = field(default_factory=list)
    ids: list[UUID] = field(default_factory=list)
    streams: dict[str, list[str]] = field(default_factory=dict)

    def send(self, body: bytes, batch_id: UUID) -> Outcome:
        if self.answers:
            return self.answers.pop(0)
        if batch_id in self.ids:
            return Taken(deduplicated=True)
        self.ids.append(batch_id)
        request = PushRequest()
        request.ParseFromString(snappy.decompress(body))
        for stream in request.streams:
            found = self.streams.setdefault(stream.labels.decode(), [])
            found += [entry.line.decode() for entry in stream.entries]
        return Taken()

    def close(self) -> None:
        """Nothing is open."""

    @property
    def lines(self) -> Counter[str]:
        return Counter(line for lines in list(self.streams.values()) for line in lines)

    def has(self, *lines: str) -> bool:
        """Waits until exactly these lines are there."""
        return wait_until(lambda: self.lines == Counter(lines), 20)


def settings(*paths: Path | str, **more: object) -> Settings:
    fast = {"poll": 5 * MS, "scan": 10 * MS, "batch_wait": 5 * MS, "rotate_wait": 50 * MS, "multiline_wait": 50 * MS}
    return Settings.model_validate({"paths": [str(path) for path in paths], **fast, **more})


@contextmanager
def collecting(state: Path, server: Server, how: Settings, *, once: bool = False) -> Iterator[Collector]:
    """A collector at work; `once` is waited for."""
    collector = collector_of(how, state, lambda: server, once=once)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            collector.run()
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        if once:
            thread.join(30)
        yield collector
    finally:
        collector.stop()
        thread.join(30)
    if failed:
        raise failed[0]
    assert not thread.is_alive()
