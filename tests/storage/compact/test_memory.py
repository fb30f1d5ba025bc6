"""Compaction takes bounded memory beside an idle store, whatever the blocks hold."""

from __future__ import annotations

import sys

import pytest

from tests.storage.compact.memory import KINDS, measured

MOST = 400 << 20
"""Bytes that the process may grow by."""
SMALL = 220 << 20
"""Bytes, for blocks of a tenth of the size: a row group of each of some sources, and of what comes of them."""
SMALL_KINDS = ("streams", "heavy")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the most that a process held is read from /proc")


@pytest.mark.parametrize("kind", SMALL_KINDS)
def test_small_blocks_take_little(kind: str) -> None:
    grew, before, after = measured(kind, 10)
    assert grew < SMALL, f"{grew >> 20} MB"
    assert before > after == 1


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_no_input_takes_more_than_400_mb(kind: str) -> None:
    grew, before, after = measured(kind, 100)
    print(f"{kind}: {before} blocks became {after}, the process grew by {grew >> 20} MB at most")
    assert grew < MOST, f"{grew >> 20} MB"
