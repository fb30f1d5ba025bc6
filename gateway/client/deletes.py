"""Loki's delete API as the command line uses it, and what Weir tells besides. Times are ns."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from gateway.client.answers import decode
from gateway.client.connection import Connection
from gateway.client.times import SECOND

_PATH = "loki/api/v1/delete"
_ID = "X-Delete-Request-ID"


class Deletion(msgspec.Struct, frozen=True):
    """A delete as listed. Loki has the fields without a default; of the others docs/api.md has the meanings."""

    request_id: str
    start_time: float
    end_time: float
    query: str
    status: str
    created_at: float
    requested_by: str = ""
    due_at: float = 0
    ended_at: float = 0
    blocks: int = 0
    bytes: int = 0
    blocks_left: int = 0
    bytes_left: int = 0


class Matching(msgspec.Struct, frozen=True):
    """What a delete would delete; bytes are those of lines."""

    streams: int
    entries: int
    bytes: int


class Deletes:
    """The calls, over one connection; each may raise what `Connection.send` raises."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, query: str, start: int, end: int | None) -> str:
        """Deletes what a query finds from start to end, both included; None: to now. Returns the id, "" without one."""
        return self._connection.send("POST", _PATH, _params(query, start, end)).headers.get(_ID, "")

    def would_delete(self, query: str, start: int, end: int | None) -> Matching:
        """What `create` would delete. Only Weir can tell; others list their deletes, which is a BadAnswer."""
        return decode(self._connection.get(_PATH, [*_params(query, start, end), ("dry_run", "true")]), Matching)

    def all(self, *, cancelled: bool) -> list[Deletion]:
        """The tenant's deletes, oldest first."""
        params = [("all", "true")] if cancelled else []
        return decode(self._connection.get(_PATH, params), list[Deletion])

    def cancel(self, request_id: str, *, force: bool) -> None:
        """Calls a delete off."""
        params = [("request_id", request_id)]
        self._connection.send("DELETE", _PATH, [*params, ("force", "true")] if force else params)


def _params(query: str, start: int, end: int | None) -> list[tuple[str, str]]:
    params = [("query", query), ("start", _rfc3339(start))]
    return params if end is None else [*params, ("end", _rfc3339(end))]


def _rfc3339(ns: int) -> str:
    """A time as both Weir and Loki read it here, to the ns."""
    seconds, fraction = divmod(ns, SECOND)
    clock = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{clock}{decimals}Z"
