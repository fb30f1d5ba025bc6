"""A tail that goes on when its connection breaks: it begins anew a little before where it was, without repeats."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from gateway.client.errors import ClientError, ServerRefused, Unreachable
from gateway.client.lines import Line
from gateway.client.tail import Tailed
from gateway.client.times import SECOND

TRIES = 10
"""Attempts to come back, one after the other, before it is given up."""

FIRST_WAIT = 0.5
LONGEST_WAIT = 10.0
"""Seconds before the first attempt; they double up to the longest."""

OVERLAP = 2 * SECOND
"""ns asked for again: lines that came late may be older than those that were seen last."""

REMEMBERED = 10_000
"""Lines that are known when they come again."""

_BUSY = frozenset({429, 502, 503, 504})
"""Answers of a server, or of a proxy before it, that is about to be there."""

Open: TypeAlias = Callable[[int, int], Iterator[Tailed]]
"""(start ns, limit) -> messages of a tail."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The connection is gone; `seconds` from now another is tried."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How a tail begins.

    Attributes:
        start: ns; lines from here on come first.
        limit: of these at most, the newest.
        again: as `limit`, after a pause.
    """

    start: int
    limit: int
    again: int


def follow(
    open_tail: Open, plan: Plan, *, now: Callable[[], int], sleep: Callable[[float], None]
) -> Iterator[Tailed | Pause]:
    """Messages until the server closes the tail in peace, with a Pause before each attempt to come back.

    Args:
        open_tail: makes a tail.
        plan: for the first of them.
        now: the time, ns.
        sleep: waits so many seconds.

    Raises:
        ClientError: the first attempt failed, or the last one, or the server refuses.
    """
    recent: deque[Line] = deque(maxlen=REMEMBERED)
    start, limit = plan.start, plan.limit
    failures = 0
    been_there = False
    while True:
        # Of lines that are asked for again those that were seen are left out, each as often as it was seen.
        seen = Counter(line for line in recent if line.ts >= start) if been_there else Counter[Line]()
        try:
            for message in open_tail(start, limit):
                been_there, failures = True, 0
                fresh = _unseen(message.lines, seen) if seen else message.lines
                recent.extend(fresh)
                if fresh or message.dropped:
                    yield Tailed(fresh, message.dropped)
        except (Unreachable, ServerRefused) as error:
            failures += 1
            if not been_there or failures > TRIES or not _may_come_back(error):
                raise
            wait = min(FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT)
            if failures == 1:
                newest = max((line.ts for line in recent), default=start)
                start, limit = max(start, min(newest, now()) - OVERLAP), plan.again
            yield Pause(wait, str(error))
            sleep(wait)
        else:
            return


def _may_come_back(error: ClientError) -> bool:
    return not isinstance(error, ServerRefused) or error.status in _BUSY


def _unseen(lines: list[Line], seen: Counter[Line]) -> list[Line]:
    fresh = []
    for line in lines:
        if seen[line] > 0:
            seen[line] -= 1
        else:
            fresh.append(line)
    return fresh
