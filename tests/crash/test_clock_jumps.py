"""The clock goes back an hour and on by a day while lines are pushed: none is lost, and no file goes."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Self

from tests.crash.forks import ForkedServer, Forks
from tests.crash.traffic import Connection, Line, push_body, read_lines
from tests.server import wait_until

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
SELECTOR = '{job="clock"}'
SETTINGS = ("retention.period=12h", "wal.segment_size=50KB")


class Machine:
    """A machine whose clock can jump: the server's and that of a program which pushes on it all the time."""

    def __init__(self, server: ForkedServer) -> None:
        self.server = server
        self.began = time.time_ns()
        self.shift = 0
        self.acknowledged: dict[int, str] = {}
        """By time, ns."""
        self.faults: list[str] = []
        self._count = 0
        self._still = threading.Lock()
        """Held while the clock jumps, and while a push is made and sent: its times are of one clock."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._push, name="pusher")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def jump(self, shift: int) -> None:
        """The clock is off by so many ns from now on."""
        with self._still:
            self.server.suffer(f"clock {shift // SECOND}")
            self.shift = shift

    def _push(self) -> None:
        with Connection(self.server.url) as connection:
            while not self._stop.wait(0.002):
                with self._still:
                    self._push_once(connection)

    def _push_once(self, connection: Connection) -> None:
        ts = time.time_ns() + self.shift
        lines = []
        for _ in range(20):
            self._count += 1
            ts += 1
            while ts in self.acknowledged:  # the clock was here before
                ts += 1
            labels = (("app", f"app{self._count % 3}"), ("job", "clock"))
            lines.append(Line(labels, ts, f"{self._count} {'x' * 200}"))
        answer = connection.push(push_body(lines))
        if answer.status == 204:
            self.acknowledged.update((line.ts, line.text) for line in lines)
        else:
            self.faults.append(f"{answer.status}: {answer.text}")

    def push_some(self) -> None:
        """Returns when lines were pushed before, while and after memory became blocks."""
        for _ in range(2):
            enough = len(self.acknowledged) + 200
            assert wait_until(partial(self._has, enough))
            with Connection(self.server.url) as connection:
                assert connection.ask("POST", "/flush").status == 204

    def _has(self, lines: int) -> bool:
        return len(self.acknowledged) >= lines

    def metric(self, name: str) -> float:
        with Connection(self.server.url) as connection:
            text = connection.get("/metrics").text
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    def found(self) -> Counter[str]:
        return read_lines(self.server.url, SELECTOR, self.began - 2 * HOUR, self.began + 2 * DAY)

    def texts(self, since: int = 0) -> Counter[str]:
        """What was acknowledged of times since then."""
        with self._still:
            return Counter(text for ts, text in self.acknowledged.items() if ts >= since)

    def in_order(self) -> list[str]:
        """The newest lines of one stream as a query has them, and as their times are."""
        with Connection(self.server.url) as connection:
            window = {"start": self.began - 2 * HOUR, "end": self.began + 2 * DAY, "limit": 5000}
            found = connection.get("/loki/api/v1/query_range", query='{app="app1"}', **window).json["data"]["result"]
        return [line for stream in found for _, line in stream["values"]]

    def check(self) -> None:
        """All is there once, and in order."""
        assert self.found() == self.texts()
        newest = sorted((ts for ts, text in self.acknowledged.items() if int(text.split()[0]) % 3 == 1), reverse=True)
        assert self.in_order() == [self.acknowledged[ts] for ts in newest][:5000]


def test_the_clock_jumps_while_lines_are_pushed(tmp_path: Path, forks: Forks) -> None:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    with ForkedServer(forks, tmp_path / "data", *settings) as server:
        machine = Machine(server)
        with machine:
            machine.push_some()
            for shift in (-HOUR, 0, DAY, 0):
                machine.jump(shift)
                machine.push_some()
                if shift == DAY:
                    _look_around_a_day_later(machine)
        assert machine.faults == []
        machine.check()
        _a_sender_whose_clock_is_right(machine)
        server.kill()
        server.start()
        machine.check()
        assert server.stop() == 0
        # The clock is wrong from the start on: nothing is removed by it either, and all is there when it is right.
        machine.jump(DAY)
        server.start()
        assert wait_until(lambda: machine.metric("weir_retention_clock_ahead_seconds") > 86_000)
        server.kill()
        machine.jump(0)
        server.start()
        machine.check()
        assert "Traceback" not in server.log_text
        files = [path.stem for path in server.data_dir.glob("blocks/*/*/*.parquet")]
        assert len(files) == len(set(files))


def _look_around_a_day_later(machine: Machine) -> None:
    """What is older than 12 hours by that clock is out of sight, and its files stay: the clock is not believed yet."""
    machine.server.wait_for_log(re.compile("the clock is 86[0-9]{3} s ahead of the time"))  # retention has looked
    assert machine.metric("weir_retention_clock_ahead_seconds") > 86_000
    midnight = machine.began + 12 * HOUR
    old, new = machine.texts() - machine.texts(midnight), machine.texts(midnight)
    seen = machine.found()
    assert new
    assert not new - seen
    assert not old & seen
    machine.push_some()
    assert machine.metric("weir_retention_dropped_blocks_total") == 0


def _a_sender_whose_clock_is_right(machine: Machine) -> None:
    """To a server that is an hour behind its lines are from the future, which creation_grace_period is the limit of."""
    machine.jump(-HOUR)
    now = time.time_ns()
    with Connection(machine.server.url) as connection:
        for ts, status in ((now, 400), (now - HOUR, 204)):
            answer = connection.push(push_body([Line((("app", "app0"), ("job", "clock")), ts, "0 right")]))
            assert answer.status == status, answer.text
            assert status == 204 or "timestamp too new" in answer.text
    machine.acknowledged[now - HOUR] = "0 right"
    machine.jump(0)
