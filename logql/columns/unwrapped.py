"""`| unwrap` by columns: the samples that a label's values are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from logql.columns.frame import Frame
from logql.columns.label_numbers import label_numbers
from logql.columns.label_tests import passing
from logql.stages.unwrap import UnwrapStage


def unwrapped(frame: Frame, stage: UnwrapStage) -> NDArray[np.float64]:
    """float64[m]: the sample of each row of a frame, which is narrowed to those that give one.

    Where the value is no number, the row becomes unsure.
    """
    numbers = label_numbers(frame, stage.label, stage.convert)
    frame.narrow(~(numbers.missing | numbers.empty))
    if numbers.bad.any():
        frame.doubt(numbers.bad)
    for test in stage.filters:
        frame.narrow(passing(frame, test))
    return numbers.values.astype(np.float64, copy=False)
