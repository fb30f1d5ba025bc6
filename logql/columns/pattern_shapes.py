"""The line filters `|>` and `!>` over a column of lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logql.kernels.pattern_fields import pattern_shapes
from logql.pattern import Capture, Part
from logql.substring import lines_with
from storage.batch import Mask, Texts, texts


def lines_like(parts: Sequence[Part], lines: Texts) -> Mask:
    """bool[n]: logql.pattern.line_matches of each of n lines.

    Lines without the longest of the literals are told by a search over the whole buffer.
    """
    literals = [part for part in parts if not isinstance(part, Capture)]
    if not literals:
        empty: Mask = lines.lengths == 0
        return ~empty if parts else empty
    rows = np.flatnonzero(lines_with(max(literals, key=len), lines))
    found: Mask = np.zeros(len(lines), np.bool_)
    wanted = texts(literals)
    pattern_shapes(
        lines.data,
        lines.offsets,
        rows,
        wanted.data,
        wanted.offsets,
        isinstance(parts[0], Capture),
        isinstance(parts[-1], Capture),
        found,
    )
    return found
