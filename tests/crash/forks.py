"""Servers that start fast: each is a fork of a process that has imported all of Weir already (fork_server.py).

What they do is what `weir serve` does, with sockets and a data directory of its own; faults can be told to them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.server import Running, ServerProcess

ROOT = Path(__file__).parents[2]

CONSTANTS: Mapping[str, object] = {
    "storage.compact.worker.TICK": 0.05,
    "storage.compact.worker.BACKOFF": (0.2,),
    "storage.expiry.LOOK_EVERY": 0.1,
}
"""How often the maintenance thread looks: what takes a minute elsewhere is to be seen at once."""


class Forks:
    """The process that servers are forks of. Safe for use by several threads."""

    def __init__(self) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("WEIR_", "LOKI_", "PYTEST_"))}
        if "WEIR_KERNEL_CACHE" in os.environ:
            env["WEIR_KERNEL_CACHE"] = os.environ["WEIR_KERNEL_CACHE"]
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.fork_server"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **asked: Any) -> int | None:
        """One question and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            assert self._process.poll() is None, "the process that servers are forks of has ended"
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline()
        assert said, "the process that servers are forks of has ended: what it wrote says why"
        answer: int | None = json.loads(said)
        return answer

    def close(self) -> None:
        """Ends it, and all servers."""
        self._process.communicate()


class Forked:
    """A server's process, as tests.server.Running."""

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
                raise subprocess.TimeoutExpired("weir serve", timeout or 0.0)
            time.sleep(0.005)
        return code

    def send_signal(self, sig: int) -> None:
        """Sends a signal, if it is there."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(9)


class ForkedServer(ServerProcess):
    """A server that faults can be told to.

    Args:
        forks: whose fork it becomes.
        data_dir, args: as of ServerProcess.
        constants: MODULE.NAME -> value, beside CONSTANTS.
        inside: a process in whose namespaces it runs.
    """

    def __init__(
        self,
        forks: Forks,
        data_dir: Path,
        *args: str,
        constants: Mapping[str, object] | None = None,
        inside: int | None = None,
    ) -> None:
        super().__init__(data_dir, *args)
        self._forks = forks
        self._inside = inside
        self._constants = {**CONSTANTS, **(constants or {})}
        self._beside = data_dir.with_name(f"{data_dir.name}-faults")
        self._kill: tuple[str, int] | None = None

    def suffer(self, *faults: str) -> None:
        """What is wrong from now on; see faults.py."""
        # Renamed into place: the server must not read half a sentence.
        written = self._beside.with_suffix(".new")
        written.write_text("\n".join(faults))
        written.rename(self._beside)

    def kill_at(self, thread: str, step: int) -> None:
        """The next start ends, by SIGKILL, after so many steps of a thread that change the disk; see steps.py."""
        self.killed_at.unlink(missing_ok=True)
        self._kill = thread, step

    @property
    def killed_at(self) -> Path:
        """A file that then says at which kind of step it was."""
        return self._beside.with_suffix(".step")

    def _spawn(self, wrapper: Sequence[str], arguments: Sequence[str], env: Mapping[str, str], _output: int) -> Running:
        assert not wrapper, "a fork has no command"
        kill, self._kill = self._kill, None
        pid = self._forks.ask(
            do="launch",
            arguments=list(arguments),
            env=dict(env),
            log=str(self._log),
            constants=self._constants,
            inside=self._inside,
            faults=None if kill else str(self._beside),
            kill=[*kill, str(self.killed_at)] if kill else None,
        )
        assert pid is not None
        return Forked(self._forks, pid)
