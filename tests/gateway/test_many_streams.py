"""Very many streams against a real server: what they take, and that questions about few of them cost what they did."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import ServerProcess

MINUTE = 60_000_000_000
DAY = 1440 * MINUTE
REQUEST = 500
"""Lines of a push, each of a stream of its own."""
LIMIT_MB = 800
ASKED = 8
"""Times that a question is asked to see what it costs; the least of three such rows counts."""
MOST = 2.0
MADE_IN = 60
"""Seconds in which 100,000 streams have to be there, the client that makes their labels included."""
_CPU_CLOCK = 2
"""CPUCLOCK_SCHED of the kernel: a process's CPU clock is numbered ~pid << 3 | this (clock_getcpuclockid(3))."""


def labels(number: int) -> dict[str, str]:
    return {
        "stream_id": f"s{number}",
        "app": f"app-{number % 20}",
        "namespace": f"ns-{number % 50}",
        "pod": f"pod-{number // 4}",
        "host": f"host-{number % 500}",
        "region": f"region-{number % 4}",
        "env": f"env-{number % 3}",
        "container": f"c-{number % 30}",
        "version": f"v{number % 100}",
        "job": f"job-{number % 40}",
    }


class Asked:
    """A server with `count` streams of `lines` lines each, which lie within one minute."""

    def __init__(self, folder: Path, count: int, lines: int) -> None:
        self.server = ServerProcess(folder, fresh=True)
        self.count = count
        self.lines = lines
        self.client = httpx.Client(timeout=120)
        self.begin = 0
        self.made_in = 0.0
        """Seconds until every stream had a line."""

    @contextmanager
    def running(self) -> Iterator[None]:
        with self.client, self.server:
            yield

    def fill(self) -> None:
        self.begin = (time.time_ns() // MINUTE - 4) * MINUTE
        if (self.begin + MINUTE) // DAY != self.begin // DAY:
            self.begin -= MINUTE  # all of one day
        began = time.monotonic()
        for line in range(self.lines):
            at = self.begin + line * 1_000_000
            for first in range(0, self.count, REQUEST):
                streams = [
                    {"stream": labels(number), "values": [[str(at + number), f"line {line}"]]}
                    for number in range(first, min(first + REQUEST, self.count))
                ]
                answer = self.client.post(f"{self.server.url}/loki/api/v1/push", json={"streams": streams})
                assert answer.status_code == 204, answer.text
            self.made_in = self.made_in or time.monotonic() - began

    def flush(self) -> None:
        assert self.client.post(f"{self.server.url}/flush").status_code == 204

    @property
    def questions(self) -> dict[str, tuple[str, dict[str, Any]]]:
        span = {"start": self.begin - MINUTE, "end": self.begin + 2 * MINUTE}
        one = f'{{stream_id="s{self.count // 2}"}}'
        counted = {"query": f"count_over_time({one}[3m])", "time": self.begin + 2 * MINUTE}
        return {
            "names": ("labels", span),
            "values": ("label/app/values", span),
            "values of one": ("label/app/values", {**span, "query": one}),
            "series of one": ("series", {**span, "match[]": one}),
            "count of one": ("query", counted),
            "lines of one": ("query_range", {**span, "query": one, "limit": 100}),
        }

    def ask(self, name: str) -> Any:
        path, parameters = self.questions[name]
        # Answers that were kept would say nothing of the work.
        answer = self.client.get(
            f"{self.server.url}/loki/api/v1/{path}", params=parameters, headers={"Cache-Control": "no-cache"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def cost(self, name: str) -> float:
        """CPU-seconds of the server for a row of questions."""
        before = time.clock_gettime((~self.server.pid << 3) | _CPU_CLOCK)
        for _ in range(ASKED):
            self.ask(name)
        return time.clock_gettime((~self.server.pid << 3) | _CPU_CLOCK) - before

    def check(self) -> None:
        """The answers are right."""
        first = labels(0)
        assert self.ask("names") == sorted([*first, "service_name"])
        assert self.ask("values") == sorted(f"app-{number}" for number in range(20))
        assert self.ask("values of one") == [labels(self.count // 2)["app"]]
        (only,) = self.ask("series of one")
        assert labels(self.count // 2).items() <= only.items()
        (sample,) = self.ask("count of one")["result"]
        assert sample["value"][1] == str(self.lines)
        (stream,) = self.ask("lines of one")["result"]
        assert len(stream["values"]) == min(self.lines, 100)

    def mb(self, field: str) -> int:
        found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{self.server.pid}/status").read_text())
        assert found is not None
        return int(found[1]) // 1024


def compare(where: str, few: Asked, many: Asked) -> None:
    for name in few.questions:
        least = [min(costs) for costs in zip(*[(few.cost(name), many.cost(name)) for _ in range(3)], strict=True)]
        print(f"{where}: {name}: {least[0] / ASKED * 1e6:.0f} us, of many streams {least[1] / ASKED * 1e6:.0f} us")
        assert least[1] < MOST * least[0], f"{where}: {name}"
    print(
        f"{where}: {many.mb('VmRSS')} MB, at most {many.mb('VmHWM')} MB, with {few.count} streams {few.mb('VmRSS')} MB"
    )
    assert many.mb("VmHWM") < LIMIT_MB


@pytest.mark.parametrize(
    ("many", "lines", "few"), [(5_000, 2, 200), pytest.param(100_000, 2, 1_000, marks=pytest.mark.soak)]
)
def test_questions_about_few_of_many_streams_cost_what_they_do_where_there_are_few(
    tmp_path: Path, many: int, lines: int, few: int
) -> None:
    # As many lines in either: it is the streams that are compared.
    small, large = Asked(tmp_path / "few", few, lines * many // few), Asked(tmp_path / "many", many, lines)
    with small.running(), large.running():
        for asked in (small, large):
            began = time.monotonic()
            asked.fill()
            print(f"{asked.count} streams of {asked.lines} lines in {time.monotonic() - began:.1f} s")
            asked.check()
        print(f"{many} streams made in {large.made_in:.1f} s")
        assert many < 100_000 or large.made_in < MADE_IN
        page = large.client.get(f"{large.server.url}/metrics").text
        assert f'weir_label_values{{label="stream_id",tenant="fake"}} {float(many)}' in page
        assert 'weir_label_values{label="app",tenant="fake"} 20.0' in page
        compare("in memory", small, large)
        for asked in (small, large):
            asked.flush()
            asked.check()
        compare("in blocks", small, large)
        if many < 100_000:  # a start costs more than all the rest then
            return
        for asked in (small, large):
            assert asked.server.stop() == 0
            asked.server.start()
            asked.check()
        compare("after a start", small, large)
