"""An array that one thread appends to while others read it without a lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 16
"""Places of an empty one: a thousand tenants have several each."""

_T = TypeVar("_T", bound=np.generic)


class Growing(Generic[_T]):
    """Values that are appended and never changed.

    What `view` gave stays as it is: where there is no room left the values are copied to a new array, and the old one
    belongs to those who hold it. One thread appends at a time.
    """

    __slots__ = ("_array", "_count")

    def __init__(self, dtype: type[_T], values: Sequence[Any] = ()) -> None:
        self._array: NDArray[_T] = np.empty(max(_SMALLEST, len(values)), dtype)
        self._array[: len(values)] = values
        self._count = len(values)

    def __len__(self) -> int:
        return self._count

    def append(self, value: Any) -> None:
        """Adds one value."""
        count = self._count
        if count == len(self._array):
            self._make_room(1)
        self._array[count] = value
        self._count = count + 1

    def extend(self, values: Sequence[Any]) -> None:
        """Adds values."""
        count = self._count
        after = count + len(values)
        if after > len(self._array):
            self._make_room(len(values))
        self._array[count:after] = values
        self._count = after

    @property
    def view(self) -> NDArray[_T]:
        """[n], the values so far; not to be written to."""
        # The count first: the array that is found after it has as many values at least.
        count = self._count
        return self._array[:count]

    def _make_room(self, more: int) -> None:
        old = self._array
        new = np.empty(max(self._count + more, len(old) + (len(old) >> 1)), old.dtype)
        new[: self._count] = old[: self._count]
        self._array = new
