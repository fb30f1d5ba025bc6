"""How many examples a costly property is tried with: a quarter in the suite, all of them under `make soak`."""

from __future__ import annotations

import os


def many(count: int) -> int:
    """`count`, or a quarter of it; for examples that are costly to draw and alike."""
    return count if os.environ.get("WEIR_EXAMPLES") == "all" else count // 4
