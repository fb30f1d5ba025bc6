"""The routes of relays: how they are, their batches, and what is decided about those that do not get through."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import Scope, ScopedRoute, route
from gateway.query.errors import BadParameter
from gateway.query.params import Form, first, limit_of
from gateway.query.request import json_response, read_form
from gateway.query.times import parse_duration
from gateway.relay.central import instance_told
from gateway.relay.status import batch_told, relay_told, sum_told
from gateway.state import Gateway
from storage.outbox.ledger import RelayBatch

STATUSES = ("pending", "sending", "failed", "archived", "refused", "removed")


def relay_routes() -> list[ScopedRoute]:
    """Routes of this folder."""
    return [
        route("/weir/v1/relay", status, ["GET"], Scope.STATUS),
        route("/weir/v1/relay/batches", batches, ["GET"], Scope.STATUS),
        route("/weir/v1/relay/retry", retry, ["POST"], Scope.ADMIN),
        route("/weir/v1/relay/remove", remove, ["POST"], Scope.ADMIN),
    ]


async def status(request: Request) -> Response:
    """Every relay of this server, those that are in no setting any more too, and every server that sends to it."""
    gateway = _gateway(request)
    store = gateway.store
    figures = await gateway.relays.figures()
    instances = await gateway.central.look(store)
    now = time.time_ns()
    return _json(
        request,
        {
            "instance": gateway.settings.instance_name,
            "relays": [relay_told(each, now) for each in figures],
            "instances": [instance_told(each) for each in instances],
        },
    )


async def batches(request: Request) -> Response:
    """Batches, the last first: of a relay, a status, a time; with `summary=true` how many there are of each status."""
    ledger = _gateway(request).store.outbox.ledger
    form = await read_form(request)
    relay, wanted = first(form, "relay") or None, first(form, "status") or None
    if wanted is not None and wanted not in STATUSES:
        raise BadParameter(f"invalid status '{wanted}': it is one of {', '.join(STATUSES)}")
    since = time.time_ns() - parse_duration(first(form, "since")) if first(form, "since") else 0
    summary = first(form, "summary") == "true"
    limit = limit_of(form)
    uuid = _uuid(form)

    def look() -> dict[str, Any]:
        if summary:
            return {"summary": [sum_told(each) for each in ledger.sums(relay, wanted, since)]}
        if uuid is not None:
            return {"batches": [batch_told(each) for each in ledger.find(uuid)]}
        return {"batches": [batch_told(each) for each in ledger.batches(relay, wanted, since, limit)]}

    return _json(request, await anyio.to_thread.run_sync(look))


async def retry(request: Request) -> Response:
    """Has a batch sent again now, or with `all=true` every one that waits or was refused."""
    relays = _gateway(request).relays
    form = await read_form(request)
    uuid, every = _uuid(form), first(form, "all") == "true"
    if (uuid is None) is not every:
        raise BadParameter("say which: uuid, or all=true")
    if uuid is not None:
        return _json(request, _amount([await relays.retry(uuid)]))
    return _json(request, _amount(await relays.retry_all(first(form, "relay") or None)))


async def remove(request: Request) -> Response:
    """Gives up a batch, or all that a relay has yet to send."""
    relays = _gateway(request).relays
    form = await read_form(request)
    uuid, relay = _uuid(form), first(form, "relay")
    if (uuid is None) is not bool(relay):
        raise BadParameter("say what: uuid, or relay")
    if uuid is not None:
        return _json(request, _amount([await relays.remove(uuid)]))
    return _json(request, {"records": await relays.remove_relay(relay)})


def _uuid(form: Form) -> UUID | None:
    text = first(form, "uuid")
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError as error:
        raise BadParameter(f"'{text}' is not a UUID") from error


def _amount(some: Sequence[RelayBatch]) -> dict[str, int]:
    return {"batches": len(some), "records": sum(each.records for each in some)}


def _json(request: Request, said: Mapping[str, Any]) -> Response:
    accepted = request.headers.get("accept-encoding", "")
    return json_response(msgspec.json.encode(said) + b"\n", accepted)


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway
