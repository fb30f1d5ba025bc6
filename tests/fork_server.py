"""A process that has imported all of Weir; each `weir` is a fork of it, and starts in 50 ms instead of 2 s.

`python -m tests.fork_server`: a JSON object a line comes in, a number goes out; forks.py is the other side.
At the end of its input it ends all forks and itself. It never starts a thread, so that it can fork.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from tests.crash.faults import Faults
from tests.crash.steps import Moment, Steps

_MODULES = (
    *("gateway.cli.server", "gateway.serve", "gateway.app", "storage"),
    # What commands load only when they are run.
    *("storage.backup", "storage.verify", "httpx", "rich.progress", "typer.rich_utils", "encodings.idna"),
)
_NAMESPACES = {"user": 0x10000000, "mnt": 0x00020000}
"""As of setns(2)."""
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def main() -> bool:
    """Answers until the input ends. True in a fork, which has become what was asked for and is to run `weir`."""
    faults = Faults()
    faults.ahead_of_imports()
    for module in _MODULES:
        importlib.import_module(module)
    gc.freeze()  # no fork goes through, and by that copies, what they all share
    running: set[int] = set()
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "launch":
            pid = os.fork()
            if not pid:
                _become(faults, asked)
                return True
            running.add(pid)
            _answer(pid)
        else:
            pid, status = os.waitpid(asked["pid"], os.WNOHANG)
            running.discard(pid)
            _answer(os.waitstatus_to_exitcode(status) if pid else None)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    return False


def _answer(value: int | None) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


def _become(faults: Faults, asked: Mapping[str, Any]) -> None:
    """Makes of this process what a new one would be."""
    libc = ctypes.CDLL(None)
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    _use_files(asked)
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    os.chdir(asked["folder"])
    sys.argv = ["weir", *asked["arguments"]]
    if asked.get("inside"):
        _enter(libc, asked["inside"])
    for name, value in asked.get("constants", {}).items():
        module, constant = name.rsplit(".", 1)
        assert hasattr(sys.modules[module], constant), name
        setattr(sys.modules[module], constant, value)
    if asked.get("faults"):
        faults.install(Path(asked["faults"]), Path(sys.argv[sys.argv.index("--data-dir") + 1]))
    if asked.get("kill"):
        thread, step, told = asked["kill"]
        Steps(step, Moment.AFTER, Path(told).write_text, thread=thread).install()


def _use_files(asked: Mapping[str, Any]) -> None:
    """Puts files in the place of stdin, stdout and stderr, with what Python makes of them at its start."""
    for number, (name, flags) in enumerate((("stdin", 0), ("stdout", os.O_APPEND), ("stderr", os.O_APPEND))):
        file = os.open(asked[name], flags | (os.O_WRONLY if flags else os.O_RDONLY))
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the rest of the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above
    sys.stderr = open(  # noqa: SIM115 - as above
        2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def _enter(libc: Any, pid: int) -> None:
    """Joins the user and mount namespaces of a process. A thread of its own is one that may: so only after a fork."""
    here = Path.cwd()
    theirs = {f"/proc/{pid}/ns/{name}": kind for name, kind in _NAMESPACES.items()}
    # A process may not join the user namespace that it is in.
    files = [
        (os.open(path, os.O_RDONLY), kind)
        for path, kind in theirs.items()
        if not Path(path).samefile(f"/proc/self/ns/{Path(path).name}")
    ]
    for file, kind in files:
        if libc.setns(file, kind):
            raise OSError(ctypes.get_errno(), f"no way into the namespaces of {pid}")
        os.close(file)
    os.chdir(here)


def _run() -> NoReturn:
    """Runs `weir`, and ends as Python does, but for taking all modules apart, which would take a second."""
    from gateway.cli import main as weir

    code = 0
    try:
        weir()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - what Python does at the end of a program
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined] # waits for the threads that are no daemons
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__" and main():
    _run()
