"""`| pattern` by columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logql.columns.fields import Fields
from logql.kernels.pattern_fields import END, UNNAMED, pattern_fields
from logql.pattern import Capture, Part
from logql.stages.extracted import raw_value
from storage.batch import I64, Texts, texts


@dataclass(frozen=True, slots=True)
class PatternFields:
    """A FieldParser: `| pattern`. It is never UNSURE, and never fails.

    Attributes:
        parts: literals and captures in turn, PatternParser's.
    """

    parts: tuple[Part, ...]

    @property
    def error(self) -> str:
        """There is none."""
        return ""

    def fields(self, lines: Texts, rows: I64, names: Sequence[str], needed: I64, *, everything: bool) -> Fields:
        """As FieldParser's. The stage sets all its labels in any case, so `everything` changes nothing."""
        del everything
        shape = (len(names), len(rows))
        found = Fields(
            lines.data,
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int64),
            np.zeros(shape, np.uint8),
            np.zeros(len(rows), np.uint8),
        )
        literals, captures = _in_turn(self.parts)
        pattern_fields(
            lines.data,
            lines.offsets,
            rows,
            literals.data,
            literals.offsets,
            _targets(captures, names),
            needed,
            found.starts,
            found.stops,
            found.kinds,
        )
        return found

    def text(self, raw: bytes, kind: int) -> str:
        """As FieldParser's."""
        del kind
        return raw_value(raw)


def _in_turn(parts: Sequence[Part]) -> tuple[Texts, list[str]]:
    """(c + 1 literals, before, between and behind the captures; names of c captures)."""
    literals = [b""]
    captures: list[str] = []
    for part in parts:
        if isinstance(part, Capture):
            captures.append(part.name)
            literals.append(b"")
        else:
            literals[-1] = part
    return texts(literals), captures


def _targets(captures: Sequence[str], names: Sequence[str]) -> I64:
    """int64[c]: the place of each capture in `names`, UNNAMED or END."""
    places = {name: place for place, name in enumerate(names) if name != "_"}
    targets: I64 = np.array([places.get(name, UNNAMED) for name in captures], np.int64)
    wanted = np.flatnonzero(targets >= 0)
    targets[wanted[-1] + 1 if len(wanted) else 0 :] = END
    return targets
