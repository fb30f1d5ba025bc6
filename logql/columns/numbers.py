"""Numbers of the values that a parser found, each told from its bytes alone.

What is not in a usual form, whether it is a number or none, is UNSURE: logql/convert.py says what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from logql.columns.fields import NOT_SET, UNSURE, Fields
from logql.kernels import numbers as kernels
from storage.batch import I64, Mask

NUMBER = 1
"""State of a value that was read; the others are NOT_SET and UNSURE."""

F64: TypeAlias = NDArray[np.float64]

_NS_PER_SECOND = 1_000_000_000

__all__ = ["NOT_SET", "NUMBER", "UNSURE", "Durations", "Numbers", "durations", "floats", "seconds", "sizes"]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Numbers of m values.

    Attributes:
        values: float64[m], 0 where there is none.
        states: uint8[m], NUMBER, NOT_SET or UNSURE.
    """

    values: F64
    states: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Durations:
    """Durations of m values.

    Attributes:
        ns: int64[m], 0 where there is none.
        states: uint8[m], NUMBER, NOT_SET or UNSURE.
    """

    ns: I64
    states: NDArray[np.uint8]


def floats(fields: Fields, label: int, plain: Collection[int]) -> Numbers:
    """As convert.parse_float.

    Args:
        fields: what a parser found.
        label: number of the label.
        plain: kinds of values whose text is their bytes if those are ASCII without a backslash, or a µ of a unit.
    """
    return _numbers(kernels.floats, fields, label, plain)


def sizes(fields: Fields, label: int, plain: Collection[int]) -> Numbers:
    """As convert.parse_bytes, in bytes; arguments as of `floats`."""
    return _numbers(kernels.sizes, fields, label, plain)


def durations(fields: Fields, label: int, plain: Collection[int]) -> Durations:
    """As convert.parse_duration; arguments as of `floats`."""
    ns: I64 = np.zeros(len(fields.states), np.int64)
    return Durations(ns, _read(kernels.durations, fields, label, plain, ns))


def seconds(found: Durations) -> Numbers:
    """As unwrap's `duration()`: whole seconds and the rest apart, like Go's Duration.Seconds."""
    whole, rest = np.divmod(np.abs(found.ns), _NS_PER_SECOND)
    values = whole + rest / 1e9
    return Numbers(np.where(found.ns < 0, -values, values), found.states)


def _numbers(read: Callable[..., None], fields: Fields, label: int, plain: Collection[int]) -> Numbers:
    values: F64 = np.zeros(len(fields.states), np.float64)
    return Numbers(values, _read(read, fields, label, plain, values))


def _read(
    read: Callable[..., None], fields: Fields, label: int, plain: Collection[int], values: NDArray[Any]
) -> NDArray[np.uint8]:
    """Fills `values` by a kernel; the states."""
    states = np.empty(len(values), np.uint8)
    as_they_are: Mask = np.zeros(256, np.bool_)
    as_they_are[list(plain)] = True
    read(fields.data, fields.starts[label], fields.stops[label], fields.kinds[label], as_they_are, values, states)
    return states
