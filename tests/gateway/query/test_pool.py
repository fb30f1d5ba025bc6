"""The query pool: places, queue, deadline, cancellation."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from gateway.query.errors import QueryCancelled, QueryTimeout, TooManyQueries
from gateway.query.pool import QueryPool, Ticket


class Gate:
    """Work that waits until it is let go, checking its ticket."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.running = threading.Semaphore(0)
        self.ended_by: list[str] = []

    def work(self, ticket: Ticket) -> str:
        self.running.release()
        try:
            while not self.open.wait(0.002):
                ticket.check()
        except (QueryTimeout, QueryCancelled) as error:
            self.ended_by.append(type(error).__name__)
            raise
        return "done"


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


async def started(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.running.acquire, timeout=10)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the pool counts, it does not notify
            await asyncio.sleep(0.001)


def test_a_result_comes_back() -> None:
    async def main() -> None:
        pool = QueryPool(1, 1)
        assert await pool.run(Ticket(10), lambda: 42) == 42
        assert pool.running == 0
        pool.close()

    asyncio.run(main())


def test_an_exception_comes_back() -> None:
    async def main() -> None:
        pool = QueryPool(1, 1)
        with pytest.raises(ZeroDivisionError):
            await pool.run(Ticket(10), lambda: 1 // 0)
        pool.close()

    asyncio.run(main())


def test_more_than_max_concurrent_wait_for_a_place(gate: Gate) -> None:
    async def main() -> None:
        pool = QueryPool(4, 1)
        first_ticket, second_ticket = Ticket(10), Ticket(10)
        first = asyncio.ensure_future(pool.run(first_ticket, lambda: gate.work(first_ticket)))
        await started(gate)
        second = asyncio.ensure_future(pool.run(second_ticket, lambda: gate.work(second_ticket)))
        await until(lambda: pool.waiting == 1)
        assert pool.running == 1
        gate.open.set()
        assert await first == await second == "done"
        pool.close()

    asyncio.run(main())


def test_a_full_queue_refuses(gate: Gate) -> None:
    async def main() -> None:
        pool = QueryPool(1, 1, max_waiting=1)
        ticket = Ticket(10)
        running = [asyncio.ensure_future(pool.run(ticket, lambda: gate.work(ticket))) for _ in range(2)]
        await until(lambda: pool.waiting == 1 and pool.running == 1)
        with pytest.raises(TooManyQueries):
            await pool.run(Ticket(10), lambda: None)
        gate.open.set()
        await asyncio.gather(*running)
        pool.close()

    asyncio.run(main())


def test_the_deadline_holds_while_waiting_and_while_working(gate: Gate) -> None:
    async def main() -> None:
        pool = QueryPool(1, 1)
        ticket = Ticket(0.05)
        working = asyncio.ensure_future(pool.run(ticket, lambda: gate.work(ticket)))
        await started(gate)
        with pytest.raises(QueryTimeout):
            await pool.run(Ticket(0.01), lambda: None)
        with pytest.raises(QueryTimeout):
            await working
        # The place comes back when the thread has seen the deadline too.
        await until(lambda: pool.running == 0)
        assert gate.ended_by == ["QueryTimeout"]
        pool.close()

    asyncio.run(main())


def test_cancelling_ends_the_thread_at_its_next_check(gate: Gate) -> None:
    async def main() -> None:
        pool = QueryPool(1, 1)
        ticket = Ticket(60)
        working = asyncio.ensure_future(pool.run(ticket, lambda: gate.work(ticket)))
        await started(gate)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        await until(lambda: pool.running == 0)
        assert gate.ended_by == ["QueryCancelled"]
        pool.close()

    asyncio.run(main())
