"""A server process under measurement."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")
START = 60.0
"""Seconds that a server may take to say where it listens."""


class MeasuredServer:
    """`weir serve` on a free port with a data directory of its own."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self._log = data_dir.with_suffix(".log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gateway.cli",
                    "serve",
                    "--data-dir",
                    str(data_dir),
                    "--http",
                    "127.0.0.1:0",
                    *options,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.port = self._wait()

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
            time.sleep(0.02)
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def cpu(self) -> float:
        """CPU-seconds of the process so far, user and system."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_rss(self) -> int:
        """Most bytes of memory held so far."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmHWM")

    def disk(self) -> int:
        """Bytes of the blocks."""
        return sum(path.stat().st_size for path in (self.data_dir / "blocks").rglob("*.parquet"))
