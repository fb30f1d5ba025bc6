"""Pushes on their way to the store: together, and each with its own outcome."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from gateway.commits import Commits
from storage import BatchId, Receipt
from storage.batch import Batch
from storage.build import BatchBuilder
from storage.errors import StorageError
from tests.gateway.fake_store import FakeStore

Done = Callable[[Receipt | StorageError], None]


class Store(FakeStore):
    """Keeps what it is given, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[str, Done]] = []

    def append(
        self,
        tenant: str,
        batch: Batch,  # noqa: ARG002 - of the seam; nothing is stored here
        done: Done,
        *,
        batch_id: BatchId | None = None,  # noqa: ARG002 - as above
    ) -> None:
        if tenant == "broken":
            raise ZeroDivisionError
        self.given.append((tenant, done))


BATCH = BatchBuilder().build()


def test_what_one_turn_of_the_loop_decoded_is_handed_over_together_and_in_order() -> None:
    async def main() -> None:
        store, commits = Store(), Commits()
        seen: list[int] = []

        async def push(name: str) -> None:
            future = commits.put(store, name, BATCH, None)
            seen.append(len(store.given))
            await future

        pushes = [asyncio.ensure_future(push(name)) for name in "abc"]
        for _ in range(2):  # the pushes run, then what they asked for
            await asyncio.sleep(0)
        assert seen == [0, 0, 0]
        assert [tenant for tenant, _ in store.given] == ["a", "b", "c"]
        for _, done in store.given:
            done(Receipt())
        await asyncio.gather(*pushes)

    asyncio.run(main())


def test_a_push_that_is_alone_waits_for_no_timer() -> None:
    async def main() -> None:
        store, commits = Store(), Commits()
        for count in (1, 2):
            future = commits.put(store, "a", BATCH, None)
            await asyncio.sleep(0)
            assert len(store.given) == count
            store.given[-1][1](Receipt(duplicates=count))
            assert (await future).duplicates == count

    asyncio.run(main())


def test_each_has_its_own_outcome() -> None:
    async def main() -> None:
        store, commits = Store(), Commits()
        futures = [commits.put(store, name, BATCH, None) for name in ("broken", "refused", "stored")]
        await asyncio.sleep(0)
        (_, refused), (_, stored) = store.given
        refused(StorageError("no"))
        stored(Receipt(deduplicated=True))
        with pytest.raises(ZeroDivisionError):
            await futures[0]
        with pytest.raises(StorageError):
            await futures[1]
        assert (await futures[2]).deduplicated

    asyncio.run(main())


def test_an_outcome_may_come_on_any_thread_and_after_the_client_left() -> None:
    async def main() -> None:
        store, commits = Store(), Commits()
        left, stays = commits.put(store, "a", BATCH, None), commits.put(store, "b", BATCH, None)
        await asyncio.sleep(0)
        left.cancel()

        def answer() -> None:
            for _, done in store.given:
                done(Receipt())

        thread = threading.Thread(target=answer)
        thread.start()
        assert await stays == Receipt()
        thread.join()

    asyncio.run(main())
