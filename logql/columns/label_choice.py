"""`| drop` and `| keep` by columns: a matcher is asked once a distinct value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logql.columns.frame import SPECIAL, Frame
from logql.columns.values import LabelValues
from logql.stages.label_match import LabelMatch
from logql.stages.row import ERROR
from storage.batch import Mask


def names_matched(items: Sequence[LabelMatch]) -> frozenset[str]:
    """The labels of which the values are looked at."""
    return frozenset(item.name for item in items if not item.any_value)


def is_known(items: Sequence[LabelMatch]) -> bool:
    """Whether `drop` and `keep` know the items: of what only looks like a label no more than `__error__`'s value."""
    return names_matched(items).isdisjoint(SPECIAL - {ERROR})


def drop(frame: Frame, items: Sequence[LabelMatch]) -> None:
    """Drops labels, one item after the other."""
    for item in items:
        if item.any_value:
            frame.hide([item.name])
        elif item.name == ERROR:
            frame.forgive(item.accepts)
        else:
            values = frame.values(item.name)
            _hide_on(frame, item.name, values, values.passing(item.accepts))


def keep(frame: Frame, items: Sequence[LabelMatch]) -> None:
    """Drops all labels that no item accepts; those of errors stay."""
    whole = {item.name for item in items if item.any_value}
    refused: dict[str, Mask] = {}
    for item in items:
        if item.name not in whole and item.name not in SPECIAL:
            others = ~frame.values(item.name).passing(item.accepts)
            refused[item.name] = refused[item.name] & others if item.name in refused else others
    frame.keep(item.name for item in items)
    for name, rows in refused.items():
        _hide_on(frame, name, frame.values(name), rows)


def _hide_on(frame: Frame, name: str, values: LabelValues, rows: Mask) -> None:
    if (rows & ~values.missing).any():
        frame.put(name, LabelValues(np.where(rows, np.int32(-1), values.codes), values.texts))
