"""Syncs that fail or take long: nothing is acknowledged that is not on disk, reads go on, pushes come back by themselves."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.traffic import Connection, Line, push_body, read_lines
from tests.server import ServerProcess, wait_until

LAUNCHER = Path(__file__).parent / "serve_with_faults.py"
SELECTOR = '{job="faults"}'


class Faulty:
    """A server whose syncs can be made to fail or to be slow while it runs."""

    def __init__(self, folder: Path) -> None:
        self.server = ServerProcess(folder / "data", "--set", "wal.reserve=1MB")
        self._file = folder / "faults"
        self.start_time = time.time_ns()
        self._count = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        self.server.start([sys.executable, str(LAUNCHER), str(self._file)])

    def set(self, fault: str) -> None:
        # Renamed into place: the server must not read half a sentence.
        written = self._file.with_suffix(".new")
        written.write_text(fault)
        written.rename(self._file)

    def line(self, text: str) -> Line:
        with self._lock:
            self._count += 1
            return Line((("job", "faults"), ("n", str(self._count % 3))), self.start_time + self._count, text)

    def push(self, connection: Connection, text: str) -> int:
        answer = connection.push(push_body([self.line(text)]))
        if answer.status == 503:
            assert int(answer.headers["retry-after"]) > 0
            assert "write-ahead log" in answer.text
        return answer.status

    def lines(self) -> dict[str, int]:
        return dict(read_lines(self.server.url, SELECTOR, self.start_time, self.start_time + 1_000_000))


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    found = Faulty(tmp_path)
    found.start()
    yield found
    found.server.kill()


# A failed sync; one after which the segment cannot be cut or synced either; a write that fails.
@pytest.mark.parametrize("fault", ["fail fdatasync", "fail fdatasync fsync", "fail write"])
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_failing_log_refuses_pushes_and_recovers(faulty: Faulty, fault: str, end: str) -> None:
    accepted = []
    with Connection(faulty.server.url) as connection:
        for round_ in range(2):
            for number in range(3):
                assert faulty.push(connection, f"good {round_} {number}") == 204
                accepted.append(f"good {round_} {number}")
            faulty.set(fault)
            for number in range(3):
                assert faulty.push(connection, f"refused {round_} {number}") == 503
            assert faulty.lines() == dict.fromkeys(accepted, 1)
            faulty.set("")
            assert wait_until(lambda: faulty.push(connection, "good again") == 204, 20)
            accepted.append("good again")
            connection.get("/metrics")
            if round_ == 0:
                accepted.remove("good again")
                accepted.append("good again")
    _same_after_restart(faulty, end)


def _same_after_restart(faulty: Faulty, end: str) -> None:
    before = faulty.lines()
    if end == "kill":
        faulty.server.kill()
    else:
        assert faulty.server.stop() == 0
    faulty.start()
    assert faulty.lines() == before
