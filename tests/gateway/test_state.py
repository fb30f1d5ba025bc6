"""The byte budget of pushes."""

import asyncio

import pytest

from gateway.state import ByteBudget, IngestBusy


def test_room_is_given_back() -> None:
    async def main() -> None:
        budget = ByteBudget(100, wait=10)
        async with budget.hold(60), budget.hold(40):
            assert budget.used == 100
        assert budget.used == 0

    asyncio.run(main())


def test_what_does_not_fit_waits_and_a_small_one_does_not_overtake() -> None:
    async def main() -> list[str]:
        budget = ByteBudget(100, wait=10)
        order: list[str] = []

        async def push(name: str, size: int) -> None:
            async with budget.hold(size):
                order.append(name)

        async with budget.hold(50):
            waiting = [asyncio.ensure_future(push("big", 80)), asyncio.ensure_future(push("small", 10))]
            await asyncio.sleep(0)
            assert (budget.waiting, order) == (2, [])
        await asyncio.gather(*waiting)
        assert (budget.used, budget.waiting) == (0, 0)
        return order

    assert asyncio.run(main()) == ["big", "small"]


def test_waiting_ends_with_an_error_and_leaves_nothing_behind() -> None:
    async def main() -> None:
        budget = ByteBudget(100, wait=0.01)
        async with budget.hold(100):
            with pytest.raises(IngestBusy):
                async with budget.hold(1):
                    pytest.fail("there is no room")
        assert (budget.used, budget.waiting) == (0, 0)

    asyncio.run(main())


def test_one_bigger_than_the_budget_goes_alone() -> None:
    async def main() -> None:
        budget = ByteBudget(100, wait=10)
        async with budget.hold(500):
            assert budget.used == 500
        assert budget.used == 0

    asyncio.run(main())


def test_a_push_that_is_called_off_while_it_is_let_in_gives_its_room_back() -> None:
    async def main() -> None:
        budget = ByteBudget(100, wait=10)

        async def push() -> None:
            async with budget.hold(100):
                pytest.fail("it was called off")

        async with budget.hold(100):
            waiting = asyncio.ensure_future(push())
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (budget.used, budget.waiting) == (0, 0)

    asyncio.run(main())
