"""The process ends after any step of keeping, packing and passing on; every line arrives elsewhere exactly once."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOGETHER = 2
"""Programs side by side: a life waits for syncs half of its time."""


def _ended(tmp_path: Path, kind: str, parts: int) -> tuple[list[str], int]:
    """Ends a life at TOGETHER of so many steps; all steps, and how many ends there were."""

    def part(number: int) -> dict[str, Any]:
        folder = tmp_path / str(number)
        folder.mkdir()
        command = [sys.executable, "-m", "tests.crash.outbox_life", str(folder), kind, str(number), str(parts)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    with ThreadPoolExecutor(TOGETHER) as threads:
        found = list(threads.map(part, range(1, TOGETHER + 1)))
    problems = [problem for told in found for problem in told["problems"]]
    assert not problems, "\n".join(problems)
    return found[0]["steps"], sum(told["ended"] for told in found)


@pytest.mark.parametrize("kind", ["kill", "power-cut"])
def test_each_line_is_passed_on_once(tmp_path: Path, kind: str) -> None:
    steps, ended = _ended(tmp_path, kind, 10 * TOGETHER)
    assert {"sqlite transaction", "rename", "unlink", "write", "fsync", "mkdir"} <= set(steps)
    assert steps.count("rename") >= 6
    assert ended >= 6


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["kill", "power-cut"])
def test_each_line_is_passed_on_once_at_every_step(tmp_path: Path, kind: str) -> None:
    _, ended = _ended(tmp_path, kind, TOGETHER)
    assert ended >= 60
