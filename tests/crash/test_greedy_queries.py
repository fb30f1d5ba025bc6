"""Queries that want everything, several at once: each gets an error that names the bytes, and nobody else notices."""

from __future__ import annotations

import json
import re
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.crash.forks import ForkedServer, Forks
from tests.crash.traffic import Answer, Connection
from tests.server import wait_until

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
STEP = 1_000_000
"""ns between two lines."""
REQUEST = 20_000
"""Lines of a push."""
ALLOWED = 8 << 20
"""Bytes that a query may hold."""
SETTINGS = (f"query.max_memory={ALLOWED}", "limits.max_query_series=100000000", "limits.max_entries_limit_per_query=0")
"""No limit but the one on memory is in the way."""

GREEDY = (
    '{app="wide"}',
    '{app="wide"} | json',
    'sum by (id) (count_over_time({app="wide"} | json [1h]))',
    'count_over_time({app="wide"} | json [5m])',
    'quantile_over_time(0.99, {app="wide"} | json | unwrap took [1h])',
    'quantile_over_time(0.5, {app="wide"} | json | unwrap took [1h]) by (id)',
    'topk(10, sum by (id, took) (rate({app="wide"} | json [1h])))',
)
LARGE = 'sum(count_over_time({app="wide"} |~ `(?i)"ID": ?"User-.*7".*"S[12]"` [24h]))'
"""Reads every line with a regex, and holds next to nothing."""
IMPATIENCE = 100
"""So many times as long as on an idle server a push may take at the median: that of a loaded machine varies, and one
that waits for the queries takes a thousand times as long."""


def push(server: ForkedServer, lines: int) -> int:
    """Pushes so many lines; how many of them LARGE counts."""
    matching = 0
    with Connection(server.url) as connection:
        for first in range(0, lines, REQUEST):
            texts = [
                json.dumps({"id": f"user-{number}", "took": number % 997 + 0.5, "service": f"s{number % 5}"})
                for number in range(first, min(first + REQUEST, lines))
            ]
            matching += sum('7", ' in text and text.endswith('"s2"}') for text in texts)
            values = [[str(START + (first + at) * STEP), text] for at, text in enumerate(texts)]
            body = {"streams": [{"stream": {"app": "wide"}, "values": values}]}
            assert connection.push(json.dumps(body).encode()).status == 204
            if first <= lines // 2 < first + REQUEST:  # blocks and memory
                assert connection.ask("POST", "/flush").status == 204
    return matching


def ask(server: ForkedServer, query: str, lines: int) -> Answer:
    end = START + lines * STEP
    window = {"start": START, "end": end, "step": lines * STEP // SECOND, "limit": 10 * lines, "direction": "forward"}
    with Connection(server.url, 300) as connection:
        return connection.ask("GET", f"/loki/api/v1/query_range?{urlencode({'query': query} | window)}")


def memory_mb(server: ForkedServer, which: str) -> int:
    """VmRSS, what the server holds now, or VmHWM, the most that it held."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


class Pusher:
    """Pushes small bodies one after the other, and knows how long each took."""

    def __init__(self, server: ForkedServer) -> None:
        self.seconds: list[float] = []
        self.faults: list[str] = []
        self._url = server.url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pusher")
        self._thread.start()

    def _run(self) -> None:
        with Connection(self._url) as connection:
            while not self._stop.is_set():
                values = [[str(time.time_ns()), f"line {len(self.seconds)}"]]
                body = json.dumps({"streams": [{"stream": {"app": "small"}, "values": values}]}).encode()
                began = time.perf_counter()
                answer = connection.push(body)
                self.seconds.append(time.perf_counter() - began)
                if answer.status != 204:
                    self.faults.append(answer.text)
                self._stop.wait(0.005)

    def end(self) -> float:
        """The median of what its pushes took, s."""
        self._stop.set()
        self._thread.join()
        assert self.faults == []
        return statistics.median(self.seconds)


@pytest.mark.parametrize(("lines", "most_mb"), [(100_000, 120), pytest.param(2_000_000, 400, marks=pytest.mark.soak)])
def test_queries_that_want_everything_get_an_error_and_nobody_else_does(
    tmp_path: Path, forks: Forks, lines: int, most_mb: int
) -> None:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    with ForkedServer(forks, tmp_path / "data", *settings) as server:
        matching = push(server, lines)
        assert ask(server, LARGE, lines).status == 200
        idle = Pusher(server)
        assert wait_until(lambda: len(idle.seconds) >= 50)
        calm = idle.end()
        before = memory_mb(server, "VmRSS")
        storm = Pusher(server)
        with ThreadPoolExecutor(2 * len(GREEDY)) as threads:
            answers = list(threads.map(lambda query: ask(server, query, lines), [*GREEDY, LARGE, LARGE, *GREEDY]))
        busy = storm.end()
        print(f"push {calm:.4f} s, beside queries {busy:.4f} s; {before} MB, then {memory_mb(server, 'VmHWM')} MB")
        for query, answer in zip([*GREEDY, LARGE, LARGE, *GREEDY], answers, strict=True):
            if query == LARGE:
                assert last_value(answer) == matching
                continue
            assert answer.status == 400, f"{query}: {answer.status} {answer.text[:200]}"
            assert answer.text.startswith("the query needs more memory than a query may use (used: "), answer.text
            assert f"bytes, allowed: {ALLOWED} bytes)" in answer.text
        assert busy < IMPATIENCE * calm
        assert memory_mb(server, "VmHWM") < before + most_mb
        assert last_value(ask(server, LARGE, lines)) == matching
        assert len(ask(server, '{app="wide"} |= `"user-77"`', lines).json["data"]["result"]) == 1
        with Connection(server.url) as connection:
            seen = connection.get("/loki/api/v1/query", query='sum(count_over_time({app="small"}[1h]))').json
        assert int(seen["data"]["result"][0]["value"][1]) == len(idle.seconds) + len(storm.seconds)
        assert "Traceback" not in server.log_text
        assert server.stop() == 0


def last_value(answer: Answer) -> int:
    (series,) = answer.json["data"]["result"]
    return int(series["values"][-1][1])
