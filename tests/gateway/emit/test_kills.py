"""A process that writes files through the sink is ended at every step: each line is in the files exactly once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def killed_everywhere(folder: Path, *seconds: int) -> None:
    words = [sys.executable, "-m", "tests.gateway.emit.kill_steps", str(folder), *map(str, seconds)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert found["lives"] == found["steps"] * len(seconds)
    assert found["steps"] > 30, "it was not there that it was killed"


def test_a_kill_at_any_step_doubles_and_loses_no_line(tmp_path: Path) -> None:
    killed_everywhere(tmp_path, 0)


@pytest.mark.soak
def test_nor_do_two_kills_one_soon_after_the_other(tmp_path: Path) -> None:
    killed_everywhere(tmp_path, 1, 2, 3, 5, 8, 13)
