"""The calls of Loki's API that the command line makes, each one GET."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from gateway.client.answers import QueryAnswer, decode_label_sets, decode_names, decode_query
from gateway.client.connection import Connection
from gateway.client.lines import Labels


class Api:
    """Loki's read API over one connection. Times are ns; every call may raise what `Connection.get` raises."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def query_range(
        self, query: str, start: int, end: int, *, limit: int, direction: str, explain: bool = False
    ) -> QueryAnswer:
        """Entries with start <= ts < end, the first `limit` in that direction ("forward" or "backward").

        `explain` asks Weir for what the query took; other servers do not know of it.
        """
        params = [
            ("direction", direction.upper()),
            ("end", str(end)),
            ("limit", str(limit)),
            ("query", query),
            ("start", str(start)),
        ]
        if explain:
            params.append(("explain", "true"))
        return decode_query(self._connection.get("loki/api/v1/query_range", params))

    def label_names(self, start: int, end: int) -> list[str]:
        """Names of labels in use in the window."""
        return decode_names(self._connection.get("loki/api/v1/labels", _window(start, end)))

    def label_values(self, name: str, start: int, end: int) -> list[str]:
        """Values of one label in the window."""
        path = f"loki/api/v1/label/{quote(name, safe='')}/values"
        return decode_names(self._connection.get(path, _window(start, end)))

    def series(self, matchers: Sequence[str], start: int, end: int) -> list[Labels]:
        """Streams that match any of the selectors (all if there are none), sorted by their labels."""
        params = _window(start, end) + [("match", matcher) for matcher in matchers]
        found = decode_label_sets(self._connection.get("loki/api/v1/series", params))
        return sorted(tuple(sorted(labels.items())) for labels in found)


def _window(start: int, end: int) -> list[tuple[str, str]]:
    return [("end", str(end)), ("start", str(start))]
