"""A disk that becomes read-only: reads go on, pushes are told to come back, and once it is writable all goes on."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.crash.forks import ForkedServer, Forks
from tests.crash.small_disk import SmallTmpfs, Unavailable
from tests.crash.traffic import Answer, Connection, Line, push_body, read_lines
from tests.server import wait_until

SELECTOR = '{job="readonly"}'
SECOND = 1_000_000_000


class Client:
    """Pushes lines of its own and remembers which were acknowledged."""

    def __init__(self, server: ForkedServer) -> None:
        self.acknowledged: Counter[str] = Counter()
        self._server = server
        self._first = time.time_ns() - 60 * SECOND
        self._count = 0

    def push(self, app: str = "kept", lines: int = 10) -> Answer:
        sent = []
        for _ in range(lines):
            self._count += 1
            sent.append(Line((("app", app), ("job", "readonly")), self._first + self._count, f"{app} {self._count}"))
        answer = self.ask("POST", "/loki/api/v1/push", push_body(sent))
        if answer.status == 204:
            self.acknowledged.update(line.text for line in sent)
        return answer

    def ask(self, method: str, path: str, body: bytes | None = None, **parameters: object) -> Answer:
        with Connection(self._server.url) as connection:
            query = f"?{urlencode(parameters)}" if parameters else ""
            return connection.ask(method, path + query, body, {"Content-Type": "application/json"} if body else {})

    def delete(self, app: str) -> Answer:
        # An end of its own: a delete up to now takes a second of entries that are yet to come.
        end = (self._first + self._count) // SECOND + 1
        return self.ask("POST", "/loki/api/v1/delete", query=f'{{app="{app}"}}', start=end - 3600, end=end)

    def finds_all_once(self) -> bool:
        return read_lines(self._server.url, SELECTOR, self._first, self._first + self._count + 1) == self.acknowledged

    def metric(self, name: str) -> float:
        found = re.search(rf"^{name} (\S+)$", self.ask("GET", "/metrics").text, re.MULTILINE)
        assert found is not None, name
        return float(found[1])


def is_refused(answer: Answer) -> bool:
    """Whether it says that the disk is read-only, and when to come back."""
    return answer.status == 503 and int(answer.headers["retry-after"]) > 0 and "read-only" in answer.text


def test_a_disk_that_becomes_read_only_costs_nothing_but_time(tmp_path: Path, forks: Forks) -> None:
    constants = {"storage.flush.BACKOFF": (0.1,), "storage.flush.TICK": 0.05}
    # Compaction is asked for below: by itself it might have nothing left to do by then.
    settings = ("--set", "memtable.size=1MB", "--set", "deletes.cancel_period=0s", "--set", "compaction.enabled=false")
    with ForkedServer(forks, tmp_path / "data", *settings, constants=constants) as server:
        client = Client(server)
        for app in ("gone", "kept"):
            for _ in range(5):  # five blocks, which compaction joins if it is let
                assert client.push(app).status == 204
                assert client.ask("POST", "/flush").status == 204
        assert client.push("gone").status == 204  # and something in memory
        assert client.metric("weir_refused_batches_total") == 0
        for _ in range(2):
            server.suffer("read-only")
            for lines in (1, 10, 1000):
                assert is_refused(client.push(lines=lines))
            assert client.finds_all_once()
            for answer in (client.ask("POST", "/flush"), client.delete("gone"), client.ask("POST", "/weir/v1/compact")):
                assert is_refused(answer) or (answer.status == 503 and "cannot be written" in answer.text), answer.text
            assert client.ask("GET", "/loki/api/v1/delete").json == []
            health = client.ask("GET", "/health").json
            assert health["status"] == "degraded"
            assert health["components"]["wal"]["status"] == "refusing"
            assert health["components"]["flush"]["status"] == "failing"
            assert client.ask("GET", "/ready").status == 200  # it serves, and is asked again: so it finds out
            assert client.metric("weir_refused_batches_total") > 0
            assert client.finds_all_once()
            server.suffer()
            assert client.push().status == 204
            assert wait_until(lambda: client.ask("GET", "/health").json["status"] == "ok")
            assert client.push("gone").status == 204
            assert client.finds_all_once()
        assert "Traceback" not in server.log_text
        _check_that_all_goes_on(client, server)
        server.kill()
        server.start()
        assert client.finds_all_once()
        assert server.stop() == 0


def _check_that_all_goes_on(client: Client, server: ForkedServer) -> None:
    """A flush, a delete and compaction, with no restart."""
    assert client.ask("POST", "/flush").status == 204
    assert client.delete("gone").status == 204
    for line in [line for line in client.acknowledged if line.startswith("gone")]:
        del client.acknowledged[line]
    assert client.finds_all_once()
    assert client.ask("POST", "/weir/v1/compact").status == 204
    assert wait_until(lambda: client.ask("GET", "/loki/api/v1/delete").json[0]["status"] == "processed")
    assert len(list(server.data_dir.glob("blocks/*/*/*"))) == 1
    assert client.finds_all_once()


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[SmallTmpfs]:
    try:
        found = SmallTmpfs(tmp_path / "disk", 40 << 20)
    except Unavailable as reason:
        pytest.skip(f"{reason}; the same in one process is in tests/storage/test_lock.py")
    yield found
    found.close()


def remount(disk: SmallTmpfs, how: str) -> None:
    subprocess.run([*disk.wrapper, "mount", "-o", f"remount,{how}", str(disk.folder)], check=True)


@pytest.mark.parametrize("name", ["data", "new"])
def test_a_start_on_a_read_only_disk_says_what_to_do(tmpfs: SmallTmpfs, forks: Forks, name: str) -> None:
    server = ForkedServer(forks, tmpfs.folder / "data", "--set", "wal.reserve=1MB", inside=tmpfs.pid)
    try:
        client = Client(server.start())
        assert client.push().status == 204
        assert server.stop() == 0
        remount(tmpfs, "ro")
        server.data_dir = tmpfs.folder / name
        server.launch()
        assert server.wait() == 1
        assert (
            f"the data directory {server.data_dir} cannot be written: Read-only file system; mount its file system "
            "writable again; or choose another --data-dir"
        ) in server.log_text
        assert "Traceback" not in server.log_text
        remount(tmpfs, "rw")
        server.start()
        if name == "data":
            assert client.finds_all_once()
        assert client.push().status == 204
    finally:
        print(server.log_text)
        server.kill()
