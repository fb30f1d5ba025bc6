"""No room at a flush, at compaction, at a delete, at retention: nothing is lost or doubled, and with room all goes on.

What pushes and starts do on a full disk is in test_disk_full.py.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.crash.forks import ForkedServer, Forks
from tests.crash.small_disk import FileSizeLimit, SmallTmpfs, Unavailable
from tests.crash.traffic import Answer, Connection, Line, push_body, read_lines
from tests.server import wait_until

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
SIZE = 40 << 20
SETTINGS = ("wal.reserve=0", "wal.segment_size=100KB", "memtable.small_tenant=0", "deletes.cancel_period=0s")
"""Without a reserve, which would let all of this succeed for a while."""
CONSTANTS = {
    "storage.flush.BACKOFF": (0.1,),
    "storage.flush.TICK": 0.05,
    "storage.compact.engine.SPARE": 1 << 20,
    "storage.deletes.BETWEEN_FLUSHES": 0.1,
}
BLOCKS = 6
"""More than compaction leaves as they are."""
RULES = """
retention: {period: 1h}
limits:
  retention_stream: [{selector: '{app="kept"}', period: 0, priority: 1}]
"""


class Client:
    """Pushes lines of its own, of random characters, and remembers which were acknowledged."""

    def __init__(self, server: ForkedServer) -> None:
        self.server = server
        self.acknowledged: Counter[str] = Counter()
        self._first = time.time_ns() - 3 * HOUR
        self._count = 0

    def push(self, app: str = "kept", lines: int = 50) -> Answer:
        sent = []
        for _ in range(lines):
            self._count += 1
            text = f"{app} {self._count} {os.urandom(500).hex()}"
            sent.append(Line((("app", app), ("job", "full")), self._first + self._count, text))
        answer = self.ask("POST", "/loki/api/v1/push", push_body(sent))
        if answer.status == 204:
            self.acknowledged.update(line.text for line in sent)
        return answer

    def ask(self, method: str, path: str, body: bytes | None = None, **parameters: object) -> Answer:
        with Connection(self.server.url) as connection:
            query = f"?{urlencode(parameters)}" if parameters else ""
            return connection.ask(method, path + query, body, {"Content-Type": "application/json"} if body else {})

    def flush(self) -> Answer:
        return self.ask("POST", "/flush")

    def delete(self, app: str) -> Answer:
        first, end = self._first // SECOND, (self._first + self._count) // SECOND + 1
        return self.ask("POST", "/loki/api/v1/delete", query=f'{{app="{app}"}}', start=first, end=end)

    def deletes(self) -> list[str]:
        return [each["status"] for each in self.ask("GET", "/loki/api/v1/delete").json]

    def forget(self, app: str) -> None:
        """What was deleted or has expired is not to be found."""
        self.acknowledged = Counter(line for line in self.acknowledged if not line.startswith(app))

    def finds_all_once(self) -> bool:
        found = read_lines(self.server.url, '{job="full"}', self._first, self._first + self._count + 1)
        return found == self.acknowledged

    def blocks(self) -> float:
        found = re.search(r"^weir_blocks (\S+)$", self.ask("GET", "/metrics").text, re.MULTILINE)
        assert found is not None
        return float(found[1])


def is_refused(answer: Answer) -> bool:
    """Whether it says that the disk is full, and when to come back."""
    return answer.status == 503 and int(answer.headers["retry-after"]) > 0 and "free some space" in answer.text


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallTmpfs]:
    try:
        found = SmallTmpfs(tmp_path / "disk", SIZE)
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield found
    found.close()


@pytest.fixture
def client(disk: SmallTmpfs, forks: Forks) -> Iterator[Client]:
    """Of a server on the small disk, which compacts when it is asked to."""
    words = [*SETTINGS, "compaction.enabled=false"]
    found = ForkedServer(forks, disk.folder / "data", *_flags(words), constants=CONSTANTS, inside=disk.pid)
    try:
        yield Client(found.start())
        assert "Traceback" not in found.log_text
    finally:
        print(found.log_text)
        found.kill()


def _flags(words: list[str]) -> list[str]:
    return [word for setting in words for word in ("--set", setting)]


def restarted(client: Client) -> Client:
    """After a kill, what was acknowledged is there."""
    client.server.kill()
    client.server.start()
    return client


def test_a_flush_without_room_is_tried_until_there_is(client: Client, disk: SmallTmpfs) -> None:
    for _ in range(20):
        assert client.push().status == 204
    disk.fill(client.server, leave=200_000)
    for _ in range(2):
        assert is_refused(client.flush())
        assert client.finds_all_once()
        assert client.blocks() == 0
    disk.make_room(client.server)
    assert wait_until(lambda: client.blocks() == 1)  # by itself
    assert wait_until(lambda: client.push().status == 204)
    assert client.finds_all_once()
    assert restarted(client).finds_all_once()
    assert client.flush().status == 204
    assert client.finds_all_once()
    assert restarted(client).blocks() == 2
    assert client.finds_all_once()


def test_a_delete_without_room_is_refused_whole(client: Client, disk: SmallTmpfs) -> None:
    for app in ("kept", "gone"):
        assert client.push(app).status == 204
    assert client.flush().status == 204
    disk.fill(client.server, leave=0)
    # SQLite has some room of its own, which a few deletes of nothing take.
    taken = 0
    while not is_refused(answer := client.delete("nothing")):
        assert answer.status == 204
        taken += 1
        assert taken < 1000
    assert is_refused(client.delete("gone"))
    assert len(client.deletes()) == taken
    assert client.finds_all_once()
    restarted(client)
    assert len(client.deletes()) == taken
    assert client.finds_all_once()
    assert is_refused(client.delete("gone"))
    disk.make_room(client.server)
    assert client.delete("gone").status == 204
    client.forget("gone")
    assert client.finds_all_once()
    assert client.ask("POST", "/weir/v1/compact").status == 204
    assert wait_until(lambda: set(client.deletes()) == {"processed"})
    assert len(client.deletes()) == taken + 1
    assert client.push("gone").status == 204
    assert client.finds_all_once()
    assert restarted(client).finds_all_once()


def test_a_delete_that_waits_for_room_hides_its_entries_all_the_time(client: Client, disk: SmallTmpfs) -> None:
    for app in ("kept", "gone", "kept"):
        assert client.push(app).status == 204
    assert client.delete("gone").status == 204
    client.forget("gone")
    disk.fill(client.server, leave=10_000)
    assert client.ask("POST", "/weir/v1/compact").status == 204  # there is no room for it
    assert client.finds_all_once()
    assert client.deletes() == ["0% Complete"]
    assert restarted(client).finds_all_once()
    disk.make_room(client.server)
    assert client.ask("POST", "/weir/v1/compact").status == 204
    assert wait_until(lambda: client.deletes() == ["processed"])
    assert client.finds_all_once()
    assert restarted(client).finds_all_once()


def test_retention_makes_room_on_a_full_disk(disk: SmallTmpfs, forks: Forks, tmp_path: Path) -> None:
    (tmp_path / "weir.yml").write_text(RULES)
    # A start needs some room of its own, which is what the reserve is for.
    flags = _flags([*SETTINGS, "wal.reserve=2MB"])
    server = ForkedServer(forks, disk.folder / "data", *flags, constants=CONSTANTS, inside=disk.pid)
    client = Client(server.start())
    for app in ("gone", "gone", "kept"):
        for _ in range(10):
            assert client.push(app).status == 204
        assert client.flush().status == 204
    assert client.blocks() == 3
    assert server.stop() == 0
    flags += ["--config", str(tmp_path / "weir.yml")]
    client.server = server = ForkedServer(forks, disk.folder / "data", *flags, constants=CONSTANTS, inside=disk.pid)
    disk.fill(server, leave=0)
    try:
        server.start()
        client.forget("gone")
        assert client.finds_all_once()
        assert wait_until(lambda: client.blocks() == 1)
        assert restarted(client).finds_all_once()
        assert client.blocks() == 1
        disk.make_room(server)
        assert wait_until(lambda: client.push().status == 204)
        assert client.flush().status == 204
        assert restarted(client).finds_all_once()
        assert client.blocks() == len(list(disk.inside.glob("data/blocks/*/*/*"))) == 2
        assert "Traceback" not in server.log_text
        assert server.stop() == 0
    finally:
        print(server.log_text)
        server.kill()


def test_blocks_go_for_room_when_index_db_has_none(tmp_path: Path, forks: Forks) -> None:
    settings = _flags([*SETTINGS, "retention.max_total_size=600KB", "compaction.enabled=false"])
    with ForkedServer(forks, tmp_path / "data", *settings, constants=CONSTANTS) as server:
        client = Client(server)
        for _ in range(2):
            assert client.push("gone", lines=500).status == 204
            assert client.flush().status == 204
        (oldest, _) = sorted(path.name for path in server.data_dir.glob("blocks/*/*/*"))
        server.suffer("fail sqlite")
        for _ in range(2):
            assert client.push("kept", lines=500).status == 204
            assert client.flush().status == 204
        client.forget("gone")
        assert wait_until(client.finds_all_once)
        assert "blocks are removed without it" in server.log_text
        assert oldest in listed(server.data_dir)
        server.suffer()
        assert wait_until(lambda: oldest not in listed(server.data_dir))
        assert restarted(client).finds_all_once()
        assert "its rows are lost" not in server.log_text
        assert listed(server.data_dir) == sorted(path.name for path in server.data_dir.glob("blocks/*/*/*"))
        assert "Traceback" not in server.log_text


def listed(data_dir: Path) -> list[str]:
    """Files that are in index.db."""
    with closing(sqlite3.connect(data_dir / "index.db")) as db:
        return sorted(Path(path).name for (path,) in db.execute("SELECT path FROM blocks"))


def test_compaction_waits_for_room_and_goes_on_by_itself(disk: SmallTmpfs, forks: Forks) -> None:
    server = ForkedServer(forks, disk.folder / "data", *_flags([*SETTINGS]), constants=CONSTANTS, inside=disk.pid)
    try:
        client = Client(server.start())
        disk.fill(server, leave=2 << 20)
        for _ in range(BLOCKS):
            for _ in range(4):
                assert client.push().status == 204
            assert client.flush().status == 204
        assert wait_until(lambda: "are not compacted before it has room" in server.log_text)
        assert client.blocks() == BLOCKS
        assert client.finds_all_once()
        disk.make_room(server)
        assert wait_until(lambda: client.blocks() < BLOCKS)
        assert client.finds_all_once()
        assert restarted(client).finds_all_once()
        assert "Traceback" not in server.log_text
    finally:
        print(server.log_text)
        server.kill()


def test_compaction_that_fills_the_disk_leaves_the_blocks_as_they_are(tmp_path: Path, forks: Forks) -> None:
    """A limit on the size of files: each block has room, and what is made of them has not."""
    limit = FileSizeLimit(tmp_path / "disk")
    server = ForkedServer(forks, limit.folder / "data", *_flags([*SETTINGS]), constants=CONSTANTS)
    try:
        client = Client(server.start())
        limit.fill(server, leave=300_000)
        for _ in range(BLOCKS):
            for _ in range(4):
                assert client.push().status == 204
            assert client.flush().status == 204
        assert wait_until(lambda: "compaction failed, the blocks stay as they are" in server.log_text)
        assert is_refused(client.ask("POST", "/weir/v1/compact"))
        assert client.blocks() == BLOCKS
        assert len(list(limit.folder.glob("data/blocks/*/*/*.parquet"))) == BLOCKS
        assert client.push().status == 204
        assert client.finds_all_once()
        limit.make_room(server)
        assert wait_until(lambda: client.blocks() < BLOCKS)
        assert client.finds_all_once()
        assert restarted(client).finds_all_once()
        assert {path.suffix for path in limit.folder.glob("data/blocks/*/*/*")} == {".parquet"}
        assert "Traceback" not in server.log_text
    finally:
        print(server.log_text)
        server.kill()
