"""The wanted labels as kernels look them up."""

from __future__ import annotations

import numpy as np

from logql.kernels.names import LENGTHS
from storage.batch import I64, Texts


def by_length(names: Texts) -> tuple[I64, I64]:
    """(int64[LENGTHS], first name of each length; int64[k], the next that stands with it); -1 where there is none."""
    heads: I64 = np.full(LENGTHS, -1, np.int64)
    following: I64 = np.full(len(names), -1, np.int64)
    for number, length in enumerate(names.lengths.tolist()):
        place = min(length, LENGTHS - 1)
        following[number], heads[place] = heads[place], number
    return heads, following
