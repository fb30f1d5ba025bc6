"""A budget that remembers."""

from __future__ import annotations

from logql import Budget


class WatchedBudget(Budget):
    """Remembers the most that was held, in bytes."""

    __slots__ = ("most",)

    def __init__(self, allowed: int = 0) -> None:
        super().__init__(allowed)
        self.most = 0

    def take(self, size: int) -> None:
        """Counts bytes as a budget does."""
        super().take(size)
        self.most = max(self.most, self.used)
