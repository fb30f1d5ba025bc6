"""Places for exports, of which there are few: an export may take hours, and no query waits for one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.query.pool import Ticket


class TooManyExports(Exception):  # noqa: N818 - named for what happened
    """All places are taken (429)."""

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} exports are running, which is as many as may (query.max_exports): try again later")


class Outcome(StrEnum):
    """How an export ended."""

    COMPLETE = "complete"
    LEFT = "left"
    """The client went away, or took nothing for too long."""
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(slots=True)
class ExportFigures:
    """What exports of one server came to.

    Attributes:
        ended: how many ended how.
        lines: records made.
        bytes: of answers, as they were sent.
    """

    ended: Counter[Outcome] = field(default_factory=Counter)
    lines: int = 0
    bytes: int = 0


class Place:
    """One export's place and thread. Given back when the thread has ended what it is at."""

    def __init__(self, places: Places, ticket: Ticket) -> None:
        self._places = places
        self._ticket = ticket
        self._at: asyncio.Future[bytes | None] | None = None

    async def following(self, pieces: Iterator[bytes]) -> bytes | None:
        """The next piece; None after the last."""
        self._at = asyncio.get_running_loop().run_in_executor(self._places.threads, next, pieces, None)
        return await asyncio.shield(self._at)

    def leave(self) -> None:
        """Gives the place back, as soon as the thread is done."""
        if self._at is None or self._at.done():
            self._left(self._at)
        else:
            self._ticket.cancel()
            self._at.add_done_callback(self._left)

    def _left(self, future: asyncio.Future[bytes | None] | None) -> None:
        if future is not None and not future.cancelled():
            future.exception()  # nobody else asks for it
        self._places.running -= 1
        self._ticket.gives_back()


class Places:
    """The places of one server. For the event loop.

    Attributes:
        most: exports at once.
        running: those that hold a place.
        threads: one for each place.
        figures: of all exports so far.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.running = 0
        self.figures = ExportFigures()
        self.threads = ThreadPoolExecutor(most, thread_name_prefix="export")

    def take(self, ticket: Ticket) -> Place:
        """A place.

        Raises:
            TooManyExports: there is none.
        """
        if self.running >= self.most:
            raise TooManyExports(self.most)
        self.running += 1
        ticket.at_work = True
        return Place(self, ticket)

    def close(self) -> None:
        """Takes no more; what is at work ends at its next check."""
        self.threads.shutdown(wait=False, cancel_futures=True)
