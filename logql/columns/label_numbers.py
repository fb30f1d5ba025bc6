"""Numbers, durations and sizes that labels' values are, on many rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logql.columns.fields import NOT_SET, UNSURE, FieldParser, Fields
from logql.columns.frame import Frame
from logql.columns.numbers import Numbers, durations, floats, seconds, sizes
from logql.columns.values import LabelValues, parsed_values
from logql.convert import ConversionError, parse_bytes, parse_duration, parse_float
from logql.stages.unwrap import bytes_of, seconds_of
from storage.batch import Mask


@dataclass(frozen=True, slots=True, eq=False)
class LabelNumbers:
    """The numbers that a label's values are on m rows.

    Attributes:
        values: float64[m] or int64[m], 0 where there is none.
        missing: bool[m], there is no such label.
        empty: bool[m], it is "".
        bad: bool[m], it is no number.
    """

    values: NDArray[Any]
    missing: Mask
    empty: Mask
    bad: Mask


_READERS: Mapping[Callable[[str], float], Callable[[Fields, int], Numbers]] = {
    parse_float: floats,
    parse_bytes: sizes,
    bytes_of: sizes,
    parse_duration: durations,
    seconds_of: seconds,
}


def label_numbers(frame: Frame, name: str, parse: Callable[[str], float]) -> LabelNumbers:
    """The numbers of a label of a frame; `parse` is logql.convert's, or the unwrap stage's."""
    spans = frame.spans(name)
    if spans is None:
        return _of_texts(frame.values(name), parse)
    fields, label, parser = spans
    key = name, parse
    found = frame.remembered.get(key)
    if found is None:
        found = frame.remembered[key] = _of_fields(fields, label, parser, parse)
    return found


def _of_fields(fields: Fields, label: int, parser: FieldParser, parse: Callable[[str], float]) -> LabelNumbers:
    """Read by kernels; what they are not sure of is read as text."""
    found = _READERS[parse](fields, label)
    values, states = found.values, found.states
    missing = states == NOT_SET
    empty: Mask = fields.starts[label] == fields.stops[label]
    empty &= ~missing
    bad: Mask = np.zeros(len(states), np.bool_)
    rows = np.flatnonzero(states == UNSURE)
    if len(rows):
        texts, unsure = parsed_values(fields.of(label, rows), 0, parser.text)
        told = _of_texts(texts, parse)
        values[rows], bad[rows], empty[rows] = told.values, told.bad | unsure, told.empty
    return LabelNumbers(values, missing, empty, bad)


def _of_texts(values: LabelValues, parse: Callable[[str], float]) -> LabelNumbers:
    """Each distinct text is read once."""
    numbers: list[float] = []
    bad: list[bool] = []
    for text in values.texts:
        try:
            numbers.append(parse(text))
            bad.append(False)
        except ConversionError:
            numbers.append(0)
            bad.append(True)
    return LabelNumbers(
        np.array([*numbers, 0])[values.codes],
        values.missing,
        values.told([not text for text in values.texts], missing=False),
        values.told(bad, missing=False),
    )
