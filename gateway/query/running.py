"""The queries that are waiting or being worked on, and the way to stop one.

A run is listed from the moment it is begun until its thread has ended, whoever still waits for it. For the event loop.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import tenants_of
from gateway.query.errors import BadParameter, QueryStopped, UnknownQuery
from gateway.query.params import Form, first, parse_form
from gateway.query.pool import Ticket

MOST_TEXT = 2000
"""Characters of a query that are told; it may be 100 KB long."""

_ASKED = ("start", "end", "since", "time", "step", "interval", "limit", "direction", "match", "match[]")
"""Parameters that are told of a query."""


class QueryState(StrEnum):
    """Where a query is."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class About:
    """Who asks what.

    Attributes:
        tenant: `a|b` for several.
        kind: range or instant; of requests that are no LogQL the route's label.
        form: the parameters, read when they are asked for.
        client: address, "-" if it is not known.
        agent: User-Agent.
        tags: X-Query-Tags, cleaned.
    """

    tenant: str
    kind: str
    form: Callable[[], Form]
    client: str
    agent: str
    tags: str

    @staticmethod
    def of(request: Request, tenant: str, kind: str = "", form: Form | None = None, tags: str = "") -> About:
        """What a request says of itself; without a form, what its URL says."""
        return About(
            tenant,
            kind or request.scope["route"].label,
            (lambda: _url_form(request)) if form is None else (lambda: form),
            request.client.host if request.client else "-",
            request.headers.get("user-agent", "")[:200],
            tags[:1000],
        )

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        form = self.form()
        return {
            "tenant": self.tenant,
            "query": first(form, "query")[:MOST_TEXT],
            "kind": self.kind,
            "parameters": {name: first(form, name)[:MOST_TEXT] for name in _ASKED if first(form, name)},
            "client": self.client,
            "userAgent": self.agent,
            "tags": self.tags,
        }


def _url_form(request: Request) -> Form:
    try:
        return parse_form(request.scope["query_string"])
    except BadParameter:
        return {}


@dataclass(slots=True, eq=False)
class _Listed:
    """A run.

    Attributes:
        about: who began it, and what it is.
        ticket: its right to go on.
        task: what comes to its result.
        waiting: how many requests want it.
        began: time.monotonic() seconds.
        since: time.time() seconds.
    """

    about: About
    ticket: Ticket
    task: asyncio.Future[Any]
    waiting: Callable[[], int]
    began: float = field(default_factory=time.monotonic)
    since: float = field(default_factory=time.time)

    @property
    def state(self) -> QueryState:
        if self.task.done() or self.ticket.is_over:
            return QueryState.ENDING
        return QueryState.RUNNING if self.ticket.at_work else QueryState.WAITING

    def told(self, number: str) -> dict[str, Any]:
        read = self.ticket.so_far()
        return {
            "id": number,
            **self.about.told(),
            "state": self.state,
            "started": round(self.since, 3),
            "seconds": round(time.monotonic() - self.began, 3),
            "lines": read.lines,
            "bytes": read.line_bytes + read.metadata_bytes,
            "units": read.units,
            "requests": self.waiting(),
        }


class RunningQueries:
    """The runs of one server, by ids that do not come again after a restart.

    Attributes:
        stopped: runs that were stopped by who asked for it.
    """

    def __init__(self) -> None:
        self.stopped = 0
        self._listed: dict[str, _Listed] = {}

    def __len__(self) -> int:
        return len(self._listed)

    def add(
        self, about: About, ticket: Ticket, task: asyncio.Future[Any], waiting: Callable[[], int] = lambda: 1
    ) -> None:
        """Lists a run until it has ended."""
        number = secrets.token_hex(4)
        while number in self._listed:
            number = secrets.token_hex(4)
        one = self._listed[number] = _Listed(about, ticket, task, waiting)

        def ended(_: object = None) -> None:
            if one.task.done() and not ticket.at_work:
                self._listed.pop(number, None)

        task.add_done_callback(ended)
        ticket.when_ended(ended)

    def of(self, tenants: Collection[str]) -> list[dict[str, Any]]:
        """The runs of these tenants as JSON has them, the oldest first."""
        return [one.told(number) for number, one in self._listed.items() if _concerns(one, tenants)]

    def stop(self, number: str, tenants: Collection[str]) -> None:
        """Ends a run: whoever waits for it is told so, its thread stops at its next check.

        Raises:
            UnknownQuery: these tenants have no such run.
        """
        one = self._listed.get(number)
        if one is None or not _concerns(one, tenants) or one.state is QueryState.ENDING:
            raise UnknownQuery(number)
        self.stopped += 1
        one.ticket.stop(QueryStopped(number))
        one.task.cancel()


def _concerns(one: _Listed, tenants: Collection[str]) -> bool:
    return all(tenant in tenants for tenant in one.about.tenant.split("|"))


async def running_queries(request: Request) -> Response:
    """The tenant's queries that wait or run, the oldest first."""
    running: RunningQueries = request.app.state.gateway.running
    said = {"queries": running.of(tenants_of(request))}
    return Response(msgspec.json.encode(said) + b"\n", media_type="application/json")


async def stop_query(request: Request) -> Response:
    """Stops one of them: 204. Raises UnknownQuery."""
    running: RunningQueries = request.app.state.gateway.running
    running.stop(request.path_params["id"], tenants_of(request))
    return Response(status_code=204)
