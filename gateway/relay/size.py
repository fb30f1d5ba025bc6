"""How many records a batch may have: fewer after a failure, more again after each success."""

from __future__ import annotations

SHRINK = 0.8
"""What is left of the size after a failure."""


class AdaptiveSize:
    """Between `target` and a part of it: 1000, 800, 640, 512 ... 200 with failures, 100, 110, 121 ... with successes.

    A size is a whole number: the product rounded, and at least one more or less than before.
    """

    def __init__(self, target: int, least_part: float, recovery: float) -> None:
        """`least_part` of the target is the smallest size; a success adds the part `recovery` of the size."""
        self.target = target
        self.least = min(target, max(1, round(target * least_part)))
        self.now = target
        self._recovery = recovery

    @property
    def percent(self) -> int:
        """Of the target."""
        return round(100 * self.now / self.target)

    def succeeded(self) -> bool:
        """After a success; whether the size is another now."""
        if not self._recovery:
            return False
        return self._set(min(self.target, max(self.now + 1, round(self.now * (1 + self._recovery)))))

    def failed(self) -> bool:
        """After a failure; whether the size is another now."""
        return self._set(max(self.least, min(self.now - 1, round(self.now * SHRINK))))

    def _set(self, size: int) -> bool:
        before, self.now = self.now, size
        return size != before
