"""What is known of label sets: the same few come with every push, and what follows from one need be found out once."""

from __future__ import annotations

from typing import Generic, TypeVar

from storage.batch import Labels

ROOM = 8 << 20
"""Bytes of label sets in one cache, about; when they are used up it begins anew."""

LONGEST = 4096
"""Bytes of the longest label set that is kept."""
_OVERHEAD = 400
"""Bytes that a label set takes beside its texts, about."""

_T = TypeVar("_T")


def size_of(labels: Labels) -> int:
    """Bytes that a label set takes, about."""
    return _OVERHEAD + sum([len(name) + len(text) for name, text in labels])


class LabelCache(Generic[_T]):
    """Label set -> what was found out about it, of bounded size. May be used by several threads."""

    __slots__ = ("_left", "_room", "_values", "get")

    def __init__(self, room: int = ROOM) -> None:
        """`room` in bytes."""
        self._room = self._left = room
        self._values: dict[Labels, _T] = {}
        self.get = self._values.get

    def put(self, labels: Labels, value: _T) -> None:
        """Keeps a value, unless the label set is a long one."""
        size = size_of(labels)
        if size > LONGEST:
            return
        self._left -= size
        if self._left < 0:
            self._values.clear()
            self._left = self._room - size
        self._values[labels] = value

    def __len__(self) -> int:
        return len(self._values)
