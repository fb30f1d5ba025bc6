from __future__ import annotations

import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import pytest

from tests.gateway.client.canned import Told, canned_server, streams_body
from tests.gateway.weir_command import COMMAND, environment, weir

HEAVY = ("numba", "numpy", "pyarrow", "starlette", "hypercorn", "storage", "logql", "config")
"""What a client command must never wait for."""

LOADED = f"""
import sys
from gateway.cli import main
try:
    main()
finally:
    print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    "command", [["query", "{}"], ["labels"], ["series"], ["import", __file__, "--dry-run"], ["version"], ["--help"]]
)
def test_client_commands_import_nothing_heavy(command: list[str]) -> None:
    body = streams_body([({}, [(1, "x")])]) if command[0] == "query" else b"{}"
    with canned_server(lambda _: Told(body=body)) as server:
        env = environment({"WEIR_ADDR": server.url})
        args = [sys.executable, "-c", LOADED, *command]
        done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines()[-1] == ""


def test_a_client_command_starts_in_a_few_times_what_python_takes() -> None:
    """Of processor time, which a busy machine lengthens by a third at most: nobody waits for anything else."""
    bare = [sys.executable, "-c", "pass"]
    command = [*COMMAND, "version"]
    subprocess.run(command, env=environment(), capture_output=True, timeout=60, check=False)
    # The best of several, taken in turn: what slows one slows the other.
    times = [(_seconds(bare), _seconds(command)) for _ in range(7)]
    assert min(ours for _, ours in times) / min(python for python, _ in times) < 12


def test_version_prints_the_installed_one() -> None:
    done = weir("version")
    try:
        expected = (0, f"weir {installed('weir')}\n")
    except PackageNotFoundError:
        expected = (1, "")
    assert (done.returncode, done.stdout) == expected


def _seconds(command: list[str]) -> float:
    """Of processor time that it takes."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment(), capture_output=True, timeout=60, check=False)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime - began.ru_utime + ended.ru_stime - began.ru_stime
