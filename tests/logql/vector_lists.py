"""Vectors as lists of samples, for tests of what works on them in columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from logql.errors import LogQLError
from logql.vectors import LabelTable, Sample, Vectors, VectorSource, bounds_of
from storage.batch import Labels


@dataclass
class ListedVectors:
    """A VectorSource of given vectors, one a step.

    Attributes:
        steps: the vectors.
        failure: what the step after them comes to.
        labels: those of its samples, by number.
    """

    steps: Sequence[Sequence[Sample]]
    failure: LogQLError | None = None
    labels: list[Labels] = field(init=False)

    def __post_init__(self) -> None:
        self._table = LabelTable()
        self.labels = self._table.labels
        for step in self.steps:
            for sample in step:
                self._table.number(sample.labels)

    def vectors(self, first: int, stop: int) -> Vectors:
        """As VectorSource says."""
        given = self.steps[first:stop]
        samples = [sample for step in given for sample in step]
        return Vectors(
            bounds_of(np.array(list(map(len, given)), np.int64)),
            np.array([self._table.number(sample.labels) for sample in samples], np.int64),
            np.array([sample.value for sample in samples], np.float64),
            self.failure if len(given) < stop - first else None,
        )


def listed(source: VectorSource, first: int, stop: int) -> list[list[Sample]]:
    """The vectors of steps first..stop as lists.

    Raises:
        LogQLError: what one of them comes to.
    """
    vectors = source.vectors(first, stop)
    if vectors.failure:
        raise vectors.failure
    return lists_of(source, vectors)


def lists_of(source: VectorSource, vectors: Vectors) -> list[list[Sample]]:
    """Vectors that a source gave, as lists."""
    assert (vectors.bounds[0], vectors.bounds[-1]) == (0, len(vectors.series)) == (0, len(vectors.values))
    samples = [
        Sample(source.labels[number], value)
        for number, value in zip(vectors.series.tolist(), vectors.values.tolist(), strict=True)
    ]
    bounds = vectors.bounds.tolist()
    return [samples[begin:end] for begin, end in pairwise(bounds)]


def exactly(vectors: Sequence[Sequence[Sample]]) -> list[list[tuple[Labels, object]]]:
    """The vectors so that they are equal only if all values are, to the last bit; NaN is NaN."""
    return [
        [(labels, None if math.isnan(value) else (value, math.copysign(1, value))) for labels, value in vector]
        for vector in vectors
    ]
