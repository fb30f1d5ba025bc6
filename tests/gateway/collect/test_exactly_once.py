"""`weir collect` and a server, both killed at random while files are written and rotated: each line is there once."""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.forks import shared, weirs_environment
from tests.server import Running, ServerProcess, wait_until

LINE = re.compile(r"line \d+ x*")
PATIENCE = 10.0
"""Seconds that a file which was cut is left alone at most, until the collector has seen it."""


class Writer(threading.Thread):
    """An application and its logrotate: numbered lines, rotated by rename or by copy and truncate, packed later."""

    def __init__(self, folder: Path, seed: int, log: Path) -> None:
        """`log`: of the collector."""
        super().__init__(daemon=True)
        self.written = 0
        self._log = log
        self._cuts: list[float] = []
        self.enough = threading.Event()
        self._path = folder / "app.log"
        self._rotated = 0
        self._plain: list[Path] = []
        self._random = random.Random(seed)

    def run(self) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        rotate_at = time.monotonic() + 0.4
        while not self.enough.is_set():
            for _ in range(self._random.randrange(1, 40)):
                os.write(file, b"line %d %s\n" % (self.written, b"x" * self._random.randrange(200)))
                self.written += 1
            if time.monotonic() > rotate_at and self._cut_is_seen():
                file = self._rotate(file)
                rotate_at = time.monotonic() + self._random.uniform(0.4, 1.0)
            time.sleep(0.005)
        os.close(file)

    def has_written(self, lines: int) -> bool:
        return self.written >= lines

    def _cut_is_seen(self) -> bool:
        # What is written, copied, cut and then moved, packed or cut again between two scans is not always told apart.
        if not self._cuts or time.monotonic() > self._cuts[-1] + PATIENCE:
            return True
        return self._log.read_text().count("a file was begun anew") >= len(self._cuts)

    def _rotate(self, file: int) -> int:
        self._rotated += 1
        target = self._path.with_name(f"app.log.{self._rotated}")
        if self._random.random() < 0.5:
            self._path.rename(target)
            os.close(file)
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        else:
            shutil.copyfile(self._path, target)
            os.ftruncate(file, 0)
            self._cuts.append(time.monotonic())
        self._plain.append(target)
        # As logrotate's delaycompress: what was rotated before is packed now.
        if len(self._plain) > 2 and self._random.random() < 0.7:
            old = self._plain.pop(0)
            packed = old.with_name(f"{old.name}.gz.tmp")
            packed.write_bytes(gzip.compress(old.read_bytes()))
            packed.rename(old.with_name(f"{old.name}.gz"))
            old.unlink()
        return file


class Collecting:
    """`weir collect` in a process of its own."""

    def __init__(self, folder: Path, state: Path, url: str) -> None:
        self.log = state.parent / "collect.log"
        self.log.touch()
        self._command = ["collect", f"{folder}/app.log*", "--exclude", "*.tmp", "--to", url, "--state", str(state)]
        self._process: Running | None = None

    def start(self) -> None:
        settings = {
            "WEIR_COLLECTOR__POLL": "20ms",
            "WEIR_COLLECTOR__SCAN": "100ms",
            "WEIR_COLLECTOR__BATCH_WAIT": "50ms",
            "WEIR_COLLECTOR__BATCH_SIZE": "64KB",
            "WEIR_COLLECTOR__ROTATE_WAIT": "500ms",
        }
        env = weirs_environment() | settings
        self._process = shared().launch(self._command, env, stdout=self.log, stderr=self.log)

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(60)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def stored(url: str) -> Counter[str]:
    params = {"query": '{job="collect"}', "limit": "1000000", "start": "2020-01-01T00:00:00Z"}
    try:
        answer = httpx.get(f"{url}/loki/api/v1/query_range", params=params, timeout=60)
    except httpx.TransportError:
        return Counter()
    if answer.status_code != 200:
        return Counter()
    return Counter(line for stream in answer.json()["data"]["result"] for _, line in stream["values"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    args = ["--http", f"127.0.0.1:{port}", "--set", "limits.max_query_length=0"]
    args += ["--set", "limits.max_entries_limit_per_query=1000000", "--set", "memtable.size=1MB"]
    with ServerProcess(tmp_path / "data", *args) as running:
        yield running


def murder(server: ServerProcess, tmp_path: Path, seed: int, kills: int) -> None:
    chance = random.Random(seed)
    logs, state = tmp_path / "logs", tmp_path / "state"
    logs.mkdir()
    collecting = Collecting(logs, state, server.url)
    writer = Writer(logs, seed, collecting.log)
    try:
        writer.start()
        collecting.start()
        for _ in range(kills):
            enough = writer.written + chance.randrange(500, 3000)
            assert wait_until(partial(writer.has_written, enough), 60)
            victim = chance.randrange(3)
            if victim != 1:
                collecting.kill()
            if victim != 0:
                server.kill()
                server.start()
            if victim != 1:
                collecting.start()
        writer.enough.set()
        writer.join(60)
        assert wait_until(lambda: len(stored(server.url)) >= writer.written, 60)
        assert collecting.kill(signal.SIGTERM) == 0
    finally:
        writer.enough.set()
        collecting.end()
    found = stored(server.url)
    log = collecting.log.read_text()
    strange = [line for line in found if not LINE.fullmatch(line)]
    assert not strange, f"{strange}\n{sorted(logs.iterdir())}\n{log}"
    numbers = Counter({int(line.split(" ")[1]): count for line, count in found.items()})
    missing = [number for number in range(writer.written) if number not in numbers]
    twice = [number for number, count in numbers.items() if count > 1]
    assert (missing, twice) == ([], []), f"of {writer.written}:\n{sorted(logs.iterdir())}\n{log}"


def test_each_line_is_there_once_through_kills_of_both(server: ServerProcess, tmp_path: Path) -> None:
    murder(server, tmp_path, seed=1, kills=4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_each_line_is_there_once_through_many_kills(server: ServerProcess, tmp_path: Path, seed: int) -> None:
    murder(server, tmp_path, seed=seed, kills=15)
