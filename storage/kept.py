"""What was read of files and is kept for the next who asks: the latest used, up to a number and a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Kept(Generic[_K, _V]):
    """Values by key, the longest unused dropped first. Safe for any number of threads."""

    def __init__(self, most: int, room: int) -> None:
        """At most so many values of so many bytes together; the last one put is kept whatever its size."""
        self._most = most
        self._room = room
        self._used = 0
        self._lock = threading.Lock()
        self._values: OrderedDict[_K, tuple[_V, int]] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        """The value of a key, if it is here."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: _K, value: _V, nbytes: int) -> _V:
        """Keeps a value that takes about so many bytes; gives the one that is there already, if one is."""
        with self._lock:
            found = self._values.setdefault(key, (value, nbytes))
            if found[0] is value:
                self._used += nbytes
                while len(self._values) > 1 and (len(self._values) > self._most or self._used > self._room):
                    self._used -= self._values.popitem(last=False)[1][1]
            return found[0]

    def pop(self, key: _K) -> None:
        """Drops what is kept of a key."""
        with self._lock:
            self._used -= self._values.pop(key, (None, 0))[1]

    def __len__(self) -> int:
        return len(self._values)
