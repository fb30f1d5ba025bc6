"""`| label_format`, `| line_format` and `| decolorize` by columns: templates run once a distinct input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from logql.columns.arrow_texts import invalid_rows, strings_of
from logql.columns.frame import SPECIAL, Frame
from logql.columns.values import LabelValues, distinct_spans, is_unicode
from logql.literals import to_text
from logql.rows import ROWS_PER_CHECK
from logql.stages.decolorize import SEQUENCE
from logql.stages.label_format import LabelFormatter, Making, Renaming
from logql.substring import lines_with
from logql.template import Template, TemplateError
from storage.batch import I64, Mask, Texts, concat_texts, texts, texts_from_arrow

_MOST_KEYS = 1 << 40
"""Numbers of combinations that are not made denser before another label is counted in."""

_MOST_OUTPUT = 64 << 20
"""Bytes of outputs that are held together; of rows whose turn comes behind them there is one at a time."""


def names_formatted(stage: LabelFormatter) -> frozenset[str]:
    """The labels that the stage sets or takes away."""
    names = {item.name for item in stage.formats}
    return frozenset(names | {item.source for item in stage.formats if isinstance(item, Renaming)})


def names_read(stage: LabelFormatter) -> frozenset[str] | None:
    """The labels that the stage reads; None if it is not done by columns.

    Its templates see the labels as the first of them found them, or as they are while there are none at all. Which of
    the two makes no difference to labels that no item before has changed.
    """
    read: set[str] = set()
    changed: set[str] = set()
    started = False
    for item in stage.formats:
        if isinstance(item, Making):
            if item.template.reads is None:
                return None
            wanted = item.template.reads.labels
            if started and wanted & changed:
                return None
            if not started:
                changed.clear()
            started = True
            read |= wanted
            changed.add(item.name)
        else:
            read.add(item.source)
            changed |= {item.name, item.source}
    return frozenset(read) if SPECIAL.isdisjoint(read | names_formatted(stage)) else None


def format_labels(frame: Frame, stage: LabelFormatter) -> None:
    """Changes labels; rows on which a template fails become unsure."""
    for item in stage.formats:
        if isinstance(item, Renaming):
            if item.name != item.source:
                frame.put(item.name, frame.values(item.source).or_else(frame.values(item.name)))
            frame.hide([item.source])
        else:
            made = _rendered(frame, item.template)
            values = [to_text(output) for output in made.outputs]
            good = [*map(is_unicode, values), True]
            if not all(good):
                frame.doubt(~np.array(good, np.bool_)[made.codes])
                values = [value if is_unicode(value) else "" for value in values]
            frame.put(item.name, LabelValues(made.codes, values))


def format_line(frame: Frame, template: Template) -> None:
    """Makes each row's line what a template prints of its labels; rows on which it fails become unsure."""
    made = _rendered(frame, template)
    at = np.where(made.codes < 0, len(made.outputs), made.codes)  # of the rows that were left out it means nothing
    frame.put_lines(texts([*made.outputs, b""]), at.astype(np.int64))


def decolorize(frame: Frame) -> None:
    """Takes colours out of the lines; coloured lines that are not UTF-8 become unsure."""
    lines = frame.lines.take(frame.at)
    coloured = np.flatnonzero(lines_with(b"\x1b", lines) | lines_with(b"\xc2\x9b", lines))
    if not len(coloured):
        return
    strings = strings_of(lines.take(coloured))
    broken: Mask = np.zeros(len(frame), np.bool_)
    broken[coloured[invalid_rows(strings)]] = True
    frame.doubt(broken)
    at: I64 = np.arange(len(frame), dtype=np.int64)
    at[coloured] = len(frame) + np.arange(len(coloured))
    plain = pc.replace_substring_regex(strings, pattern=SEQUENCE.pattern, replacement="")
    frame.put_lines(concat_texts([lines, texts_from_arrow(plain)]), at)


@dataclass(frozen=True, slots=True, eq=False)
class _Rendered:
    """What a template makes of m rows.

    Attributes:
        codes: int32[m], place in `outputs`; -1 on rows of which it was not asked, or at which it failed.
        outputs: what it printed.
    """

    codes: NDArray[np.int32]
    outputs: Sequence[bytes]


def _rendered(frame: Frame, template: Template) -> _Rendered:
    """Renders a template for each distinct input; rows on which it fails become unsure."""
    assert template.reads is not None, "the plan has looked"
    codes: NDArray[np.int32] = np.full(len(frame), -1, np.int32)
    rows = np.flatnonzero(frame.alive & ~frame.unsure)
    columns = {name: frame.values(name) for name in sorted(template.reads.labels)}
    inputs = [values.codes[rows] for values in columns.values()]
    lines, times = frame.lines, frame.batch.ts
    if template.reads.line:
        inputs.append(_line_codes(lines, frame.at[rows]))
    if template.reads.time:
        inputs.append(np.unique(times[frame.rows[rows]], return_inverse=True)[1].astype(np.int32))
    first, codes[rows] = _combinations(inputs, len(rows))
    outputs: list[bytes] = []
    failed: list[bool] = []
    room = _MOST_OUTPUT
    for number, row in enumerate(rows[first].tolist()):
        if number % ROWS_PER_CHECK == 0:
            frame.check()
        labels = {name: values.texts[values.codes[row]] for name, values in columns.items() if values.codes[row] >= 0}
        line = lines[int(frame.at[row])] if template.reads.line else b""
        output = None if room < 0 else _output(template, labels, line, int(times[frame.rows[row]]))
        room -= len(output or b"")
        outputs.append(output or b"")
        failed.append(output is None)
    if any(failed):
        frame.doubt(np.array([*failed, False], np.bool_)[codes])
    return _Rendered(codes, outputs)


def _output(template: Template, labels: Mapping[str, str], line: bytes, ts: int) -> bytes | None:
    """What the template prints; None if it fails."""
    try:
        return template.render(labels, line=line, ts=ts)
    except TemplateError:
        return None


def _line_codes(lines: Texts, at: I64) -> NDArray[np.int32]:
    """int32[m]: rows with equal codes have equal lines."""
    return distinct_spans(lines.data, lines.offsets[at], lines.offsets[at + 1], np.ones(len(at), np.uint8))[0]


def _combinations(columns: Sequence[NDArray[np.int32]], rows: int) -> tuple[I64, NDArray[np.int32]]:
    """(a row of each distinct combination, int32[rows] which of them each row has)."""
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0, np.int32)
    keys: I64 = np.zeros(rows, np.int64)
    width = 1
    for codes in columns:
        count = int(codes.max()) + 2
        if width * count > _MOST_KEYS:
            used, keys = np.unique(keys, return_inverse=True)
            width = len(used)
        keys = keys * count + codes + 1
        width *= count
    _, first, found = np.unique(keys, return_index=True, return_inverse=True)
    return first.astype(np.int64), found.astype(np.int32)
