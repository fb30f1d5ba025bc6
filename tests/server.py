"""A real Weir server in a process of its own, for every test that needs one.

It is a fork of a process that has imported Weir already (forks.py), unless the test asks for a fresh one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

from tests.forks import ROOT, shared, weirs_environment

LISTENING = re.compile(r"listening on (https?://[^\s\"']+)")
START_SECONDS = 90.0
"""More than a start takes on a busy machine with kernels to compile; a server that ends is noticed at once."""


class Running(Protocol):
    """What is asked of a process: a subprocess.Popen, or another that can be told to end."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Sends a signal."""

    def kill(self) -> None:
        """Sends SIGKILL."""


class ServerProcess:
    """`weir serve` on a port of its own choice.

    Args:
        data_dir: kept over stop, kill and start.
        args: more flags for `weir serve`.
        env: more environment; WEIR_* and LOKI_* of the test's own environment are not passed on.
        fresh: a new Python process, and not a fork: for tests of a start, and of the memory of a process.
    """

    def __init__(self, data_dir: Path, *args: str, env: Mapping[str, str] | None = None, fresh: bool = False) -> None:
        self.data_dir = data_dir
        self._fresh = fresh
        self._args: Sequence[str] = args
        self._env = dict(env or {})
        self._process: Running | None = None
        self._log: Path | None = None
        self.url = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            # pytest shows what a failing test printed.
            print(f"--- log of the server at {self.url or 'no address yet'}\n{self.log_text}---")
        self.kill()

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def log_text(self) -> str:
        """Everything the server has written since its last start."""
        return "" if self._log is None else self._log.read_text("utf-8", "replace")

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._running().poll()

    def launch(self, wrapper: Sequence[str] = ()) -> Self:
        """Starts the process and does not wait; `wrapper` is a command that runs it (prlimit, unshare)."""
        assert self._process is None or self._process.poll() is not None, "the server is running"
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{self.data_dir.name}-", suffix=".log", dir=self.data_dir.parent)
        os.close(handle)
        self._log, self.url = Path(name), ""
        where = ["--data-dir", str(self.data_dir), "--http", "127.0.0.1:0"]
        if "--forward" not in self._args:  # port 24224 is the machine's, and tests run side by side
            where += ["--forward", "off"]
        self._process = self._spawn(wrapper, ["serve", *where, *self._args], weirs_environment() | self._env, self._log)
        return self

    def _spawn(self, wrapper: Sequence[str], arguments: Sequence[str], env: Mapping[str, str], log: Path) -> Running:
        """Runs `weir ARGUMENTS`, with all that it writes to the file `log`."""
        if not (self._fresh or wrapper) and shared().can_be(env):
            return shared().launch(arguments, env, stdout=log, stderr=log)
        with log.open("ab") as output:
            return subprocess.Popen(
                [*wrapper, sys.executable, "-m", "gateway.cli", *arguments],
                env=env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start(self, wrapper: Sequence[str] = (), seconds: float = START_SECONDS) -> Self:
        """Starts the process and returns when it takes requests."""
        self.launch(wrapper)
        return self.wait_ready(seconds)

    def wait_ready(self, seconds: float = START_SECONDS) -> Self:
        found = self.wait_for_log(LISTENING, seconds)
        self.url = found[1]
        return self

    def wait_for_log(self, pattern: re.Pattern[str], seconds: float = START_SECONDS) -> re.Match[str]:
        """The first place in the log where the pattern is found, once there is one."""
        found: re.Match[str] | None = None

        def seen() -> bool:
            nonlocal found
            found = pattern.search(self.log_text)
            return found is not None

        running = self._running()
        if not wait_until(lambda: seen() or running.poll() is not None, seconds) or not seen():
            code = running.poll()
            self.kill()
            state = f"ended with {code}" if code is not None else f"was given {seconds} s"
            raise AssertionError(f"the server {state} and did not log {pattern.pattern!r}:\n{self.log_text}")
        assert found is not None
        return found

    def terminate(self) -> None:
        """Asks it to end (SIGTERM) and does not wait."""
        self._running().send_signal(signal.SIGTERM)

    def stop(self, seconds: float = 60) -> int:
        """Asks it to end and waits; its exit code."""
        self.terminate()
        return self.wait(seconds)

    def wait(self, seconds: float = 60) -> int:
        """Waits for its end; its exit code."""
        try:
            return self._running().wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not end within {seconds} s:\n{self.log_text}") from None

    def kill(self) -> None:
        """Ends it as a power cut would (SIGKILL); nothing if it has ended."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    def _running(self) -> Running:
        assert self._process is not None, "the server was not started"
        return self._process


@contextmanager
def running_server(
    data_dir: Path, *args: str, env: Mapping[str, str] | None = None, fresh: bool = False
) -> Iterator[ServerProcess]:
    """A server for the length of a `with`; its log is printed if the body fails."""
    with ServerProcess(data_dir, *args, env=env, fresh=fresh) as server:
        yield server


def wait_until(true: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it became true in time; looked at every 10 ms."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
