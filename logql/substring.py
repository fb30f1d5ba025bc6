"""Which lines of a column contain a literal."""

from __future__ import annotations

import numpy as np

from logql.kernels.search import contains
from storage.batch import U8, Mask, Texts

_SAMPLE = 8192
"""Bytes of a column from which the rare bytes of a needle are told."""

_PAIRS = 8
"""Places of the needle that are tried beside the rarest one."""


def lines_with(needle: bytes, lines: Texts) -> Mask:
    """bool[n]: whether each line contains the needle."""
    if not needle:
        return np.ones(len(lines), np.bool_)
    found: Mask = np.zeros(len(lines), np.bool_)
    if not len(lines):
        return found
    wanted = np.frombuffer(needle, np.uint8)
    start = int(lines.offsets[0])
    first, second = _rare_pair(wanted, lines.data[start : min(start + _SAMPLE, int(lines.offsets[-1]))])
    contains(lines.data, lines.offsets, wanted, first, second, found)
    return found


def _rare_pair(needle: U8, sample: U8) -> tuple[int, int]:
    """Places of two bytes of the needle that stand at their distance in few places of the sample."""
    seen = np.bincount(sample, minlength=256)[needle]
    order = np.argsort(seen, kind="stable")
    rarest = int(order[0])
    if len(needle) == 1 or not seen[rarest]:
        return rarest, rarest
    best, fewest = rarest, len(sample)
    for place in order[1 : 1 + _PAIRS].tolist():
        apart = place - rarest
        low, high = (sample, sample[apart:]) if apart > 0 else (sample[-apart:], sample)
        size = min(len(low), len(high))
        both = int(np.count_nonzero((low[:size] == needle[rarest]) & (high[:size] == needle[place])))
        if both < fewest:
            best, fewest = place, both
    return rarest, best
