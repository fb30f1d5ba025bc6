"""Which rows of the log a relay sends, and under which labels. The same rows of the log always give the same batch."""

from __future__ import annotations

import numpy as np

from logql import LiveQuery, parse_log
from storage.batch import Batch, Labels
from storage.rows import take_rows


class Selection:
    """A selector and added labels, with what is known of streams already. For one thread."""

    def __init__(self, selector: str, add_labels: Labels) -> None:
        """Raises LogQLError: the selector is none."""
        self._query = parse_log(selector) if selector else None
        self._added = dict(add_labels)
        self._queries: dict[str, LiveQuery] = {}

    def rows(self, tenant: str, batch: Batch) -> Batch:
        """The rows that are sent, on the same stream table."""
        if self._query is None:
            return batch
        query = self._queries.get(tenant)
        if query is None:
            query = self._queries[tenant] = LiveQuery(self._query)
        found = query.matching(batch)
        return batch if len(found) == len(batch) else take_rows(batch, found)

    def dressed(self, batch: Batch) -> Batch:
        """The rows with their labels as they arrive, and just those label sets, in the order of their first rows."""
        used, first, back = np.unique(batch.stream, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        numbers = np.zeros(len(used), np.int32)
        places: dict[Labels, int] = {}
        for number in order.tolist():
            labels = self._with_added(batch.streams[int(used[number])])
            # Two streams may be one at the destination, if what told them apart is put over.
            numbers[number] = places.setdefault(labels, len(places))
        return Batch(list(places), numbers[back], batch.ts, batch.lines, batch.metadata, batch.rest)

    def _with_added(self, labels: Labels) -> Labels:
        if not self._added:
            return labels
        return tuple(sorted({**dict(labels), **self._added}.items()))
