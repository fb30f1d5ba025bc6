"""kill -9 of a real server after any step in which blocks are joined and a delete is carried out: no line is lost or
doubled, and what was deleted does not come back."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from tests.crash.forks import ForkedServer, Forks
from tests.crash.killed_steps import blocks, kill_at_each_step
from tests.crash.traffic import Connection, Line, push_body, read_lines
from tests.server import wait_until

DAY = 86_400_000_000_000
FLUSHES = 6
ROWS = 20
"""Entries of a flush; half of them are deleted."""
ALL = '{job="compaction"}'
AT_ONCE = ("--set", "deletes.cancel_period=0s")
RESTING = ("--set", "compaction.enabled=false")


class Filled:
    """A data directory with a day of small blocks and a delete that nobody has carried out yet."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.data_dir = folder / "filled"
        self.begin = (time.time_ns() // DAY - 9) * DAY
        self.kept: Counter[str] = Counter()
        with ForkedServer(forks, self.data_dir, *AT_ONCE, *RESTING) as server, Connection(server.url) as connection:
            for flush in range(FLUSHES):
                lines = [self._line(flush, at) for at in range(ROWS)]
                assert connection.push(push_body(lines)).status == 204
                assert connection.ask("POST", "/flush").status == 204
                self.kept.update(line.text for line in lines if "kept" in line.text)
            first, last = self.begin // 10**9, self.begin // 10**9 + 3600
            path = f"/loki/api/v1/delete?query=%7Bjob%3D%22compaction%22%7D%7C%3D%22gone%22&start={first}&end={last}"
            assert connection.ask("POST", path).status == 204
            assert self.seen(server) == self.kept
            assert server.stop() == 0
        assert len(blocks(self.data_dir)) == FLUSHES

    def _line(self, flush: int, at: int) -> Line:
        # Late ones too: each flush has times before and after those of the others.
        ts = self.begin + at * 1_000_000_000 + flush
        return Line((("app", f"a{at % 3}"), ("job", "compaction")), ts, f"{'kept' if at % 2 else 'gone'} {flush} {at}")

    def seen(self, server: ForkedServer) -> Counter[str]:
        return read_lines(server.url, ALL, self.begin, self.begin + DAY)


def is_done(server: ForkedServer) -> bool:
    """Whether the blocks are joined and what was deleted is off the disk."""
    if len(blocks(server.data_dir)) > 1 or list(server.data_dir.glob("blocks/*/*/*.tmp")):
        return False
    with Connection(server.url) as connection:
        (delete,) = connection.ask("GET", "/loki/api/v1/delete").json
    return bool(delete["status"] == "processed")


def test_a_join_that_is_killed_at_any_step_is_done_by_the_next_start(tmp_path: Path, forks: Forks) -> None:
    filled = Filled(tmp_path, forks)

    def check(server: ForkedServer) -> None:
        assert filled.seen(server) == filled.kept
        assert wait_until(lambda: is_done(server))
        assert filled.seen(server) == filled.kept
        assert len(blocks(server.data_dir)) == 1

    ended = kill_at_each_step(forks, filled.data_dir, *AT_ONCE, is_done=is_done, check=check)
    # The harness did its work: the block that came, those that went, and what index.db and control.db say of it.
    assert ended["rename"] >= 1
    assert ended["unlink"] >= FLUSHES
    assert ended["sqlite transaction"] >= 2
    assert ended["write"] >= 1
