"""Processes of the `weir` command that start fast: each is a fork of one that has imported all of Weir.

What they do is what `weir ARGUMENTS` does, with output, folder and environment of their own; only the start of Python
and its imports, a second or two, are done once a test run. tests/fork_server.py is the other side.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

_READ_AT_START = ("PYTHON", "NUMBA", "MALLOC", "LD_", "LC_", "LANG", "ARROW", "HOME", "XDG_", "WEIR_KERNEL_CACHE")
"""How variables begin that Python, a library or Weir reads when it starts: a fork is behind that."""


class Forks:
    """The process that others are forks of. Safe for use by several threads."""

    def __init__(self) -> None:
        self.env = weirs_environment()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server"],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def launch(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        *,
        stdout: Path,
        stderr: Path,
        stdin: Path = Path(os.devnull),
        **more: Any,
    ) -> Forked:
        """Runs `weir ARGUMENTS` in a fork, in the folder of this process; output is put at the end of the files.

        `more` is what the tests of crashes ask for: constants, inside, faults, kill.
        """
        files = {"stdin": str(stdin), "stdout": str(stdout), "stderr": str(stderr)}
        pid = self.ask(do="launch", arguments=list(arguments), env=dict(env), folder=str(Path.cwd()), **files, **more)
        assert pid is not None
        return Forked(self, pid)

    def can_be(self, env: Mapping[str, str]) -> bool:
        """Whether a fork can be as a process with this environment would be."""
        names = [name for name in {*env, *self.env} if name.startswith(_READ_AT_START)]
        return all(env.get(name) == self.env.get(name) for name in names)

    def ask(self, **asked: Any) -> int | None:
        """One question and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            assert self._process.poll() is None, "the process that others are forks of has ended"
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline()
        assert said, "the process that others are forks of has ended: what it wrote says why"
        answer: int | None = json.loads(said)
        return answer

    def close(self) -> None:
        """Ends it, and all forks."""
        self._process.communicate()


class Forked:
    """A fork, as tests.server.Running."""

    def __init__(self, forks: Forks, pid: int) -> None:
        self._forks = forks
        self._code: int | None = None
        self.pid = pid

    def poll(self) -> int | None:
        """Its exit code, or None."""
        if self._code is None:
            self._code = self._forks.ask(do="poll", pid=self.pid)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("weir", timeout or 0.0)
            time.sleep(0.005)
        return code

    def send_signal(self, sig: int) -> None:
        """Sends a signal, if it is there."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(9)


@functools.cache
def shared() -> Forks:
    """The one of this test process, for as long as it runs."""
    forks = Forks()
    atexit.register(forks.close)
    return forks


def weirs_environment() -> dict[str, str]:
    """This process' environment without the machine's settings of Weir, Loki and pytest."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("WEIR_", "LOKI_", "PYTEST_"))}
    if "WEIR_KERNEL_CACHE" in os.environ:
        env["WEIR_KERNEL_CACHE"] = os.environ["WEIR_KERNEL_CACHE"]
    return env
