"""The memory that one query may hold: what it reads, keeps and answers, counted before it is made (LOKI-DIFF(6))."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from logql.errors import LimitError

SAMPLE = 32
"""Bytes of a sample while it is collected: time, stream id, arrival and value, 8 each."""

SERIES = 1000
"""Bytes of a label set with its columns, besides the texts."""

CHANGE = 24
"""Bytes of a change of a count: where it is made, and what it adds to two sums."""

POINT = 100
"""Bytes of a point of an answer: a time, a value, the places that point to them, and room for its text."""

ENTRY = 600
"""Bytes of an entry that a pipeline made, besides its line: the object, its labels and the tuples around them."""


class Budget:
    """Bytes that a query holds, of those it may hold. Safe for the threads that work on one query.

    Attributes:
        allowed: bytes; 0 allows any number.
        used: bytes held now.
    """

    __slots__ = ("_lock", "allowed", "used")

    def __init__(self, allowed: int = 0) -> None:
        self.allowed = allowed
        self.used = 0
        self._lock = Lock()

    def take(self, size: int) -> None:
        """Counts `size` more bytes.

        Raises:
            LimitError: that is more than allowed; the text names both figures.
        """
        with self._lock:
            self.used += size
            used = self.used
        if self.allowed and used > self.allowed:
            raise LimitError(
                f"the query needs more memory than a query may use (used: {used} bytes, allowed: {self.allowed} "
                "bytes); consider reducing the time range, adding more specific stream selectors or filters, "
                "or increasing the step"
            )

    def give_back(self, size: int) -> None:
        """Counts `size` bytes that are held no more."""
        with self._lock:
            self.used -= size

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Bytes held for the time of the block.

        Raises:
            LimitError: as `take`.
        """
        self.take(size)
        try:
            yield
        finally:
            self.give_back(size)
