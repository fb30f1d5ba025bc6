"""Numbers of the values that a parser found, each told from its bytes alone.

What is not in a usual form, whether it is a number or none, is UNSURE: logql/convert.py says what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logql.columns.fields import NOT_SET, UNSURE, Fields
from logql.kernels.numbers import DURATION, FLOAT, NUMBER, SIZE, read_numbers
from storage.batch import I64

_NS_PER_SECOND = 1_000_000_000

_NO_NUMBERS: NDArray[np.float64] = np.zeros(0, np.float64)
_NO_NS: I64 = np.zeros(0, np.int64)

__all__ = ["NOT_SET", "NUMBER", "UNSURE", "Numbers", "durations", "floats", "seconds", "sizes"]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Numbers of m values. Whatever its kind, a value whose bytes are a plain number is that: it has no escapes.

    Attributes:
        values: float64[m], of durations int64[m]; 0 where there is none.
        states: uint8[m], NUMBER, NOT_SET or UNSURE.
    """

    values: NDArray[Any]
    states: NDArray[np.uint8]


def floats(fields: Fields, label: int) -> Numbers:
    """As convert.parse_float, of the label of a number."""
    return _read(fields, label, FLOAT)


def sizes(fields: Fields, label: int) -> Numbers:
    """As convert.parse_bytes, in bytes."""
    return _read(fields, label, SIZE)


def durations(fields: Fields, label: int) -> Numbers:
    """As convert.parse_duration, in ns."""
    return _read(fields, label, DURATION)


def seconds(fields: Fields, label: int) -> Numbers:
    """As unwrap's `duration()`: whole seconds and the rest apart, like Go's Duration.Seconds."""
    found = durations(fields, label)
    whole, rest = np.divmod(np.abs(found.values), _NS_PER_SECOND)
    values = whole + rest / 1e9
    return Numbers(np.where(found.values < 0, -values, values), found.states)


def _read(fields: Fields, label: int, form: int) -> Numbers:
    rows = len(fields.states)
    values: NDArray[Any] = np.zeros(rows, np.int64 if form == DURATION else np.float64)
    states = np.empty(rows, np.uint8)
    number, ns = (_NO_NUMBERS, values) if form == DURATION else (values, _NO_NS)
    read_numbers(fields.data, fields.starts[label], fields.stops[label], fields.kinds[label], form, number, ns, states)
    return Numbers(values, states)
