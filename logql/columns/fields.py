"""What parsers find by columns: where in the lines the values of the wanted labels stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from storage.batch import I64, U8, Texts

READ = 0
"""State of a line that was read to its end, or as far as the query needs it."""
FAILED = 1
"""State of a line at which the parser set its error; what it had found before is given."""
UNSURE = 2
"""State of a line that only the scalar stage can tell about; what is given of it means nothing."""

NOT_SET = 0
"""Kind of a value that is not there. Other kinds are each parser's own."""


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """The values of k labels in m lines.

    Attributes:
        data: uint8[], the buffer that the lines stand in.
        starts: int64[k, m], where each value begins in `data`.
        stops: int64[k, m], behind its last byte.
        kinds: uint8[k, m], NOT_SET or what `FieldParser.text` needs to know.
        states: uint8[m], READ, FAILED or UNSURE.
    """

    data: U8
    starts: I64
    stops: I64
    kinds: NDArray[np.uint8]
    states: NDArray[np.uint8]

    def of(self, label: int, rows: I64) -> Fields:
        """The values of one label in some lines."""
        one = slice(label, label + 1)
        return Fields(
            self.data, self.starts[one, rows], self.stops[one, rows], self.kinds[one, rows], self.states[rows]
        )

    def take(self, rows: I64) -> Fields:
        """The values in some lines."""
        starts, stops = self.starts.take(rows, axis=1), self.stops.take(rows, axis=1)
        return Fields(self.data, starts, stops, self.kinds.take(rows, axis=1), self.states[rows])


class FieldParser(Protocol):
    """A parser stage by columns."""

    @property
    def error(self) -> str:
        """What the stage sets `__error__` to where a line FAILED."""

    def fields(self, lines: Texts, rows: I64, names: Sequence[str], needed: I64, *, everything: bool) -> Fields:
        """Finds the values.

        A label is found where the scalar stage sets it on a row that comes with no label of a wanted name.

        Args:
            lines: n lines.
            rows: int64[m], those to look at.
            names: k labels, distinct, as the stage names them; 1 <= k.
            needed: int64[m], labels of `names` that must be set before the stage may stop (Hints.done); k + 1: never.
            everything: the query wants all labels and not those of `names` alone (Hints.required is empty), so the
                stage goes into everything and errors may come from anywhere. False: as with Hints(required=names).
        """

    def text(self, raw: bytes, kind: int) -> str:
        """The label's value for the bytes of a value."""
