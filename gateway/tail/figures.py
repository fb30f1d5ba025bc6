"""What live tail counts. Written on the event loop alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class DropReason(StrEnum):
    """Why entries were not sent."""

    SLOW_READER = "slow_reader"
    BEHIND = "behind"
    """Queries of tails are slower than entries come."""


@dataclass(slots=True)
class TailFigures:
    """Figures of one server.

    Attributes:
        active: open tails, by tenant.
        queries: different ones among them: what is evaluated for each commit.
        lines: entries that were handed to sockets, those of the past included.
        bytes: characters of their frames.
        dropped: entries that a tail was told to have missed.
    """

    active: Counter[str] = field(default_factory=Counter)
    queries: int = 0
    lines: int = 0
    bytes: int = 0
    dropped: Counter[DropReason] = field(default_factory=Counter)
