"""Lines that Docker's driver cut into parts of 16 KiB, joined where one message has all of them.

Parts that come in several messages stay as they are, with what the driver says of them (partial_id, partial_ordinal,
partial_last) as structured metadata: to wait for the rest would be to hold what is already acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.forward.entries import Walked
from gateway.forward.kernels.entry_assign import LINE_TEXT
from gateway.forward.kernels.entry_heads import EMPTY
from gateway.forward.kernels.entry_walk import CELL_END, CELL_KIND, CELL_PATH, CELL_ROW, CELL_START
from gateway.forward.mapping_rules import Plan
from storage.batch import I64


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Rows that together are one line each.

    Attributes:
        runs: the rows of each line, in the order of its parts.
        cells: int64[k], the cells that told of the parts.
    """

    runs: tuple[tuple[int, ...], ...]
    cells: I64


def joined_partials(walked: Walked, plan: Plan, line_cells: I64, forms: I64, max_line: int) -> Joined | None:
    """The lines whose parts are all in the message; None for none.

    Args:
        walked: the entries.
        plan: of their paths.
        line_cells: int64[n], the cell that is each row's line, -1 for none.
        forms: int64[n], the LINE forms.
        max_line: bytes; longer lines are left in parts.
    """
    message, *others = plan.partials
    if message < 0 or min(others[:3]) < 0:
        return None
    parts = _parts(walked, plan)
    lines: dict[tuple[bytes, bytes], dict[int, int]] = {}
    ends: dict[tuple[bytes, bytes], int] = {}
    for row, (_, name, ordinal, last, container) in parts.items():
        if forms[row] != LINE_TEXT or not name or not ordinal.isdigit() or len(ordinal) > 6:
            continue
        line = (container, name)
        if lines.setdefault(line, {}).setdefault(int(ordinal), row) != row:
            ends[line] = -1  # one part twice: which of them is meant is not known
        elif last == b"true" and ends.get(line) != -1:
            ends[line] = int(ordinal)
    runs = []
    sizes = walked.cells[:, CELL_END] - walked.cells[:, CELL_START]
    for line, found in lines.items():
        if ends.get(line) == len(found) > 1 and min(found) == 1:
            rows = tuple(found[ordinal] for ordinal in sorted(found))
            if max(found) == len(found) and int(sizes[line_cells[list(rows)]].sum()) <= max_line:
                runs.append(rows)
    if not runs:
        return None
    of_parts = np.isin(walked.cells[:, CELL_PATH], [path for path in plan.partials[:4] if path >= 0])
    of_runs = np.isin(walked.cells[:, CELL_ROW], [row for rows in runs for row in rows])
    return Joined(tuple(runs), np.flatnonzero(of_parts & of_runs))


def _parts(walked: Walked, plan: Plan) -> dict[int, list[bytes]]:
    """Row -> the values of PARTIAL_KEYS, of the rows that are parts. A Python loop, over parts of 16 KiB."""
    row, path = walked.cells[:, CELL_ROW], walked.cells[:, CELL_PATH]
    rows = np.unique(row[path == plan.partials[0]])
    parts: dict[int, list[bytes]] = {number: [b""] * len(plan.partials) for number in rows.tolist()}
    cells = np.flatnonzero(np.isin(path, [number for number in plan.partials if number >= 0]) & np.isin(row, rows))
    place = {number: key for key, number in enumerate(plan.partials)}
    found = walked.cells[cells]
    for number, key, start, end, kind in zip(
        found[:, CELL_ROW].tolist(),
        found[:, CELL_PATH].tolist(),
        found[:, CELL_START].tolist(),
        found[:, CELL_END].tolist(),
        found[:, CELL_KIND].tolist(),
        strict=True,
    ):
        if kind > EMPTY:
            parts[number][place[key]] = walked.data[start:end].tobytes()
    return {number: values for number, values in parts.items() if values[0] == b"true"}
