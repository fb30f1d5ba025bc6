"""When streams last came in, and how much of them there is in a stretch of time. Of footers and counters alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.batch import I32, I64, Labels
from storage.cells import Cells
from storage.streams import StreamTable
from storage.volumes import covered


@dataclass(frozen=True, slots=True)
class StreamActivity:
    """One stream.

    Attributes:
        labels: of it.
        first, last: ns, the first and the last entry that was stored, to the millisecond, whatever became of them.
        arrived: ns, when entries of it came last; 0: not since the server started.
        rows: entries in the time asked for.
        size: bytes of these.
        is_expired: whether all of it is older than retention keeps.
    """

    labels: Labels
    first: int
    last: int
    arrived: int
    rows: int
    size: int
    is_expired: bool


def activity_of(
    table: StreamTable, streams: I32, floor: I64 | None, cells: Cells, start: int, end: int, limit: int
) -> list[StreamActivity]:
    """The `limit` streams of some that wrote last; what they have in start <= ts <= end (ns) is told of cells.

    `streams`, int32[k] ascending; `floor`, int64[streams], ns: what is older has expired.
    """
    first, last = table.ends(streams)
    arrived = table.arrived(streams)
    chosen = np.flatnonzero(last >= first)
    chosen = chosen[np.lexsort((streams[chosen], -arrived[chosen], -last[chosen]))][:limit]
    rows, size = _amounts(cells, start, end, len(table))
    sets = table.label_sets(streams[chosen])
    found = []
    for place, labels in zip(chosen.tolist(), sets, strict=True):
        number = int(streams[place])
        expired = floor is not None and number < len(floor) and int(last[place]) < int(floor[number])
        found.append(
            StreamActivity(
                labels,
                int(first[place]),
                int(last[place]),
                int(arrived[place]),
                round(float(rows[number])),
                round(float(size[number])),
                bool(expired),
            )
        )
    return found


def _amounts(cells: Cells, start: int, end: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(float64[count], float64[count]): rows and bytes of each stream."""
    if not len(cells):
        return np.zeros(count), np.zeros(count)
    touched, size = covered(cells, slice(0, len(cells)), start, end)
    share = np.where(touched, size / np.maximum(cells.size, 1), 0.0)
    rows = np.bincount(cells.stream, cells.rows * share, count)
    return rows, np.bincount(cells.stream, np.where(touched, size, 0.0), count)
