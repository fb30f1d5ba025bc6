from __future__ import annotations

import pytest

from logql import workers
from logql.workers import in_order


def test_results_come_in_order() -> None:
    assert list(in_order(lambda item: item * 2, range(50))) == [(item, item * 2) for item in range(50)]


def test_little_is_begun_that_nobody_asks_for() -> None:
    begun: list[int] = []
    items = in_order(begun.append, range(1000))
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert len(begun) <= workers.THREADS + 1


def test_an_error_of_the_work_reaches_the_caller() -> None:
    def fail(item: int) -> None:
        raise ValueError(str(item))

    with pytest.raises(ValueError, match=r"^[0-9]$"):
        list(in_order(fail, range(10)))


def test_a_query_goes_on_while_all_threads_are_busy() -> None:
    taken = [workers._free.acquire(timeout=30) for _ in range(max(1, workers.THREADS - 1))]
    try:
        assert all(taken)
        assert list(in_order(str, range(5))) == [(item, str(item)) for item in range(5)]
    finally:
        for _ in taken:
            workers._free.release()


def test_threads_that_are_done_are_free_again() -> None:
    for _ in range(20):
        assert [result for _, result in in_order(str, range(9))] == [str(item) for item in range(9)]
    taken = [workers._free.acquire(timeout=30) for _ in range(max(1, workers.THREADS - 1))]
    assert all(taken)
    for _ in taken:
        workers._free.release()
