"""Runs queries on worker threads: a bound on how many, a queue with a deadline, an end when the client goes.

A thread cannot be stopped from outside. Each query gets a `Ticket` whose `check` it calls between pieces of work; the
request is answered at once when time is up or the client has gone, the thread follows at its next check, and only then
is its place free for the next query.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway.query.errors import QueryCancelled, QueryStopped, QueryTimeout, TooManyQueries
from logql.stats import Reading

T = TypeVar("T")

MAX_WAITING = 2048
"""Queries that may wait for a place: Loki's max_outstanding_per_tenant."""


class Ticket:
    """One query's right to go on. Made on the event loop, checked on a worker thread.

    Attributes:
        at_work: whether it holds a place: its thread has not ended.
        so_far: what it has read, if somebody said how to know.
    """

    __slots__ = ("_deadline", "_ended", "_gone", "_stopped", "at_work", "so_far")

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._gone = False
        self._stopped: QueryStopped | None = None
        self._ended: Callable[[], None] | None = None
        self.at_work = False
        self.so_far: Callable[[], Reading] = Reading

    def cancel(self) -> None:
        """The client has gone: the next check raises."""
        self._gone = True

    def stop(self, why: QueryStopped) -> None:
        """Somebody wants it to end: the next check raises."""
        self._stopped = why

    @property
    def is_over(self) -> bool:
        """Whether the next check raises, but for the deadline."""
        return self._gone or self._stopped is not None

    def when_ended(self, call: Callable[[], None]) -> None:
        """Has `call` called on the event loop when its thread has ended."""
        self._ended = call

    def gives_back(self) -> None:
        """Its thread has ended."""
        self.at_work = False
        if self._ended is not None:
            self._ended()

    @property
    def left(self) -> float:
        """Seconds until the deadline, not under 0."""
        return max(0.0, self._deadline - time.monotonic())

    def check(self) -> None:
        """Returns while the query may go on.

        Raises:
            QueryStopped: somebody wants it to end.
            QueryCancelled: the client has gone.
            QueryTimeout: the deadline has passed.
        """
        if self._stopped is not None:
            raise QueryStopped(self._stopped.number)  # one for each thread and request that it is raised in
        if self._gone:
            raise QueryCancelled
        if time.monotonic() >= self._deadline:
            raise QueryTimeout


class QueryPool:
    """Worker threads for queries.

    Attributes:
        running: queries that hold a place.
        waiting: queries that wait for one.
    """

    def __init__(self, threads: int, max_concurrent: int, max_waiting: int = MAX_WAITING) -> None:
        self._threads = ThreadPoolExecutor(max(1, threads), thread_name_prefix="query")
        # Of its own, so that half an answer does not wait for a place behind queries.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="answer")
        self._places = asyncio.Semaphore(max(1, max_concurrent))
        self._max_waiting = max_waiting
        self.running = 0
        self.waiting = 0

    async def run(self, ticket: Ticket, work: Callable[[], T]) -> T:
        """The result of `work`, which runs on a worker thread and is expected to call `ticket.check`.

        Cancelling the caller cancels the ticket. The place is given back when the thread is done, not before.

        Raises:
            TooManyQueries: the queue is full.
            QueryTimeout: the deadline passed while waiting or working.
        """
        await self._take_place(ticket)
        ticket.at_work = True
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, _checked(ticket, work))
        future.add_done_callback(self._give_back)
        future.add_done_callback(lambda _: ticket.gives_back())
        try:
            done, _ = await asyncio.wait({future}, timeout=ticket.left)
        except asyncio.CancelledError:
            ticket.cancel()
            raise
        if not done:
            raise QueryTimeout
        return future.result()

    async def piece(self, pieces: Iterator[bytes]) -> bytes | None:
        """The next piece of a long answer, made on a thread that is there for these; None after the last."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, next, pieces, None)

    async def _take_place(self, ticket: Ticket) -> None:
        if self.waiting >= self._max_waiting:
            raise TooManyQueries
        self.waiting += 1
        try:
            async with asyncio.timeout(ticket.left):
                await self._places.acquire()
        except TimeoutError as error:
            raise QueryTimeout from error
        finally:
            self.waiting -= 1
        self.running += 1

    def _give_back(self, future: asyncio.Future[T]) -> None:
        self.running -= 1
        self._places.release()
        if not future.cancelled():
            # A result nobody waits for any more would be reported as "never retrieved".
            future.exception()

    def close(self) -> None:
        """Lets running work end at its next check and takes no more."""
        for threads in (self._threads, self._writer):
            threads.shutdown(wait=False, cancel_futures=True)


def _checked(ticket: Ticket, work: Callable[[], T]) -> Callable[[], T]:
    def run() -> T:
        ticket.check()
        return work()

    return run
