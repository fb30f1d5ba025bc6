"""Token buckets, with the behaviour of Go's x/time/rate on which Loki's limits stand."""

from __future__ import annotations

from dataclasses import dataclass

_SECOND = 1_000_000_000


@dataclass(slots=True)
class TokenBucket:
    """Tokens (bytes) that may be taken now. It starts full. Not thread-safe: the owner holds a lock.

    The rate is given with each call, so that a changed limit holds from the next push on.

    Attributes:
        tokens: left at `at`; None before first use.
        at: ns of the last call that counted.
    """

    tokens: float | None = None
    at: int = 0

    def left(self, now: int, rate: float, burst: float) -> float:
        """Tokens that could be taken now; arguments as of take."""
        if self.tokens is None:
            return burst
        return min(burst, self.tokens + max(0, now - self.at) * rate / _SECOND)

    def take(self, amount: int, now: int, rate: float, burst: float) -> bool:
        """Takes `amount` tokens if there are as many, else none.

        Args:
            amount: tokens; more than `burst` is always refused.
            now: ns; an earlier time than before refills nothing.
            rate: tokens a second.
            burst: most tokens the bucket holds.
        """
        if self.tokens is None:
            self.tokens, self.at = burst, now
        elapsed = max(0, now - self.at)
        level = min(burst, self.tokens + elapsed * rate / _SECOND)
        if amount > level:
            return False
        self.tokens, self.at = level - amount, max(now, self.at)
        return True
