"""One run for identical queries in flight: who asks for what is being worked on already waits for that answer.

A run belongs to nobody who waits for it. It ends early when the last of them has gone, and not before. An error is an
answer too, the deadline of the run among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gateway.query.errors import QueryCancelled
from gateway.query.pool import QueryPool, Ticket

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Run(Generic[T]):
    """A query at work.

    Attributes:
        ticket: its right to go on.
        task: what comes to its result.
        waiting: requests that want it.
    """

    ticket: Ticket
    task: asyncio.Task[T]
    waiting: int = 0


class SharedRuns(Generic[T]):
    """The queries at work, by what they were asked. For the event loop.

    Attributes:
        begun: runs there have been.
        joined: requests that were given the result of another's run.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.joined = 0
        self._runs: dict[Hashable, Run[T]] = {}

    async def run(
        self,
        key: Hashable | None,
        pool: QueryPool,
        seconds: float,
        work: Callable[[Ticket], T],
        gone: asyncio.Future[None],
        begun: Callable[[Run[T]], None] | None = None,
    ) -> T:
        """The result of `work`, or of the same work that another began.

        Args:
            key: equal for requests whose answers are equal; None shares with nobody.
            pool: where it runs.
            seconds: it may take, if it is begun here.
            work: what to do; calls the ticket's `check`.
            gone: done when nobody waits for it here any more.
            begun: is told of the run, if it is begun here.

        Raises:
            QueryStopped: somebody wanted the run to end.
            QueryCancelled: `gone` came first.
            QueryTimeout, TooManyQueries: as of `pool.run`.
        """
        found = self._runs.get(key) if key is not None else None
        if found is None:
            found = self._begin(key, pool, Ticket(seconds), work)
            if begun is not None:
                begun(found)
        else:
            self.joined += 1
        found.waiting += 1
        try:
            either: set[asyncio.Future[Any]] = {found.task, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not found.task.done():
                raise QueryCancelled
            if found.task.cancelled():
                found.ticket.check()  # says why
            return found.task.result()
        finally:
            found.waiting -= 1
            if not found.waiting or found.task.done():
                self._forget(key, found)
            if not found.waiting and not found.task.done():
                found.ticket.cancel()
                found.task.cancel()

    def part(self) -> None:
        """Lets nobody join what has begun: from now on other entries are to be seen."""
        self._runs.clear()

    def _begin(self, key: Hashable | None, pool: QueryPool, ticket: Ticket, work: Callable[[Ticket], T]) -> Run[T]:
        self.begun += 1
        made = Run(ticket, asyncio.ensure_future(pool.run(ticket, lambda: work(ticket))))
        if key is not None:
            self._runs[key] = made
        return made

    def _forget(self, key: Hashable | None, run: Run[T]) -> None:
        """Lets nobody join a run any more."""
        if self._runs.get(key) is run:
            del self._runs[key]
