"""`| logfmt` by columns, without expressions and with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from logql.columns.fields import Fields
from logql.columns.names import by_length
from logql.kernels.logfmt_fields import ESCAPED, PLAIN, logfmt_fields
from logql.literals import to_bytes
from logql.stages.extracted import LOGFMT_ERROR, decode, label_value, raw_value
from logql.stages.logfmt_scan import unquote
from storage.batch import I64, Texts, texts


@dataclass(frozen=True, slots=True)
class LogfmtFields:
    """A FieldParser: `| logfmt` without expressions. Lines with a key that is not ASCII may be UNSURE.

    Attributes:
        strict: `--strict`.
        keep_empty: `--keep-empty`.
    """

    strict: bool
    keep_empty: bool

    @property
    def error(self) -> str:
        """As FieldParser's."""
        return LOGFMT_ERROR

    def fields(self, lines: Texts, rows: I64, names: Sequence[str], needed: I64, *, everything: bool) -> Fields:
        """As FieldParser's. The stage reads all pairs in any case, so `everything` changes nothing."""
        del everything
        found = _nothing(lines, len(names), len(rows))
        _find(
            found,
            lines,
            rows,
            dict(zip(names, range(len(names)), strict=True)),
            needed,
            strict=self.strict,
            keep_empty=self.keep_empty,
            last_counts=False,
        )
        return found

    def text(self, raw: bytes, kind: int) -> str:
        """As FieldParser's."""
        return label_value(_undone(raw, kind))


@dataclass(frozen=True, slots=True)
class LogfmtExpressionFields:
    """A FieldParser: `| logfmt a="b"`. Lines with a key that is not ASCII are UNSURE.

    Attributes:
        sources: sanitised key -> the label that it gives, LogfmtExpressions'. Each of the labels is set on every line.
        strict: `--strict`.
    """

    sources: Mapping[str, str]
    strict: bool

    @property
    def error(self) -> str:
        """As FieldParser's."""
        return LOGFMT_ERROR

    def fields(self, lines: Texts, rows: I64, names: Sequence[str], needed: I64, *, everything: bool) -> Fields:
        """As FieldParser's. The stage never stops early, it may only be left out."""
        del everything
        found = _nothing(lines, len(names), len(rows))
        own = frozenset(self.sources.values())
        for label, name in enumerate(names):
            if name in own:  # "" at first
                found.kinds[label][needed > 0] = PLAIN
        labels = {name: label for label, name in enumerate(names)}
        sources = {key: labels[name] for key, name in self.sources.items() if name in labels}
        _find(found, lines, rows, sources, needed, strict=self.strict, keep_empty=True, last_counts=True)
        return found

    def text(self, raw: bytes, kind: int) -> str:
        """As FieldParser's."""
        value = _undone(raw, kind)
        return "" if "\ufffd" in decode(value) else raw_value(value)


def _nothing(lines: Texts, labels: int, rows: int) -> Fields:
    shape = (labels, rows)
    starts, stops = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    return Fields(lines.data, starts, stops, np.zeros(shape, np.uint8), np.zeros(rows, np.uint8))


def _find(
    found: Fields,
    lines: Texts,
    rows: I64,
    sources: Mapping[str, int],
    needed: I64,
    *,
    strict: bool,
    keep_empty: bool,
    last_counts: bool,
) -> None:
    """Runs the kernel; `sources`: sanitised key -> its label."""
    names = texts(map(to_bytes, sources))
    heads, following = by_length(names)
    logfmt_fields(
        lines.data,
        lines.offsets,
        rows,
        names.data,
        names.offsets,
        heads,
        following,
        np.fromiter(sources.values(), np.int64, len(sources)),
        needed,
        strict,
        keep_empty,
        last_counts,
        found.starts,
        found.stops,
        found.kinds,
        found.states,
    )


def _undone(raw: bytes, kind: int) -> bytes:
    """A value without its escapes."""
    if kind != ESCAPED:
        return raw
    undone = unquote(raw)
    assert undone is not None, "its escapes were checked"
    return undone
