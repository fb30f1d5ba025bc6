"""Runs the `weir` command as a shell would: a process of its own, with none of the test machine's settings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping

COMMAND = [sys.executable, "-m", "gateway.cli"]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "LOKI_", "PYTEST_"))}
    return kept | {"TZ": "UTC0", "NO_PROXY": "127.0.0.1", "COLUMNS": "100"} | dict(extra or {})


def weir(*args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args], env=environment(env), capture_output=True, text=True, timeout=60, check=False
    )


def on_terminal(*args: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and screen text (stdout and stderr) of the command run on a pseudo-terminal."""
    master, slave = os.openpty()
    process = subprocess.Popen([*COMMAND, *args], env=environment(env), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen = bytearray()
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            try:
                piece = os.read(master, 65536)
            except OSError:  # Linux says EIO when the last process has closed the terminal
                break
            if not piece:
                break
            seen += piece
        return process.wait(timeout=10), seen.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(master)
