"""Running a request's work on the query threads, for as long as somebody waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from starlette.requests import Request
from starlette.types import Receive

from gateway.query.errors import QueryCancelled
from gateway.query.pool import Ticket
from gateway.query.running import About
from gateway.query.shared import Run, SharedRuns
from gateway.state import Gateway, LogStore
from storage.errors import CorruptBlock

T = TypeVar("T")

NS_PER_SECOND = 1_000_000_000


async def run_for(request: Request, tenant: str, work: Callable[[Ticket], T]) -> T:
    """The result of `work`, run on a query thread within the tenant's query timeout.

    Raises:
        QueryTimeout: the time is over, waiting included.
        QueryStopped: somebody wanted it to end.
        QueryCancelled: the client has gone.
        TooManyQueries: the queue is full.
    """
    gateway: Gateway = request.app.state.gateway
    settings = gateway.settings
    timeout = settings.limits_for(tenant).query_timeout or settings.query.timeout
    ticket = Ticket(timeout / NS_PER_SECOND)
    asked = time.monotonic()

    def begin() -> T:
        gateway.metrics.query_queued(time.monotonic() - asked)
        return past_damage(gateway.store, lambda: work(ticket))

    running = asyncio.ensure_future(gateway.queries.run(ticket, begin))
    gateway.running.add(About.of(request, tenant), ticket, running)
    watching = asyncio.ensure_future(client_gone(request.receive))
    try:
        await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            ticket.cancel()
            raise QueryCancelled
        if running.cancelled():
            ticket.check()  # says why
        return running.result()
    finally:
        for task in (running, watching):
            task.cancel()


async def run_shared(request: Request, about: About, key: Hashable | None, work: Callable[[Ticket], T]) -> T:
    """As `run_for`, for a query; the result of another's `work` if that is under way under the same key.

    None as key shares with nobody. `about` says what it is. Errors as of `run_for`.
    """
    gateway: Gateway = request.app.state.gateway
    settings = gateway.settings
    timeout = settings.limits_for(about.tenant).query_timeout or settings.query.timeout
    asked = time.monotonic()

    def begun(run: Run[T]) -> None:
        gateway.running.add(about, run.ticket, run.task, lambda: run.waiting)

    def begin(ticket: Ticket) -> T:
        gateway.metrics.query_queued(time.monotonic() - asked)
        return past_damage(gateway.store, lambda: work(ticket))

    runs: SharedRuns[T] = gateway.runs
    watching = asyncio.ensure_future(client_gone(request.receive))
    try:
        return await runs.run(key, gateway.queries, timeout / NS_PER_SECOND, begin, watching, begun)
    finally:
        watching.cancel()


def past_damage(store: LogStore, work: Callable[[], T]) -> T:
    """The result of `work`, which is begun again without each damaged block that it meets.

    Raises what `work` raises; CorruptBlock where the block itself is as it was written.
    """
    while True:
        try:
            return work()
        except CorruptBlock as error:
            if not store.met_damage(error):
                raise


async def client_gone(receive: Receive) -> None:
    """Returns when the client has hung up; the request's body has been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass
