"""Loki's delete API: accepting, listing and cancelling deletes, and telling what one would delete.

Times may be written as those of a query; Loki takes seconds of 10 digits and RFC 3339. Parameters may stand in a
POSTed form too; Loki reads the URL's alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import GRANT, Grant, Scope, ScopedRoute, route, tenant_of
from gateway.query.errors import BadParameter, DeletesDisabled
from gateway.query.params import Form, first
from gateway.query.pool import Ticket
from gateway.query.request import read_form
from gateway.query.times import SECOND, go_duration, parse_timestamp
from gateway.query.work import run_for
from gateway.state import Gateway, LogStore
from logql import Chooser, Direction, LogQLError, Matcher, choice
from storage import DeleteProgress, DeleteRecord, DeleteStatus
from storage.batch import Labels
from storage.errors import BadDelete
from storage.rows import take_rows

_BAD_TIME = "invalid {} time: require unix seconds or RFC3339 format"
_MAX_INTERVAL = 24 * 3600 * SECOND
_INTERVAL = re.compile(r"([0-9]+)([smh])", re.ASCII)
_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_MOST_AGENT = 200
"""Characters of a User-Agent that are kept."""


async def deletes(request: Request) -> Response:
    """GET lists, DELETE calls off, POST and PUT accept. Raises DeletesDisabled."""
    _check_mode(request)
    match request.method:
        case "GET":
            return await listing(request)
        case "DELETE":
            return await cancel(request)
        case _:
            return await create(request)


async def create(request: Request) -> Response:
    """Accepts a delete: 204 and its id."""
    gateway, tenant = _gateway(request), tenant_of(request)
    store = gateway.store
    form = await read_form(request)
    if first(form, "dry_run"):
        raise BadParameter("dry_run is for GET: a POST or PUT deletes")
    asked = _asked(form)
    record = await anyio.to_thread.run_sync(store.delete, tenant, asked.query, asked.begin, asked.end, _who(request))
    gateway.runs.part()
    return Response(status_code=204, headers={"X-Delete-Request-ID": record.id})


async def dry_run(request: Request) -> Response:
    """What a delete of these parameters would delete. A GET: where nobody knows of `dry_run`, nothing is lost by it."""
    store, tenant = _gateway(request).store, tenant_of(request)
    asked = _asked(await read_form(request))

    def work(ticket: Ticket) -> dict[str, int]:
        return would_delete(store, tenant, asked, ticket)

    return _json(await run_for(request, tenant, work))


async def listing(request: Request) -> Response:
    """The tenant's deletes, oldest first: of a time range if it has both ends; with `all=true` cancelled ones too."""
    store, tenant = _gateway(request).store, tenant_of(request)
    form = await read_form(request)
    if first(form, "dry_run") == "true":
        return await dry_run(request)
    found = await anyio.to_thread.run_sync(store.deletes, tenant)
    if first(form, "all") != "true":
        found = [each for each in found if each.record.status is not DeleteStatus.CANCELLED]
    if first(form, "start") and first(form, "end"):
        begin, end = (_time(form, name) for name in ("start", "end"))
        found = [each for each in found if each.record.first <= end and each.record.last >= begin]
    return _json([listed(each) for each in found])


async def cancel(request: Request) -> Response:
    """Calls a delete off (204); with `force=true` what is left of one that is being carried out."""
    store, tenant = _gateway(request).store, tenant_of(request)
    form = await read_form(request)
    force = first(form, "force") == "true"
    delete_id = first(form, "request_id")
    await anyio.to_thread.run_sync(lambda: store.cancel_delete(tenant, delete_id, force=force))
    _gateway(request).runs.part()
    return Response(status_code=204)


async def generation(request: Request) -> Response:
    """A number, as a JSON string, that changes when a delete is accepted or called off; empty before the first.

    Caches of answers, as Loki's query frontend has one, keep it with what they keep. Raises DeletesDisabled.
    """
    _check_mode(request)
    store, tenant = _gateway(request).store, tenant_of(request)
    found = await anyio.to_thread.run_sync(store.deletes, tenant)
    return _json(generation_of([each.record for each in found]))


def generation_of(records: Iterable[DeleteRecord]) -> str:
    """The ns of the last change to what a tenant's deletes hide: that one came, or that one was called off."""
    changed = [each.ended if each.status is DeleteStatus.CANCELLED else each.created for each in records]
    return str(max(changed)) if changed else ""


def delete_routes() -> list[ScopedRoute]:
    """Routes of this module."""
    return [
        route("/loki/api/v1/delete", deletes, ["DELETE", "GET", "POST", "PUT"], Scope.ADMIN, by_tenant=True),
        route("/loki/api/v1/cache/generation_numbers", generation, ["GET"], Scope.ADMIN, by_tenant=True),
    ]


def read_delete(query: str) -> tuple[Sequence[Matcher], Chooser | None]:
    """The compiler of deletes for the store. Raises BadDelete."""
    try:
        return choice(query)
    except LogQLError as error:
        raise BadDelete(str(error)) from error


def listed(progress: DeleteProgress) -> dict[str, Any]:
    """A delete as it stands in the list: Loki's fields, then ours."""
    record = progress.record
    return {
        "request_id": record.id,
        "start_time": _seconds(record.first),
        "end_time": _seconds(record.last),
        "query": record.query,
        "status": f"{progress.percent}% Complete" if record.status is DeleteStatus.STARTED else record.status.value,
        "created_at": _seconds(record.created),
        "user_id": record.tenant,
        "requested_by": record.who,
        "due_at": _seconds(record.due),
        "started_at": _seconds(record.started),
        "ended_at": _seconds(record.ended),
        "blocks": record.blocks,
        "bytes": record.bytes,
        "blocks_left": progress.blocks,
        "bytes_left": progress.bytes,
    }


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be deleted.

    Attributes:
        query: as written.
        matchers: of streams.
        chooses: which of their entries; None: all.
        begin, end: ns, both included.
    """

    query: str
    matchers: Sequence[Matcher]
    chooses: Chooser | None
    begin: int
    end: int


def would_delete(store: LogStore, tenant: str, asked: _Asked, ticket: Ticket) -> dict[str, int]:
    """How many streams, entries and bytes of lines a delete would hide if it came now.

    Args:
        store: of all tenants.
        tenant: whose entries.
        asked: which.
        ticket: looked at between pieces.

    Raises:
        QueryCancelled, QueryTimeout: as of the ticket.
        StorageError: what has to be read cannot be.
    """
    streams: set[Labels] = set()
    entries = size = 0
    chooses = asked.chooses
    for unit in store.scan(tenant, asked.matchers, asked.begin, asked.end + 1, Direction.FORWARD):
        ticket.check()
        totals = unit.totals() if chooses is None else None
        if totals is not None:
            streams.update(totals.streams[number] for number in np.unique(totals.stream).tolist())
            entries += int(totals.entries.sum())
            size += int(totals.line_bytes.sum())
            continue
        times = unit.times()
        if chooses is not None:
            batch = unit.read(times)
            if batch.selection is not None:
                batch = take_rows(batch, batch.selection)
            times = times.take(np.flatnonzero(chooses(batch)))
        streams.update(times.streams[number] for number in np.unique(times.stream).tolist())
        entries += len(times)
        size += int(unit.lengths(times).sum())
    return {"streams": len(streams), "entries": entries, "bytes": size}


def _check_mode(request: Request) -> None:
    if _gateway(request).settings.limits_for(tenant_of(request)).deletion_mode == "disabled":
        raise DeletesDisabled


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


def _asked(form: Form) -> _Asked:
    """The parameters of a delete. Raises BadParameter for the first mistake in Loki's order."""
    query = first(form, "query")
    matchers, chooses = _chosen(query)
    begin, end = _times(form, time.time_ns())
    if chooses is not None:
        _check_interval(first(form, "max_interval"), end - begin)
    return _Asked(query, matchers, chooses, begin, end)


def _chosen(query: str) -> tuple[Sequence[Matcher], Chooser | None]:
    if not query:
        raise BadParameter("query not set")
    try:
        return read_delete(query)
    except BadDelete as error:
        raise BadParameter("invalid query expression") from error


def _times(form: Form, now: int) -> tuple[int, int]:
    """Start and end in ns, both included. Raises BadParameter in Loki's order."""
    if not first(form, "start"):
        raise BadParameter("start time not set")
    begin = _time(form, "start")
    end = _time(form, "end") if first(form, "end") else now
    if end > now:
        raise BadParameter("deletes in the future are not allowed")
    if begin >= end:
        raise BadParameter("start time can't be greater than or equal to end time")
    return begin, end


def _time(form: Form, name: str) -> int:
    try:
        return parse_timestamp(first(form, name), 0)
    except BadParameter as error:
        raise BadParameter(_BAD_TIME.format(name)) from error


def _check_interval(text: str, length: int) -> None:
    """max_interval, which says in what pieces Loki carries a delete out. It means nothing here, but has to be right."""
    if not text:
        return
    parts = _INTERVAL.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise BadParameter("invalid max_interval: valid time units are 's', 'm', 'h'")
    interval = sum(int(number[:18]) * _UNITS[unit] for number, unit in parts)
    if interval > _MAX_INTERVAL:
        raise BadParameter(f"max_interval can't be greater than {go_duration(_MAX_INTERVAL)}")
    if interval > length:
        raise BadParameter(
            f"max_interval can't be greater than the interval to be deleted ({go_duration(length // SECOND * SECOND)})"
        )


def _who(request: Request) -> str:
    """Who asks, as far as is known: the address, the key, and what the client calls itself."""
    address = request.client.host if request.client else "-"
    grant: Grant | None = request.scope.get(GRANT)
    if grant is not None:
        address += f" key {grant.key}"
    return f"{address} {request.headers.get('user-agent', '')[:_MOST_AGENT]}".rstrip()


def _seconds(ns: int) -> float | int:
    """Seconds to the millisecond; a whole number where they are one, which is all that logcli can read."""
    milliseconds = ns // 1_000_000
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value) + b"\n", media_type="application/json")
