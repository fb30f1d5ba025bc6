"""`| json a="b.c"` by columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logql.columns.fields import Fields
from logql.kernels.json_paths import json_paths
from logql.kernels.json_scan import STRING
from logql.stages.extracted import JSON_ERROR, raw_value
from logql.stages.json_stage import string_text
from logql.stages.jsonkeys import Path
from storage.batch import I64, Texts, texts

_INDEX = re.compile(rb"\[[0-9]+\]")


@dataclass(frozen=True, slots=True)
class JsonPathFields:
    """The stage with expressions (logql.stages.json_expressions) as a FieldParser.

    It sets all its labels on every line that may be JSON, to "" where nothing stands, and reads until it has found all
    of them: of `needed` it minds 0 alone, and `everything` not at all.

    Attributes:
        labels: the label of each expression.
        paths: where it leads.
    """

    labels: tuple[str, ...]
    paths: tuple[Path, ...]

    @property
    def error(self) -> str:
        """What it sets `__error__` to."""
        return JSON_ERROR

    def fields(self, lines: Texts, rows: I64, names: Sequence[str], needed: I64, *, everything: bool) -> Fields:  # noqa: ARG002 - see above
        """Where the values stand; see FieldParser."""
        parts = [part for path in self.paths for part in path]
        wanted = texts(parts)
        places = {name: number for number, name in enumerate(names)}
        shape = len(names), len(rows)
        starts, stops = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        kinds, states = np.zeros(shape, np.uint8), np.empty(len(rows), np.uint8)
        json_paths(
            lines.data,
            lines.offsets,
            rows,
            wanted.data,
            wanted.offsets,
            np.cumsum([0, *map(len, self.paths)], dtype=np.int64),
            np.array([_INDEX.fullmatch(part) is not None for part in parts], np.bool_),
            np.array([places.get(label, -1) for label in self.labels], np.int64),
            needed,
            starts,
            stops,
            kinds,
            states,
        )
        return Fields(lines.data, starts, stops, kinds, states)

    def text(self, raw: bytes, kind: int) -> str:
        """The text of a string, number or array; an object as it is written."""
        return string_text(raw) if kind == STRING else raw_value(raw)
