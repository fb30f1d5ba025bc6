"""Vectors: the samples of a step. In columns, many steps together, their label sets told by number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from logql.errors import LogQLError
from storage.batch import I64, Labels, Mask

F64: TypeAlias = NDArray[np.float64]

METRIC_NAME = "__name__"
"""The label that `without` and `ignoring` always leave out (Prometheus)."""


class Sample(NamedTuple):
    """A value of a label set at one step."""

    labels: Labels
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """The vectors of consecutive steps, n samples together.

    Attributes:
        bounds: int64[steps + 1], where the samples of each step begin.
        series: int64[n], numbers of label sets, in the order of each vector.
        values: float64[n].
        failure: what the step after these comes to; None if as many steps are there as were asked for.
    """

    bounds: I64
    series: I64
    values: F64
    failure: LogQLError | None = None

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.bounds) - 1

    def first(self, steps: int, failure: LogQLError | None) -> Vectors:
        """The vectors of the first steps, and what the one after them comes to."""
        size = int(self.bounds[steps])
        return Vectors(self.bounds[: steps + 1], self.series[:size], self.values[:size], failure)

    def where(self, mask: Mask, series: I64, values: F64) -> Vectors:
        """Of series and values for each sample here, those where `mask` is set."""
        before = np.zeros(len(mask) + 1, np.int64)
        np.cumsum(mask, out=before[1:])
        return Vectors(before[self.bounds], series[mask], values[mask], self.failure)

    def step_of(self) -> I64:
        """int64[n], the step of each sample."""
        return np.repeat(np.arange(self.steps), np.diff(self.bounds))

    def until_failure(self, failures: Sequence[LogQLError | None]) -> Vectors:
        """The vectors before the first one that has a sample of a failed series.

        Args:
            failures: of each series.
        """
        failed = np.array([failure is not None for failure in failures], np.bool_)
        if not failed.any():
            return self
        places = np.flatnonzero(failed[self.series])
        if not len(places):
            return self
        step = int(np.searchsorted(self.bounds, places[0], "right")) - 1
        return self.first(step, failures[int(self.series[places[0]])])


class VectorSource(Protocol):
    """What part of a query comes to, step by step."""

    @property
    def labels(self) -> Sequence[Labels]:
        """The label set of each number, all different. There may be more after vectors were made."""

    def vectors(self, first: int, stop: int) -> Vectors:
        """Those of the query's steps first..stop, `stop` excluded; fewer if one of them comes to an error."""


class LabelTable:
    """Label sets by number.

    Attributes:
        labels: of each number.
    """

    __slots__ = ("_numbers", "labels")

    def __init__(self) -> None:
        self.labels: list[Labels] = []
        self._numbers: dict[Labels, int] = {}

    def number(self, labels: Labels) -> int:
        """The number of a label set, the next free one if it is new."""
        found = self._numbers.setdefault(labels, len(self._numbers))
        if found == len(self.labels):
            self.labels.append(labels)
        return found


class Renumbering:
    """Numbers of label sets -> numbers of what becomes of them in another table."""

    __slots__ = ("_change", "_source", "_target", "_to")

    def __init__(self, source: VectorSource, change: Callable[[Labels], Labels], target: LabelTable) -> None:
        """`change` is asked once a label set."""
        self._source = source
        self._change = change
        self._target = target
        self._to = np.zeros(0, np.int64)

    def __call__(self, series: I64) -> I64:
        """int64[n] of int64[n]."""
        labels = self._source.labels
        known = len(self._to)
        if known < len(labels):
            more = [self._target.number(self._change(labels[place])) for place in range(known, len(labels))]
            self._to = np.concatenate([self._to, np.array(more, np.int64)])
        return self._to[series]


def kept_by(labels: Labels, names: frozenset[str]) -> Labels:
    """The labels that `by (names)` and `on (names)` keep."""
    return tuple(pair for pair in labels if pair[0] in names)


def kept_without(labels: Labels, names: frozenset[str]) -> Labels:
    """The labels that `without (names)` and `ignoring (names)` keep."""
    return tuple(pair for pair in labels if pair[0] not in names and pair[0] != METRIC_NAME)


def bounds_of(counts: I64) -> I64:
    """int64[steps + 1], where the samples of each step begin, of how many each has."""
    bounds = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=bounds[1:])
    return bounds


@dataclass(frozen=True, slots=True)
class ConstantVector:
    """A sample without labels at every step: `vector(1)`, or a number where a vector is wanted."""

    value: float

    @property
    def labels(self) -> Sequence[Labels]:
        """One, empty."""
        return ((),)

    def vectors(self, first: int, stop: int) -> Vectors:
        """As VectorSource says."""
        steps = stop - first
        return Vectors(np.arange(steps + 1), np.zeros(steps, np.int64), np.full(steps, self.value))


@dataclass(frozen=True, slots=True)
class Absence:
    """A sample of 1 with the labels given at every step at which another source has none.

    Attributes:
        source: the other.
        names: what its samples have for labels.
    """

    source: VectorSource
    names: Labels

    @property
    def labels(self) -> Sequence[Labels]:
        """One."""
        return (self.names,)

    def vectors(self, first: int, stop: int) -> Vectors:
        """As VectorSource says."""
        found = self.source.vectors(first, stop)
        bounds = bounds_of((np.diff(found.bounds) == 0).astype(np.int64))
        size = int(bounds[-1])
        return Vectors(bounds, np.zeros(size, np.int64), np.ones(size), found.failure)
