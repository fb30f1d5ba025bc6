"""Runs the `weir` command as a shell would: a process of its own, with none of the test machine's settings.

It is a fork of a process that has imported Weir already (tests/forks.py) where that makes no difference.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.forks import shared

COMMAND = [sys.executable, "-m", "gateway.cli"]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "LOKI_", "PYTEST_"))}
    return kept | {"TZ": "UTC0", "NO_PROXY": "127.0.0.1", "COLUMNS": "100"} | dict(extra or {})


def weir(*args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    given = environment(env)
    if not shared().can_be(given):
        return subprocess.run([*COMMAND, *args], env=given, capture_output=True, text=True, timeout=60, check=False)
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        fork = shared().launch(args, given, stdout=Path(out.name), stderr=Path(err.name))
        try:
            code = fork.wait(60)
        finally:
            fork.kill()
        return subprocess.CompletedProcess(["weir", *args], code, _text(out.name), _text(err.name))


def _text(file: str) -> str:
    return Path(file).read_text("utf-8")


def on_terminal(*args: str, env: Mapping[str, str] | None = None, typed: str = "") -> tuple[int, str]:
    """Exit code and screen text (stdout and stderr) of the command run on a pseudo-terminal, where somebody types."""
    master, slave = os.openpty()
    process = subprocess.Popen([*COMMAND, *args], env=environment(env), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    os.write(master, typed.encode())
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
