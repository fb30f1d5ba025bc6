"""The real server, four pushers, kill -9 at random moments: at the end each acknowledged line is there exactly once."""

from __future__ import annotations

import os
import re
import time
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.crash.forks import ForkedServer, Forks
from tests.crash.pushers import DAY, SELECTOR, Pusher
from tests.crash.traffic import Connection, read_lines
from tests.server import wait_until

PUSHERS = 4
ROUNDS = 20
MOST = 6000
"""Lines that are acknowledged in a round: at most, and half of that on average."""
CHECK_EVERY = 100
"""Rounds after which a long run looks at everything, so that a fault is found near its cause."""

# Small enough that several flushes, and rotations of the log, fall into each round.
SETTINGS = ("memtable.size=256KB", "memtable.small_tenant=1KB", "wal.segment_size=64KB", "wal.reserve=256KB")


def test_nothing_acknowledged_is_lost_or_doubled_by_kills(tmp_path: Path, forks: Forks) -> None:
    _rounds(forks, tmp_path / "data", ROUNDS, seed=20)


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_or_doubled_by_many_kills(tmp_path: Path, forks: Forks) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    _rounds(forks, tmp_path / "data", int(os.environ.get("WEIR_SOAK_ROUNDS", "1000")), seed)


def _rounds(forks: Forks, data_dir: Path, rounds: int, seed: int) -> None:
    random = Random(seed)
    server = ForkedServer(forks, data_dir, *(word for setting in SETTINGS for word in ("--set", setting)))
    first_ts = time.time_ns() - 2 * DAY
    pushers = [Pusher(number, PUSHERS, first_ts, seed) for number in range(PUSHERS)]
    flushes = 0.0
    try:
        for number in range(1, rounds + 1):
            if number % 5 == 0:
                # In the middle of a start: a replay that is cut short must be as harmless as a push that is.
                server.launch()
                time.sleep(random.uniform(0.0, 0.1))
                server.kill()
            server.start()
            for pusher in pushers:
                pusher.start(server.url)
            enough = _acknowledged(pushers) + random.randrange(MOST)
            assert wait_until(partial(_have, pushers, enough))
            flushes += _flushes(server)
            server.kill()
            for pusher in pushers:
                pusher.join()
            if number % CHECK_EVERY == 0:
                server.start()
                _check(server, pushers)
                server.kill()
        server.start()
        for pusher in pushers:
            pusher.finish(server.url)
        _check(server, pushers)
        with Connection(server.url) as connection:
            assert connection.ask("POST", "/flush").status == 204
        _check(server, pushers)
        server.kill()
        server.start()
        _check(server, pushers)
        assert server.stop() == 0
    finally:
        server.kill()
        for pusher in pushers:
            pusher.join()
    # The test did its work: there was much to lose, and flushes were among what was interrupted.
    assert _acknowledged(pushers) > 100 * rounds
    assert flushes > rounds


def _acknowledged(pushers: list[Pusher]) -> int:
    return sum(len(pusher.known.acknowledged) for pusher in pushers)


def _have(pushers: list[Pusher], lines: int) -> bool:
    return _acknowledged(pushers) >= lines


def _flushes(server: ForkedServer) -> float:
    """Flushes since the start of the server."""
    with Connection(server.url) as connection:
        found = re.search(r"^weir_flushes_total (\S+)", connection.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def _check(server: ForkedServer, pushers: list[Pusher]) -> None:
    faults = [fault for pusher in pushers for fault in pusher.faults]
    assert not faults
    assert "Traceback" not in server.log_text
    acknowledged = {line for pusher in pushers for line in pusher.known.acknowledged}
    doubtful = {line for pusher in pushers for line in pusher.known.doubtful}
    found = read_lines(server.url, SELECTOR, pushers[0].first_ts, max(pusher.newest_ts for pusher in pushers) + 1)
    _none(acknowledged - found.keys(), "acknowledged and lost")
    _none(found.keys() - acknowledged - doubtful, "nobody sent it")
    _none({line for line, count in found.items() if count > 1}, "there twice")


def _none(lines: set[str], fault: str) -> None:
    assert not lines, f"{fault}: {len(lines)} lines, as {sorted(line.rstrip('x') for line in lines)[:5]}"
