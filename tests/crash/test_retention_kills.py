"""kill -9 of a real server after any step of retention: what expired stays away, and the rest is there."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from tests.crash.forks import ForkedServer, Forks
from tests.crash.killed_steps import blocks, kill_at_each_step
from tests.crash.traffic import Connection, Line, push_body, read_lines
from tests.server import wait_until

DAY = 86_400_000_000_000
ROWS = 40
"""Entries of a stream and day."""
ALL = '{job="retention"}'

# `old` expires at once, `kept` never does: of the day that both have, half is to be left out of its block.
RULES = """
retention: {period: 1h}
limits:
  retention_stream: [{selector: '{app="kept"}', period: 0, priority: 1}]
"""


class Filled:
    """A data directory of before there was a rule: two days of `old`, one of both, one of `kept`."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.data_dir = folder / "filled"
        self.begin = (time.time_ns() // DAY - 9) * DAY
        self.kept: Counter[str] = Counter()
        with ForkedServer(forks, self.data_dir) as server, Connection(server.url) as connection:
            for app, days in (("old", (0, 1, 2)), ("kept", (2, 3))):
                for day in days:
                    lines = [self._line(app, day, at) for at in range(ROWS)]
                    assert connection.push(push_body(lines)).status == 204
                    if app == "kept":
                        self.kept.update(line.text for line in lines)
            assert connection.ask("POST", "/flush").status == 204
            assert server.stop() == 0
        assert len(blocks(self.data_dir)) == 4

    def _line(self, app: str, day: int, at: int) -> Line:
        ts = self.begin + day * DAY + 2 * at + (app == "kept")
        return Line((("app", app), ("job", "retention")), ts, f"{app} {day} {at}")

    def seen(self, server: ForkedServer) -> Counter[str]:
        return read_lines(server.url, ALL, self.begin, self.begin + 5 * DAY)

    def counted(self, server: ForkedServer) -> dict[str, int]:
        """Entries by app as a metric query counts them, which asks blocks for totals."""
        query = f"sum by (app) (count_over_time({ALL}[20d]))"
        with Connection(server.url) as connection:
            found = connection.get("/loki/api/v1/query", query=query).json["data"]["result"]
        return {series["metric"]["app"]: int(series["value"][1]) for series in found}


def is_carried_out(server: ForkedServer) -> bool:
    """Whether nothing that expired is on disk."""
    try:
        rows = [pq.read_metadata(path).num_rows for path in blocks(server.data_dir)]
    except FileNotFoundError:  # it went in this moment
        return False
    return rows == [ROWS, ROWS] and not list(server.data_dir.glob("blocks/*/*/*.tmp"))


def test_retention_that_is_killed_at_any_step_is_carried_out_by_the_next_start(tmp_path: Path, forks: Forks) -> None:
    filled = Filled(tmp_path, forks)
    (tmp_path / "weir.yml").write_text(RULES)

    def check(server: ForkedServer) -> None:
        for _ in range(2):
            assert filled.seen(server) == filled.kept
            assert filled.counted(server) == {"kept": 2 * ROWS}
            assert wait_until(lambda: is_carried_out(server))

    flags = ("--config", str(tmp_path / "weir.yml"))
    ended = kill_at_each_step(forks, filled.data_dir, *flags, is_done=is_carried_out, check=check)
    # The harness did its work: index.db twice (blocks that went, the block written anew), and a file at each end.
    assert ended["sqlite transaction"] == 2
    assert ended["unlink"] == 3
    assert ended["rename"] == 1
    assert ended["write"] >= 1
