"""Columns of a batch at some of its rows."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from logql.kernels.groups import mark_used
from storage.batch import I32, I64

Number = TypeVar("Number", bound=np.generic)


def of_rows(column: NDArray[Number], rows: I64) -> NDArray[Number]:
    """The values of the rows, which ascend: no copy is made where they are all."""
    return column if len(rows) == len(column) else column[rows]


def used_codes(codes: I32) -> list[int]:
    """The codes that there are, none negative, ascending."""
    if not len(codes):
        return []
    used = np.zeros(int(codes.max()) + 1, np.bool_)
    mark_used(codes, used)
    return np.flatnonzero(used).tolist()
