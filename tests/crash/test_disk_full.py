"""A full disk: pushes get 503, reads go on, a flush goes through; with room again pushes are taken by themselves."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.forks import ForkedServer, Forks
from tests.crash.small_disk import Disk, FileSizeLimit, SmallTmpfs, Unavailable
from tests.crash.traffic import Answer, Connection, Line, push_body, read_lines
from tests.server import ServerProcess, wait_until

SELECTOR = '{job="full"}'
SIZE = 40 << 20
SETTINGS = ("wal.reserve=12MB", "wal.segment_size=1MB")
LINES = 50
"""Lines of a push, of 1,000 random characters each: they compress to a half."""


class Client:
    """Pushes lines of its own and remembers which were acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: Counter[str] = Counter()
        self._first = time.time_ns()
        self._count = 0

    def push(self, server: ServerProcess) -> Answer:
        lines = []
        for _ in range(LINES):
            self._count += 1
            lines.append(Line((("job", "full"),), self._first + self._count, f"{self._count} {os.urandom(500).hex()}"))
        with Connection(server.url) as connection:
            answer = connection.push(push_body(lines))
        if answer.status == 204:
            self.acknowledged.update(line.text for line in lines)
        return answer

    def push_until_refused(self, server: ServerProcess, most: int = 2000) -> None:
        for _ in range(most):
            answer = self.push(server)
            if answer.status != 204:
                assert answer.status == 503, answer.text
                assert int(answer.headers["retry-after"]) > 0
                assert "disk" in answer.text
                return
        raise AssertionError(f"{most} pushes and no refusal")

    def taken_again(self, server: ServerProcess) -> bool:
        return wait_until(lambda: self.push(server).status == 204)

    def finds_all_once(self, server: ServerProcess) -> bool:
        found = read_lines(server.url, SELECTOR, self._first, self._first + self._count + 1)
        return found == self.acknowledged


@pytest.fixture(params=["tmpfs", "file size limit"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    found = _small_tmpfs(tmp_path) if request.param == "tmpfs" else FileSizeLimit(tmp_path / "disk")
    yield found
    found.close()


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[SmallTmpfs]:
    found = _small_tmpfs(tmp_path)
    yield found
    found.close()


def _small_tmpfs(tmp_path: Path) -> SmallTmpfs:
    try:
        return SmallTmpfs(tmp_path / "disk", SIZE)
    except Unavailable as reason:
        # Not silently: the same test runs with a limit on the size of files, which needs nobody's leave.
        pytest.skip(f"{reason}; the file size limit stands in for it")


@contextmanager
def _serving(disk: Disk, forks: Forks) -> Iterator[ServerProcess]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    server = ForkedServer(forks, disk.folder / "data", *settings, inside=disk.pid)
    try:
        yield server.start()
    finally:
        print(server.log_text)
        server.kill()


def test_pushes_are_refused_while_the_disk_is_full_and_taken_again_after(disk: Disk, forks: Forks) -> None:
    client = Client()
    with _serving(disk, forks) as server:
        assert client.push(server).status == 204
        for _ in range(2):
            disk.fill(server, leave=1000)
            client.push_until_refused(server)
            assert client.finds_all_once(server)
            disk.make_room(server)
            assert client.taken_again(server)
            assert client.finds_all_once(server)
        server.kill()
        server.start()
        assert client.finds_all_once(server)
        assert client.push(server).status == 204
        assert server.stop() == 0


def test_a_server_starts_and_answers_on_a_full_disk(tmpfs: SmallTmpfs, forks: Forks) -> None:
    client = Client()
    with _serving(tmpfs, forks) as server:
        for _ in range(40):
            assert client.push(server).status == 204
        tmpfs.fill(server, leave=1 << 20)
        client.push_until_refused(server)
        for end in (server.kill, server.stop):
            end()
            tmpfs.fill(server, leave=0)
            server.start()
            assert client.finds_all_once(server)
            client.push_until_refused(server)
        tmpfs.make_room(server)
        assert client.taken_again(server)
        assert client.finds_all_once(server)
        assert "Traceback" not in server.log_text


def test_a_flush_empties_the_log_of_a_full_disk_with_the_reserve(tmpfs: SmallTmpfs, forks: Forks) -> None:
    client = Client()
    with _serving(tmpfs, forks) as server:
        for _ in range(100):
            assert client.push(server).status == 204
        tmpfs.fill(server, leave=100_000)
        client.push_until_refused(server)
        with Connection(server.url) as connection:
            assert connection.ask("POST", "/flush").status == 204
        assert "goes on with the reserve" in server.log_text
        assert client.finds_all_once(server)
        # What the log took is free again, so that the reserve is there for the next time.
        assert client.taken_again(server)
        tmpfs.fill(server, leave=0)
        client.push_until_refused(server)
        server.kill()
        server.start()
        assert client.finds_all_once(server)
        tmpfs.make_room(server)
        assert client.taken_again(server)
        assert server.stop() == 0
        server.start()
        assert client.finds_all_once(server)
