"""The entries that a log query keeps while it reads on: candidates in answer order, merged unit by unit.

Answer order is (ts, stream id, arrival): all ascending for FORWARD, ts and arrival descending for BACKWARD. Of entries
with equal times those of the smaller stream id come first in both directions (Loki's rule, and a recorded answer).
LOKI-DIFF(9): within a stream the arrival decides always; of one recorded tie Loki has another order in one window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logql.source import Direction
from storage.batch import I64


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """n entries in answer order.

    Attributes:
        ts: int64[n], ns.
        stream: uint64[n], stream ids.
        arrival: int64[n], place of each one's unit in order of arrival.
        part: int64[n], which of the query's kept batches it is in.
        row: int64[n], its row there; rows of a batch stand in (ts, stream id, arrival) order.
    """

    ts: I64
    stream: NDArray[np.uint64]
    arrival: I64
    part: I64
    row: I64

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, places: slice | I64) -> Candidates:
        """The candidates at `places`."""
        return Candidates(
            self.ts[places], self.stream[places], self.arrival[places], self.part[places], self.row[places]
        )


def no_candidates() -> Candidates:
    """No entries."""
    none = np.zeros(0, np.int64)
    return Candidates(none, np.zeros(0, np.uint64), none, none, none)


def merge(left: Candidates, right: Candidates, direction: Direction) -> Candidates:
    """Both together, in answer order."""
    joined = Candidates(
        np.concatenate((left.ts, right.ts)),
        np.concatenate((left.stream, right.stream)),
        np.concatenate((left.arrival, right.arrival)),
        np.concatenate((left.part, right.part)),
        np.concatenate((left.row, right.row)),
    )
    sign = 1 if direction is Direction.FORWARD else -1
    order = np.lexsort((sign * joined.row, sign * joined.arrival, joined.stream, sign * joined.ts))
    return joined.take(order)


def settled(candidates: Candidates, bound: int, direction: Direction) -> int:
    """How many candidates come before every entry of later units.

    Args:
        candidates: what is kept.
        bound: the best time that a later unit may have, ns (its min_ts for FORWARD, max_ts for BACKWARD).
        direction: of the query.
    """
    if direction is Direction.FORWARD:
        return int(np.searchsorted(candidates.ts, bound, "left"))
    return int(np.searchsorted(-candidates.ts, -bound, "left"))


def thin(ts: I64, interval: int) -> I64:
    """Places of the entries that stay when two must be `interval` ns (> 0) apart, as in Loki.

    Args:
        ts: int64[n], ns, in answer order.
        interval: ns.
    """
    kept: list[int] = []
    apart = np.abs(ts - ts[0]) if len(ts) else ts
    at = 0
    while at < len(ts):
        kept.append(at)
        at = int(np.searchsorted(apart, int(apart[at]) + interval))
    return np.array(kept, np.int64)
