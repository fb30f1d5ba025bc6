"""What crash tests share: the process that their servers are forks of, and a folder that is fast."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forks import Forks, shared

MEMORY = Path("/dev/shm")
ROOM = 32 << 20
"""Bytes, more than the data directories of a life and what is left of it take."""


@pytest.fixture(scope="session")
def forks() -> Forks:
    return shared()


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is room: for crashes that are made, whose syncs need not reach a disk."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="weir-", dir=MEMORY) as folder:
        yield Path(folder)
