"""`| json` by columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logql.columns.fields import Fields
from logql.kernels.json_fields import json_fields
from logql.kernels.json_scan import STRING
from logql.literals import to_bytes
from logql.stages.extracted import JSON_ERROR, raw_value
from logql.stages.json_stage import string_text
from storage.batch import I64, Texts, texts


class JsonFields:
    """The stage without expressions (logql.stages.json_stage) as a FieldParser."""

    @property
    def error(self) -> str:
        """What it sets `__error__` to."""
        return JSON_ERROR

    def fields(self, lines: Texts, rows: I64, names: Sequence[str], needed: I64, *, everything: bool) -> Fields:
        """Where the values stand; see FieldParser."""
        wanted = texts(map(to_bytes, names))
        shape = len(names), len(rows)
        starts, stops = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        kinds, states = np.zeros(shape, np.uint8), np.empty(len(rows), np.uint8)
        json_fields(
            lines.data,
            lines.offsets,
            rows,
            wanted.data,
            wanted.offsets,
            needed,
            everything,
            starts,
            stops,
            kinds,
            states,
        )
        return Fields(lines.data, starts, stops, kinds, states)

    def text(self, raw: bytes, kind: int) -> str:
        """A string's text, any other value as it is written."""
        return string_text(raw) if kind == STRING else raw_value(raw)
