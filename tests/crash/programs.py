"""Runs the programs that end lives at their steps (tests/crash/lives.py), in parts side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOGETHER = 2
"""Programs side by side: a life waits for syncs half of its time."""


def run_parts(program: str, folder: Path, *arguments: str, parts: int = TOGETHER) -> list[dict[str, Any]]:
    """Runs the first TOGETHER parts of a program's work; what each wrote.

    Args:
        program: the module in tests.crash, called with FOLDER PART PARTS and the arguments.
        folder: each part has one of its own in it.
        arguments: the others.
        parts: into which all of its work is cut: more than TOGETHER leave some out.
    """

    def run(number: int) -> dict[str, Any]:
        own = folder / str(number)
        own.mkdir()
        command = [sys.executable, "-m", f"tests.crash.{program}", str(own), str(number), str(parts), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    with ThreadPoolExecutor(TOGETHER) as threads:
        return list(threads.map(run, range(1, TOGETHER + 1)))


def steps_and_ends(program: str, folder: Path, kind: str, *, parts: int = TOGETHER) -> tuple[list[str], int]:
    """Ends a life at its steps, as `run_parts`, and asserts that nothing was wrong; all steps, and how many ends."""
    found = run_parts(program, folder, kind, parts=parts)
    problems = [problem for told in found for problem in told["problems"]]
    assert not problems, "\n".join(problems)
    return found[0]["steps"], sum(told["ended"] for told in found)
