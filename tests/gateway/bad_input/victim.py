"""The server that bad input is sent to, and what must hold of it after each test."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

from tests.gateway.bad_input.raw import Answer, ask, push_request
from tests.server import ServerProcess

MB = 1 << 20
IN_FLIGHT = 64 * MB
MAX_BODY = 16 * MB
SETTINGS = (f"server.ingest_in_flight={IN_FLIGHT}", f"limits.max_recv_msg_size={MAX_BODY}")
FLAT = 3 * IN_FLIGHT
"""Resident bytes over those of a fresh server that may be left after any test: an allocator keeps some of what was in
flight, and code that is used for the first time is loaded. The tests send some GB in all: what is lost for good with
each of them would not stay below it."""

BAD = '{bad=~".+"}'
"""Streams of pushes that are refused as a whole: none may ever show."""

_numbers = count(1)


@dataclass(slots=True)
class Victim:
    """A server under attack."""

    server: ServerProcess
    resident: int = field(init=False)
    _before: int = 0

    def __post_init__(self) -> None:
        for _ in range(20):
            self.must_work()
        self.resident = self._memory("VmRSS")

    @property
    def url(self) -> str:
        return self.server.url

    def push(self, body: bytes, *headers: tuple[str, str]) -> Answer:
        return ask(self.url, push_request(body, headers))

    def get(self, path: str, **parameters: object) -> Answer:
        query = f"?{urlencode(parameters)}" if parameters else ""
        return ask(self.url, f"GET {path}{query} HTTP/1.1\r\nHost: weir\r\n\r\n".encode())

    def begin(self) -> None:
        """Forgets how much memory the server ever took."""
        Path(f"/proc/{self.server.pid}/clear_refs").write_text("5")
        self._before = self._memory("VmRSS")

    @property
    def peak(self) -> int:
        """Bytes that the server took at most since begin(), over what it had then."""
        return self._memory("VmHWM") - self._before

    @property
    def grown(self) -> int:
        """Bytes that the server takes now, over what it had at begin()."""
        return self._memory("VmRSS") - self._before

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", self.get("/metrics").text, re.MULTILINE)
        assert found, name
        return sum(map(float, found))

    def lines(self, selector: str) -> list[str]:
        """All lines of the last half hour."""
        now = time.time_ns()
        start, end = now - 1_800_000_000_000, now + 60_000_000_000
        answer = self.get("/loki/api/v1/query_range", query=selector, start=start, end=end, limit=5000)
        assert answer.status == 200, answer.text
        return [line for stream in json.loads(answer.body)["data"]["result"] for _, line in stream["values"]]

    def must_work(self) -> None:
        """A push is taken, and it is there once."""
        text = f"good {next(_numbers)}"
        assert self.push(push_body("good", text)).status == 204
        assert self.lines(f'{{good="yes"}} |= "{text}"').count(text) == 1

    def must_be_well(self) -> None:
        """The server answers, kept nothing of what it refused, gave all memory back and never lost its temper."""
        assert self.get("/ready").text == "ready"
        self.must_work()
        assert self.lines(BAD) == []
        assert "Traceback" not in self.server.log_text
        assert self.metric("weir_ingest_bytes_in_flight") == 0
        assert self._memory("VmRSS") - self.resident < FLAT

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024


def push_body(label: str, *texts: str) -> bytes:
    """A JSON push of lines to the stream {label="yes"}."""
    now = time.time_ns()
    values = [[str(now + at), text] for at, text in enumerate(texts)]
    return json.dumps({"streams": [{"stream": {label: "yes"}, "values": values}]}).encode()
