"""Units of a query, worked on by several threads at once.

Only for work that mostly runs without the GIL (decompressing, kernels, Arrow); more threads make other work slower.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from threading import BoundedSemaphore
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = os.cpu_count() or 1
"""Threads that work on the units of a query at once: the caller's, and others that all queries share."""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, THREADS - 1), thread_name_prefix="unit")


_free = BoundedSemaphore(max(1, THREADS - 1))
"""The pool's threads that have no work: nothing waits in its queue."""


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
    """Each item and what `work` makes of it, in order. The items after it are worked on meanwhile.

    Items that find no thread free are the caller's, so that a query is not slower than without them. A caller who stops
    asking leaves what is begun to end unheeded.
    """
    if THREADS == 1:
        for item in items:
            yield item, work(item)
        return
    begun: deque[tuple[Item, Future[Result]]] = deque()
    for item in items:
        # No more are begun than threads can be at: what comes first may show that no more are wanted.
        if len(begun) < THREADS - 1 and _free.acquire(blocking=False):
            begun.append((item, _pool().submit(_freeing, work, item)))
            continue
        result = work(item)
        while begun:
            first, future = begun.popleft()
            yield first, future.result()
        yield item, result
    while begun:
        first, future = begun.popleft()
        yield first, future.result()


def _freeing(work: Callable[[Item], Result], item: Item) -> Result:
    try:
        return work(item)
    finally:
        _free.release()
