"""What the requests of one turn of the event loop want done, done at its end in one go.

No timer: a request that is alone waits for nothing but the others of its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Turns(Generic[_T]):
    """Requests that wait for the end of this turn of the event loop. Used on the loop's thread alone."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, tuple[Callable[[list[_T]], None], list[_T]]] = {}

    def put(self, key: Hashable, work: Callable[[list[_T]], None], item: _T) -> None:
        """Has `work` called with the items of this turn that have the same key; the first one's `work` it is.

        It must not raise: the items are its own to settle.
        """
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._end)
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = work, [item]
        else:
            waiting[1].append(item)

    def _end(self) -> None:
        ended, self._waiting = self._waiting, {}
        for work, items in ended.values():
            work(items)
