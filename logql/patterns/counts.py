"""How many lines of which cluster came in which ten seconds: three columns, joined now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

I64: TypeAlias = NDArray[np.int64]

MANY_PARTS = 64
"""Parts that are joined to one."""
MOST_SAMPLES = 500_000
"""Samples of a tenant in memory: above it older ones are counted in longer stretches."""
COARSER = (6, 60, 360)
"""Stretches that samples are counted in where there are too many of ten seconds: a minute, ten, an hour."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Counts by what is counted and bucket, sorted by both, each pair once.

    Attributes:
        what: int64[n], a cluster's number, or a series'.
        bucket: int64[n], ten seconds since the epoch.
        count: int64[n], lines.
    """

    what: I64
    bucket: I64
    count: I64

    def __len__(self) -> int:
        return len(self.what)

    def take(self, rows: NDArray[np.bool_]) -> Samples:
        """Some of them."""
        return Samples(self.what[rows], self.bucket[rows], self.count[rows])


_NONE: I64 = np.zeros(0, np.int64)
NO_SAMPLES = Samples(_NONE, _NONE, _NONE)


def join_samples(parts: Sequence[Samples]) -> Samples:
    """All of all parts, in order; the parts need not be."""
    if not parts:
        return NO_SAMPLES
    what = np.concatenate([part.what for part in parts])
    bucket = np.concatenate([part.bucket for part in parts])
    count = np.concatenate([part.count for part in parts])
    if not len(what):
        return NO_SAMPLES
    order = np.lexsort((bucket, what))
    what, bucket = what[order], bucket[order]
    heads = np.flatnonzero(np.concatenate(([True], (what[1:] != what[:-1]) | (bucket[1:] != bucket[:-1]))))
    return Samples(what[heads], bucket[heads], np.add.reduceat(count[order], heads))


def fit(samples: Samples, most: int) -> Samples:
    """The samples in stretches long enough for there to be no more than `most`; then without the rarest series."""
    for length in COARSER:
        if len(samples) <= most:
            return samples
        samples = join_samples([Samples(samples.what, samples.bucket // length * length, samples.count)])
    if len(samples) <= most:
        return samples
    names, place, sizes = np.unique(samples.what, return_inverse=True, return_counts=True)
    totals = np.zeros(len(names), np.int64)
    np.add.at(totals, place, samples.count)
    order = np.argsort(-totals, kind="stable")
    kept = np.zeros(len(names), np.bool_)
    kept[order[np.cumsum(sizes[order]) <= most]] = True
    return samples.take(kept[place])


class Counts:
    """Samples that come bit by bit."""

    def __init__(self) -> None:
        self._parts: list[Samples] = []
        self._is_joined = True

    def add(self, part: Samples) -> None:
        """Some more, in any order."""
        self._is_joined = False
        self._parts.append(part)
        if len(self._parts) >= MANY_PARTS:
            self.samples()

    def clear(self) -> Samples:
        """All so far; it has none after it."""
        found, self._parts = self.samples(), []
        return found

    def samples(self) -> Samples:
        """All so far."""
        if len(self._parts) != 1 or not self._is_joined:
            self._is_joined = True
            self._parts = [fit(join_samples(self._parts), MOST_SAMPLES)]
        return self._parts[0]
