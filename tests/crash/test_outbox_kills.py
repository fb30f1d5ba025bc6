"""The process ends after any step of keeping, packing and passing on; every line arrives elsewhere exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.programs import TOGETHER, steps_and_ends


@pytest.mark.parametrize("kind", ["kill", "power-cut"])
def test_each_line_is_passed_on_once(tmp_path: Path, kind: str) -> None:
    steps, ended = steps_and_ends("outbox_life", tmp_path, kind, parts=10 * TOGETHER)
    assert {"sqlite transaction", "rename", "unlink", "write", "fsync", "mkdir"} <= set(steps)
    assert steps.count("rename") >= 6
    assert ended >= 6


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["kill", "power-cut"])
def test_each_line_is_passed_on_once_at_every_step(tmp_path: Path, kind: str) -> None:
    _, ended = steps_and_ends("outbox_life", tmp_path, kind)
    assert ended >= 60
