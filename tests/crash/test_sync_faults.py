"""Syncs that fail or take long: what is acknowledged is on disk, reads go on, pushes come back by themselves."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.crash.forks import ForkedServer, Forks
from tests.crash.traffic import Connection, Line, push_body, read_lines
from tests.server import wait_until

SELECTOR = '{job="faults"}'


class Faulty:
    """A server whose syncs can be made to fail or to be slow while it runs."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.server = ForkedServer(forks, folder / "data", "--set", "wal.reserve=1MB")
        self._first = time.time_ns()
        self._count = count(1)

    def start(self) -> None:
        self.server.start()

    def set(self, fault: str) -> None:
        self.server.suffer(fault)

    def line(self, text: str) -> Line:
        number = next(self._count)
        return Line((("job", "faults"), ("n", str(number % 3))), self._first + number, text)

    def lines(self) -> Counter[str]:
        return read_lines(self.server.url, SELECTOR, self._first, self._first + 1_000_000)


@pytest.fixture
def faulty(tmp_path: Path, forks: Forks) -> Iterator[Faulty]:
    found = Faulty(tmp_path, forks)
    found.start()
    yield found
    found.server.kill()


# A failed sync; one after which the record cannot be cut off either; a write that fails.
@pytest.mark.parametrize("fault", ["fail fdatasync", "fail fdatasync fsync ftruncate", "fail write"])
def test_a_failing_log_refuses_pushes_serves_reads_and_recovers_by_itself(faulty: Faulty, fault: str) -> None:
    accepted: list[str] = []
    with Connection(faulty.server.url) as connection:
        for round_ in range(2):
            for number in range(3):
                assert connection.push(push_body([faulty.line(f"good {round_} {number}")])).status == 204
                accepted.append(f"good {round_} {number}")
            faulty.set(fault)
            refused = [faulty.line(f"refused {round_} {number}") for number in range(3)]
            for line in refused:
                answer = connection.push(push_body([line]))
                assert answer.status == 503
                assert int(answer.headers["retry-after"]) > 0
                assert "write-ahead log" in answer.text
            assert faulty.lines() == Counter(accepted)
            faulty.set("")
            # As a shipper does: the last one is sent again until it is taken; the others never are.
            again = push_body(refused[-1:])
            assert wait_until(partial(_taken, connection, again), 20)
            accepted.append(refused[-1].text)
            assert faulty.lines() == Counter(accepted)
    faulty.server.kill()
    faulty.start()
    assert faulty.lines() == Counter(accepted)
    assert faulty.server.stop() == 0
    faulty.start()
    assert faulty.lines() == Counter(accepted)
    assert "Traceback" not in faulty.server.log_text


def test_what_cannot_be_cut_off_is_not_doubled_by_a_second_try(faulty: Faulty) -> None:
    line = faulty.line("tried twice")
    with Connection(faulty.server.url) as connection:
        faulty.set("fail fdatasync ftruncate")
        assert connection.push(push_body([line])).status == 503
        faulty.set("")
        assert wait_until(partial(_taken, connection, push_body([line])), 20)
    assert faulty.lines() == Counter([line.text])
    faulty.server.kill()
    faulty.start()
    assert faulty.lines() == Counter([line.text])


def _taken(connection: Connection, body: bytes) -> bool:
    return connection.push(body).status == 204


def test_a_log_that_fails_at_the_end_says_so_and_keeps_what_was_acknowledged(faulty: Faulty) -> None:
    with Connection(faulty.server.url) as connection:
        assert connection.push(push_body([faulty.line("good")])).status == 204
        faulty.set("fail fdatasync fsync")
        assert connection.push(push_body([faulty.line("refused")])).status == 503
    faulty.server.stop()
    faulty.set("")
    faulty.start()
    assert faulty.lines() == Counter(["good"])


def test_a_slow_sync_is_shared_by_those_who_wait_for_it(faulty: Faulty) -> None:
    pushers, each = 16, 25
    faulty.set("slow 0.01")
    before = _syncs(faulty)

    def push(pusher: int) -> int:
        with Connection(faulty.server.url) as connection:
            lines = [faulty.line(f"{pusher} {number}") for number in range(each)]
            return sum(connection.push(push_body([line])).status == 204 for line in lines)

    with ThreadPoolExecutor(pushers) as threads:
        assert sum(threads.map(push, range(pushers))) == pushers * each
    # With a sync each it would be 400; sixteen wait at a time, so two groups of eight or better is what sharing means.
    assert _syncs(faulty) - before < pushers * each / 4
    faulty.server.kill()
    faulty.start()
    assert faulty.lines() == Counter(f"{pusher} {number}" for pusher in range(pushers) for number in range(each))


def _syncs(faulty: Faulty) -> int:
    with Connection(faulty.server.url) as connection:
        found = re.search(r"^weir_wal_sync_seconds_count (\d+)", connection.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return int(found[1])
