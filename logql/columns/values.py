"""Values of a label on many rows, each distinct one a string once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logql.columns.fields import Fields
from logql.kernels.value_codes import value_codes
from storage.batch import I32, I64, U8, Mask

_SEED = np.uint64(int.from_bytes(os.urandom(8), "little"))


@dataclass(frozen=True, slots=True, eq=False)
class LabelValues:
    """The values of one label on m rows.

    Attributes:
        codes: int32[m], each one's place in `texts`, -1 where the row has no such label.
        texts: the values; some may be equal.
    """

    codes: I32
    texts: Sequence[str]

    def passing(self, test: Callable[[str], bool]) -> Mask:
        """bool[m]: what the test says of each value; a missing label is "" to it."""
        return self.told([test(text) for text in self.texts], missing=test(""))

    def told(self, of_texts: Sequence[bool], *, missing: bool) -> Mask:
        """bool[m]: what is known of each text, `missing` where there is none."""
        return np.array([*of_texts, missing], np.bool_)[self.codes]  # the code of no label, -1, is the last place

    @property
    def missing(self) -> Mask:
        """bool[m]: there is no such label."""
        return self.codes < 0

    def take(self, rows: Mask | I64) -> LabelValues:
        """The values of some rows."""
        return LabelValues(self.codes[rows], self.texts)

    def or_else(self, other: LabelValues) -> LabelValues:
        """These values, and `other`'s on the rows that have none."""
        shifted = np.where(other.codes < 0, -1, other.codes + np.int32(len(self.texts)))
        codes = np.where(self.codes < 0, shifted, self.codes).astype(np.int32)
        return LabelValues(codes, [*self.texts, *other.texts])


def no_values(rows: int) -> LabelValues:
    """A label that no row has."""
    return LabelValues(np.full(rows, -1, np.int32), [])


def parsed_values(fields: Fields, label: int, text: Callable[[bytes, int], str]) -> tuple[LabelValues, Mask]:
    """The values of a label that a parser found, and the rows of which it is not certain.

    Not certain are values that are no Unicode text, which a batch cannot hold as the stage makes them.

    Args:
        fields: what it found.
        label: number of the label.
        text: FieldParser.text.
    """
    kinds = fields.kinds[label]
    starts, stops = fields.starts[label], fields.stops[label]
    codes, first = distinct_spans(fields.data, starts, stops, kinds)
    spans = zip(starts[first].tolist(), stops[first].tolist(), kinds[first].tolist(), strict=True)
    texts = [text(fields.data[start:stop].tobytes(), kind) for start, stop, kind in spans]
    unsure: Mask = np.zeros(len(kinds), np.bool_)
    if not all(map(is_unicode, texts)):
        unsure = LabelValues(codes, texts).told([not is_unicode(value) for value in texts], missing=False)
        texts = [value if is_unicode(value) else "" for value in texts]
    return LabelValues(codes, texts), unsure


def distinct_spans(data: U8, starts: I64, stops: I64, kinds: NDArray[np.uint8]) -> tuple[I32, I64]:
    """Numbers the distinct values data[start:stop] of m rows; those of kind 0 are none.

    Returns:
        (int32[m], the number of each, -1 where there is none; int64[k], the row of each number's first)
    """
    codes, first = np.empty(len(starts), np.int32), np.empty(len(starts), np.int64)
    return codes, first[: value_codes(data, starts, stops, kinds, _SEED, codes, first)]


def is_unicode(value: str) -> bool:
    """Whether a label's value is Unicode text, as a batch has it."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
