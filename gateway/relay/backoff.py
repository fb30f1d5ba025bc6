"""How long to wait after a failure: twice as long each time, and not all at the same moment."""

from __future__ import annotations

import random

FIRST = 0.5
"""Seconds after the first failure, at most."""
MOST = 60.0
"""Seconds after the last of many: what a destination that is back has to wait for."""
MOST_ASKED = 3600.0
"""Seconds that a destination may ask for with Retry-After."""


def delay(failures: int, asked: float | None = None) -> float:
    """Seconds to wait.

    Args:
        failures: in a row, at least 1.
        asked: seconds that the destination asked for: it is not less, and up to a tenth more.
    """
    # Between a half and the whole: relays that failed together come back one by one.
    own = min(MOST, FIRST * 2.0 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    if asked is None:
        return own
    return max(own, min(asked, MOST_ASKED) * random.uniform(1.0, 1.1))  # noqa: S311 - no secret
