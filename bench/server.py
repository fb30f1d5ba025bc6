"""A server process under measurement, and what the system knows of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from bench.processors import ALL, on, run_on
from bench.pushing import PROTOBUF, PUSH, http_push, push_all

SETTLE = 3.0
"""Seconds that a server is given to come to rest after its start."""
_LOOK = 0.1
"""Seconds between two looks at whether it has."""
_QUIET = 0.1
"""Share of a processor below which it has."""
START = 300.0
"""Seconds until a server must listen: kernels that were not compiled ahead are compiled first."""
ANSWER = 300.0
"""Seconds that one answer may take."""

COMPACTING = ("--set", "compaction.enabled=true")
"""Options of a server that compacts by itself; others do not."""

_TICKS = os.sysconf("SC_CLK_TCK")
_CPU_CLOCK = 2
"""CPUCLOCK_SCHED of the kernel: a process's CPU clock is numbered ~pid << 3 | this (clock_getcpuclockid(3))."""


class MeasuredServer:
    """`weir serve` on a free port with a data directory of its own.

    Attributes:
        data_dir: of the server.
        port: where it listens on 127.0.0.1.
        ready_after: seconds from its start to the first 200 of /ready.
        compacts: whether it compacts by itself.
    """

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self._log = data_dir.with_suffix(".log")
        # The port of Fluent Forward is the machine's: a server opens one only where a row is about it.
        if "--forward" not in options:
            options = (*options, "--forward", "off")
        # Compaction goes on long after a load: it belongs to no row but its own.
        self.compacts = COMPACTING[1] in options
        if not self.compacts:
            options = (*options, "--set", "compaction.enabled=false")
        with on(ALL):  # so that it sees the machine as it is when it decides how many threads to have
            self._start(options)

    def _start(self, options: tuple[str, ...]) -> None:
        began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gateway.cli",
                    "serve",
                    "--data-dir",
                    str(self.data_dir),
                    "--http",
                    "127.0.0.1:0",
                    *options,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.port = self._wait()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self.ready_after = time.monotonic() - began

    def _wait(self) -> int:
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            text = self._log.read_text(errors="replace")
            if "listening on http://127.0.0.1:" in text:
                port = int(text.split("listening on http://127.0.0.1:")[1].split()[0].rstrip('",}'))
                if self._ready(port):
                    return port
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended at once:\n{text}")
            time.sleep(0.01)
        raise RuntimeError("the server did not start")

    @staticmethod
    def _ready(port: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def __enter__(self) -> Self:
        if not self.compacts:
            self._settle()
        run_on(frozenset(os.sched_getaffinity(0)), self.pid)
        return self

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def _settle(self) -> None:
        """Waits until what a start leaves to the background is done: that belongs to no load."""
        spent, deadline = self.cpu(), time.monotonic() + SETTLE
        while time.monotonic() < deadline:
            time.sleep(_LOOK)
            before, spent = spent, self.cpu()
            if spent - before < _QUIET * _LOOK:
                return

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def push(
        self, bodies: tuple[bytes, ...], connections: int, content_type: str = PROTOBUF, path: str = PUSH
    ) -> list[float]:
        """Pushes bodies and gives the seconds of each. Raises RuntimeError if one is refused."""
        return push_all(self.port, [http_push(body, content_type, path) for body in bodies], connections)

    def flush(self) -> None:
        """Waits until all is in blocks."""
        self._request("POST", "/flush", 204)

    def compact(self) -> None:
        """Waits until all blocks that may be joined are."""
        self._request("POST", "/weir/v1/compact", 204)

    def compaction_cpu(self) -> float:
        """CPU-seconds that compaction took so far."""
        return self._counter("weir_compaction_cpu_seconds_total")

    def patterns_cpu(self) -> float:
        """CPU-seconds that patterns of lines took so far."""
        return self._counter("weir_pattern_cpu_seconds_total")

    def _counter(self, name: str) -> float:
        name = f"{name} "
        text = self._request("GET", "/metrics", 200).decode()
        return float(next(line for line in text.splitlines() if line.startswith(name)).removeprefix(name))

    def ask(self, path: str, parameters: Mapping[str, str | int], *, kept: bool = False) -> Any:
        """A JSON answer of the API; `kept`: results that the server has of earlier queries may be used."""
        return json.loads(self._request("GET", f"{path}?{urlencode(parameters)}", 200, kept=kept))

    def _request(self, method: str, target: str, expected: int, *, kept: bool = False) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER)
        try:
            connection.request(method, target, headers={} if kept else {"Cache-Control": "no-cache"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != expected:
                raise RuntimeError(f"{method} {target}: {answer.status} {body[:400]!r}")
            return body
        finally:
            connection.close()

    def cpu(self) -> float:
        """CPU-seconds so far, user and system, of the process and of children it has now or waited for."""
        stat = self._proc("stat").rsplit(")", 1)[1].split()
        waited_for = (int(stat[13]) + int(stat[14])) / _TICKS
        return waited_for + sum(time.clock_gettime((~pid << 3) | _CPU_CLOCK) for pid in self._processes())

    def rss(self) -> int:
        """Bytes of memory held, children included."""
        return self._status("VmRSS")

    def peak_rss(self) -> int:
        """Most bytes of memory held so far, children included."""
        return self._status("VmHWM")

    def written(self) -> int:
        """Bytes sent to the disk so far, WAL and blocks alike."""
        fields = dict(line.split(": ") for line in self._proc("io").splitlines())
        return int(fields["write_bytes"])

    def disk(self) -> int:
        """Bytes of the blocks."""
        return sum(path.stat().st_size for path in (self.data_dir / "blocks").rglob("*") if path.is_file())

    def _processes(self) -> list[int]:
        pid = self._process.pid
        children: list[int] = []
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError):  # a thread that ended since
                children += map(int, (thread / "children").read_text().split())
        return [pid, *children]

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()

    def _status(self, field: str) -> int:
        held = 0
        for pid in self._processes():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(f"{field}:"):
                    held += int(line.split()[1]) * 1024
        return held
