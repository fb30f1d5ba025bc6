"""The process ends after any step of a delete's life; what was answered holds, and nothing comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.programs import steps_and_ends


@pytest.mark.parametrize("kind", ["kill", "power-cut"])
def test_a_delete_is_whole_or_was_never_answered(fast_folder: Path, kind: str) -> None:
    steps, ended = steps_and_ends("delete_life", fast_folder, kind)
    # The harness did its work: all that a delete changes on disk was an end.
    assert {"sqlite transaction", "rename", "unlink", "write", "fsync"} <= set(steps)
    assert steps.count("sqlite transaction") >= 8
    assert ended >= 40
