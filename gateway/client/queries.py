"""Queries at work and slow ones, as the command line asks for them. Weir's own; other servers do not know of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from gateway.client.answers import decode
from gateway.client.connection import Connection

_PATH = "weir/v1/queries"


class RunningQuery(msgspec.Struct, frozen=True, rename="camel"):
    """A query that waits or runs; docs/api.md has the meanings."""

    id: str
    tenant: str
    query: str
    kind: str
    state: str
    seconds: float
    lines: int
    bytes: int
    requests: int
    client: str
    user_agent: str = ""
    tags: str = ""
    parameters: dict[str, str] = {}


class SlowQuery(msgspec.Struct, frozen=True, rename="camel"):
    """A query that took long."""

    tenant: str
    query: str
    kind: str
    ended: float
    seconds: float
    queued_seconds: float
    status: int
    client: str
    error: str = ""
    user_agent: str = ""
    tags: str = ""
    parameters: dict[str, str] = {}
    explain: dict[str, Any] | None = None


class _Running(msgspec.Struct):
    queries: list[RunningQuery]


class _Slow(msgspec.Struct):
    queries: list[SlowQuery]


class Queries:
    """The calls, over one connection; each may raise what `Connection.send` raises."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def running(self) -> list[RunningQuery]:
        """The tenant's queries that wait or run, the oldest first."""
        return decode(self._connection.get(_PATH, []), _Running).queries

    def slow(self) -> list[SlowQuery]:
        """The tenant's slow queries, the last first."""
        return decode(self._connection.get(f"{_PATH}/slow", []), _Slow).queries

    def stop(self, number: str) -> None:
        """Stops a query."""
        self._connection.send("DELETE", f"{_PATH}/{quote(number, safe='')}", [])
