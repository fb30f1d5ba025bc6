"""Ids of streams, by their numbers in a stream table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storage.batch import I32, Labels
from storage.labels import labels_id


class StreamIds:
    """Remembers the ids that a query has asked for."""

    def __init__(self) -> None:
        self._ids: dict[Labels, int] = {}

    def of(self, streams: Sequence[Labels], stream: I32) -> NDArray[np.uint64]:
        """uint64[n]: the id of each entry's stream; `stream` (int32[n]) indexes `streams`."""
        table = np.zeros(int(stream.max(initial=-1)) + 1, np.uint64)
        for number in np.flatnonzero(np.bincount(stream)).tolist():
            table[number] = self._id(streams[number])
        return table[stream]

    def _id(self, labels: Labels) -> int:
        if labels not in self._ids:
            self._ids[labels] = labels_id(labels)
        return self._ids[labels]
