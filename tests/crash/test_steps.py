"""The process ends between any two steps that change the disk; whatever was acknowledged is there exactly once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.crash.lives import UNSEEN
from tests.crash.programs import run_parts

KINDS = {"open", "write", "fdatasync", "fsync", "rename", "unlink", "truncate", "mkdir", "posix_fallocate"}
KINDS |= {"ftruncate", "sqlite script", "sqlite commit", "sqlite transaction"}
SOMETIMES = {"replace"}
"""What the maintenance thread does at times of its own: the file of the steady clock."""


def _interrupt(
    folder: Path, kind: str, moments: str, which: str
) -> tuple[dict[str, int], dict[str, int], Counter[str], list[str]]:
    """Steps of a life by kind, which were to be its end, at which kinds it was ended how often, and what was wrong."""
    found = run_parts("interrupt", folder, kind, moments, which)
    ended = Counter(name for told in found for name, count in told["ended"].items() for _ in range(count))
    problems = [problem for told in found for problem in told["problems"]]
    return found[0]["steps"], found[0]["chosen"], ended, problems


def _ends(folder: Path, kind: str, which: str) -> None:
    steps, chosen, ended, problems = _interrupt(folder, kind, "after,during" if kind == "kill" else "after", which)
    assert not problems, "\n".join(problems)
    # The harness did its work: each kind of step was seen, and each step that makes a difference was an end.
    assert steps.keys() - SOMETIMES == KINDS
    assert sum(steps.values()) > 120
    unseen = UNSEEN[kind] | SOMETIMES
    assert ended.total() >= sum(count for name, count in chosen.items() if name not in unseen)
    assert ended.keys() >= KINDS - unseen


@pytest.mark.parametrize("kind", ["kill", "power-cut"])
def test_nothing_is_lost_or_doubled_at_any_step_the_first_or_last_time(fast_folder: Path, kind: str) -> None:
    _ends(fast_folder, kind, "ends")


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["kill", "power-cut"])
def test_nothing_is_lost_or_doubled_at_any_step(fast_folder: Path, kind: str) -> None:
    _ends(fast_folder, kind, "all")


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["kill", "power-cut"])
def test_nothing_is_lost_or_doubled_just_before_any_step(fast_folder: Path, kind: str) -> None:
    steps, _, ended, problems = _interrupt(fast_folder, kind, "before", "all")
    assert not problems, "\n".join(problems)
    assert ended.total() >= sum(count for name, count in steps.items() if name not in SOMETIMES)
