"""Work in threads beside the event loop: what it gives, what it raises, and how many do it at once."""

from __future__ import annotations

import asyncio
import threading

import pytest
from anyio import CapacityLimiter

from gateway.forward.threads import Threads


def test_what_a_call_gives_or_raises_comes_back_to_the_loop() -> None:
    async def go() -> tuple[int, str]:
        threads = Threads(CapacityLimiter(2))
        try:
            assert await threads.run(threading.get_ident) != threading.get_ident()
            with pytest.raises(ZeroDivisionError):
                await threads.run(divmod, 1, 0)
            return await threads.run(int, "7"), await threads.run(str, 8)
        finally:
            threads.close()

    assert asyncio.run(go()) == (7, "8")


def test_no_more_work_at_once_than_the_limiter_has_room_for() -> None:
    async def go() -> int:
        threads, most = Threads(CapacityLimiter(2)), 0
        lock, now = threading.Lock(), 0
        both = threading.Barrier(2)

        def work() -> None:
            nonlocal most, now
            with lock:
                now += 1
                most = max(most, now)
            both.wait(10)
            with lock:
                now -= 1

        await asyncio.gather(*[threads.run(work) for _ in range(6)])
        threads.close()
        return most

    assert asyncio.run(go()) == 2


def test_work_that_others_do_under_the_limiter_counts() -> None:
    async def go() -> None:
        limiter = CapacityLimiter(1)
        threads = Threads(limiter)
        async with limiter:
            waiting = asyncio.ensure_future(threads.run(int, "1"))
            await asyncio.sleep(0)
            assert limiter.statistics().tasks_waiting == 1
        assert await waiting == 1
        assert limiter.available_tokens == 1
        threads.close()

    asyncio.run(go())


def test_a_caller_that_leaves_gives_its_place_back_and_the_work_ends() -> None:
    async def go() -> int | float:
        limiter = CapacityLimiter(1)
        threads, begun, may_end, ended = Threads(limiter), asyncio.Event(), threading.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            may_end.wait(10)
            ended.set()

        caller = asyncio.ensure_future(threads.run(work))
        await begun.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        free = limiter.available_tokens
        may_end.set()
        assert await threads.run(ended.wait, 10)  # behind it
        threads.close()
        return free

    assert asyncio.run(go()) == 1


def test_close_ends_the_threads_and_later_work_starts_new_ones() -> None:
    async def go() -> None:
        threads = Threads(CapacityLimiter(1))
        first = await threads.run(threading.current_thread)
        threads.close()
        first.join(10)
        assert not first.is_alive()
        assert await threads.run(int, "3") == 3
        threads.close()

    asyncio.run(go())
