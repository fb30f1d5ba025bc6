"""Work in threads beside the event loop: what it gives, what it raises, and how many do it at once."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

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


def test_a_caller_that_is_cancelled_keeps_its_place_until_the_work_has_ended() -> None:
    async def go() -> tuple[list[int | float], list[str]]:
        limiter = CapacityLimiter(1)
        threads, begun, may_end = Threads(limiter), asyncio.Event(), threading.Event()
        loop, done = asyncio.get_running_loop(), []

        def work(name: str) -> None:
            loop.call_soon_threadsafe(begun.set)
            may_end.wait(10)
            done.append(name)

        caller = asyncio.ensure_future(threads.run(work, "first"))
        await begun.wait()
        for _ in range(2):
            caller.cancel()
            await asyncio.sleep(0)
        free = [limiter.available_tokens]
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        free.append(limiter.available_tokens)
        await threads.run(work, "second")
        threads.close()
        return free, done

    assert asyncio.run(go()) == ([0, 1], ["first", "second"])


def test_work_that_is_cancelled_before_it_begins_is_not_done() -> None:
    async def go() -> list[str]:
        threads, may_end, done = Threads(CapacityLimiter(2)), threading.Event(), list[str]()

        def work(name: str) -> None:
            may_end.wait(10)
            done.append(name)

        first = asyncio.ensure_future(threads.run(work, "first"))
        await asyncio.sleep(0)
        threads._busy -= 1  # so that the second waits behind the first, as after a start that failed
        second = asyncio.ensure_future(threads.run(work, "second"))
        await asyncio.sleep(0)
        threads._busy += 1
        second.cancel()
        await asyncio.sleep(0)
        may_end.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
        threads.close()
        return done

    assert asyncio.run(go()) == ["first"]


def test_a_thread_that_cannot_start_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> int:
        limiter = CapacityLimiter(1)
        threads = Threads(limiter)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await threads.run(int, "1")
        assert limiter.available_tokens == 1
        found = await asyncio.wait_for(threads.run(int, "1"), 10)
        threads.close()
        return found

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert asyncio.run(go()) == 1


def test_what_was_worked_on_is_let_go_when_the_work_fails() -> None:
    class Payload(bytearray):
        """Something that can be referred to weakly."""

    def fail(payload: Payload) -> None:
        raise ValueError(len(payload))

    async def call(threads: Threads) -> weakref.ref[Payload]:
        payload = Payload(10)
        held = weakref.ref(payload)
        with pytest.raises(ValueError, match="10"):
            await threads.run(fail, payload)
        return held

    async def go() -> list[bool]:
        threads = Threads(CapacityLimiter(1))
        gone = [(await call(threads))() is None for _ in range(3)]
        threads.close()
        return gone

    gc.disable()
    try:
        # The last one may still be in the hands of its thread.
        assert asyncio.run(go())[:2].count(True) >= 1
    finally:
        gc.enable()


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
