"""The threads in which large messages are read.

In place of anyio's, which give other tasks a turn twice before they begin: with the loop's wake-up for what is done,
three turns a message, each with a look at every socket. No more at once than all doors together may
(gateway.push.threads).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from anyio import CapacityLimiter, WouldBlock

_R = TypeVar("_R")


class Threads:
    """Threads beside the event loop; they start when there is work. Used on the loop's thread alone."""

    def __init__(self, limiter: CapacityLimiter) -> None:
        """`limiter`: held by each piece of work."""
        self._limiter = limiter
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._started: list[Thread] = []
        self._busy = 0

    async def run(self, function: Callable[..., _R], *args: object) -> _R:
        """What `function` gives, or raises, in a thread.

        A caller that is cancelled goes when the work has ended, or at once if it has not begun: until then what it
        works on is in memory, and its place is taken.
        """
        holder = object()
        try:
            self._limiter.acquire_on_behalf_of_nowait(holder)
        except WouldBlock:
            await self._limiter.acquire_on_behalf_of(holder)
        self._busy += 1
        try:
            if self._busy > len(self._started):
                self._start()
            work = _Work(function, args)
            self._work.put(work)
            try:
                await asyncio.shield(work.done)
            except asyncio.CancelledError:
                work.withdraw()
                while not work.done.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.shield(work.done)
                raise
            given: _R = work.result()
            return given
        finally:
            self._busy -= 1
            self._limiter.release_on_behalf_of(holder)

    def close(self) -> None:
        """Ends the threads once they have done what they were given. Later work starts new ones."""
        for _ in self._started:
            self._work.put(None)
        self._started.clear()

    def _start(self) -> None:
        thread = Thread(target=_serve, args=(self._work,), name="weir-forward", daemon=True)
        thread.start()
        self._started.append(thread)


class _Work:
    """One call."""

    def __init__(self, function: Callable[..., Any], args: tuple[object, ...]) -> None:
        self._function, self._args = function, args
        self._loop = asyncio.get_running_loop()
        self._result: Any = None
        self._error: BaseException | None = None
        self._withdrawn = False
        self.done: asyncio.Future[None] = self._loop.create_future()

    def run(self) -> None:
        """In a thread."""
        if not self._withdrawn:
            try:
                self._result = self._function(*self._args)
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                self._error = error
        self._args = ()
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._tell)

    def withdraw(self) -> None:
        """Nobody wants it any more: it is not begun."""
        self._withdrawn = True

    def result(self) -> Any:
        """Of the call, which is done."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback has this frame, and with it what was worked on, until the collector comes
        return self._result

    def _tell(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _serve(queue: SimpleQueue[_Work | None]) -> None:
    while (work := queue.get()) is not None:
        work.run()
        del work  # not kept while the next is awaited
