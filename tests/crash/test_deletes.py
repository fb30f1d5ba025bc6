"""The process ends after any step of a delete's life; what was answered holds, and nothing comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PARTS = 2


@pytest.mark.parametrize("kind", ["kill", "power-cut"])
def test_a_delete_is_whole_or_was_never_answered(fast_folder: Path, kind: str) -> None:
    def part(number: int) -> dict[str, Any]:
        folder = fast_folder / str(number)
        folder.mkdir()
        command = [sys.executable, "-m", "tests.crash.delete_life", str(folder), kind, str(number), str(PARTS)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    with ThreadPoolExecutor(PARTS) as threads:
        found = list(threads.map(part, range(1, PARTS + 1)))
    problems = [problem for told in found for problem in told["problems"]]
    assert not problems, "\n".join(problems)
    # The harness did its work: all that a delete changes on disk was an end.
    steps = found[0]["steps"]
    assert {"sqlite transaction", "rename", "unlink", "write", "fsync"} <= set(steps)
    assert steps.count("sqlite transaction") >= 8
    assert sum(told["ended"] for told in found) >= 40
