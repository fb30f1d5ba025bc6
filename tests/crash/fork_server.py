"""A process that has imported all of Weir; each server is a fork of it, and starts in 50 ms instead of 2 s.

`python -m tests.crash.fork_server`: a JSON object a line comes in, a number goes out; forks.py is the other side.
At the end of its input it ends all servers and itself. It never starts a thread, so that it can fork.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from tests.crash.faults import Faults
from tests.crash.steps import Moment, Steps

_NAMESPACES = {"user": 0x10000000, "mnt": 0x00020000}
"""As of setns(2)."""
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def main() -> None:
    """Answers until the input ends."""
    faults = Faults()
    faults.ahead_of_imports()
    for module in ("gateway.cli.server", "gateway.serve", "gateway.app", "storage"):
        importlib.import_module(module)
    running: set[int] = set()
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "launch":
            pid = os.fork()
            if not pid:
                _serve(faults, asked)
            running.add(pid)
            _answer(pid)
        else:
            pid, status = os.waitpid(asked["pid"], os.WNOHANG)
            running.discard(pid)
            _answer(os.waitstatus_to_exitcode(status) if pid else None)
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _answer(value: int | None) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


def _serve(faults: Faults, asked: Mapping[str, Any]) -> NoReturn:
    """What `weir ARGUMENTS` does, in this process."""
    libc = ctypes.CDLL(None)
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    for number, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, asked["log"]), (2, asked["log"])):
        os.dup2(source if isinstance(source, int) else os.open(source, os.O_WRONLY | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    if asked["inside"]:
        _enter(libc, asked["inside"])
    for name, value in asked["constants"].items():
        module, constant = name.rsplit(".", 1)
        assert hasattr(sys.modules[module], constant), name
        setattr(sys.modules[module], constant, value)
    arguments = asked["arguments"]
    if asked["faults"]:
        faults.install(Path(asked["faults"]), Path(arguments[arguments.index("--data-dir") + 1]))
    if asked["kill"]:
        thread, step, told = asked["kill"]
        Steps(step, Moment.AFTER, Path(told).write_text, thread=thread).install()
    from gateway.cli import main as weir

    sys.argv = ["weir", *arguments]
    code = 1
    try:
        weir()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _enter(libc: Any, pid: int) -> None:
    """Joins the user and mount namespaces of a process. A thread of its own is one that may: so only after a fork."""
    here = Path.cwd()
    files = [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY), kind) for name, kind in _NAMESPACES.items()]
    for file, kind in files:
        if libc.setns(file, kind):
            raise OSError(ctypes.get_errno(), f"no way into the namespaces of {pid}")
        os.close(file)
    os.chdir(here)


if __name__ == "__main__":
    main()
