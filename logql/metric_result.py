"""What a metric query answers."""

from __future__ import annotations

from dataclasses import dataclass

from logql.stats import Stats
from logql.vectors import Sample
from storage.batch import Labels


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one label set.

    Attributes:
        labels: its labels.
        ts: ms, ascending.
        values: as many.
    """

    labels: Labels
    ts: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The answer of a range query: series sorted by their labels; `warnings` tell what is missing."""

    series: tuple[Series, ...]
    stats: Stats
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vector:
    """The answer of an instant query: samples at `ts` (ms), sorted by labels, or as sort and sort_desc left them.

    `warnings` tell what is missing.
    """

    ts: int
    samples: tuple[Sample, ...]
    stats: Stats
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scalar:
    """The answer of an instant query that is a number; `ts` in ms."""

    ts: int
    value: float
    stats: Stats
