"""The pages for operators: ready, metrics, build info, settings, flush, services, log level."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any, Literal

import anyio.to_thread
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from config import dump_yaml
from config.units import format_instant
from gateway import logs
from gateway.auth import Scope, ScopedRoute, route
from gateway.query.params import first
from gateway.query.request import read_form
from gateway.state import Gateway, Phase
from storage.errors import StorageError

_MODULES = ("server", "store", "distributor", "querier")
"""What /services lists: the parts of Weir that have a life of their own, under the names Loki's users know."""


_CONFIG_MODES: dict[str, Literal["full", "diff", "defaults"]] = {"diff": "diff", "defaults": "defaults"}


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


async def ready(request: Request) -> Response:
    """200 `ready` while the server serves; else 503 and why not, in the shape of Loki's texts."""
    gateway = _gateway(request)
    if gateway.phase is Phase.READY:
        return PlainTextResponse("ready\n")
    if gateway.phase is Phase.STOPPING:
        return PlainTextResponse("Application is stopping\n", 503)
    return PlainTextResponse(f"Ingester not ready: {gateway.progress}\n", 503)


async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    gateway = _gateway(request)
    if gateway.open_store is not None:
        with suppress(StorageError):  # what is known of senders stays as it was
            await gateway.central.look(gateway.open_store)
    return Response(gateway.metrics.expose(), media_type=CONTENT_TYPE_LATEST)


async def buildinfo(request: Request) -> Response:
    """What is running. Grafana reads `version`; there is no Go in it, and its field says so."""
    version = _gateway(request).metrics.version
    info = {"version": version, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""}
    return Response(json.dumps(info, separators=(",", ":")) + "\n", media_type="application/json")


async def settings(request: Request) -> Response:
    """The settings as YAML, secrets masked; `mode=diff`: what is not default, `mode=defaults`: the defaults."""
    mode = _CONFIG_MODES.get(first(await read_form(request), "mode"), "full")
    text = dump_yaml(_gateway(request).settings, mode=mode)
    return PlainTextResponse(text)


async def flush(request: Request) -> Response:
    """204 once everything taken in before is in blocks and durable; Loki's 204 comes before that."""
    await anyio.to_thread.run_sync(_gateway(request).store.flush)
    return Response(status_code=204)


async def compact(request: Request) -> Response:
    """204 once all blocks that may be joined are; what is in memory stays there. 500 if some cannot be read."""
    problems = await anyio.to_thread.run_sync(_gateway(request).store.compact)
    return PlainTextResponse("".join(f"{problem}\n" for problem in problems), 500) if problems else Response(None, 204)


async def services(request: Request) -> Response:
    """One line a module: its name and state."""
    gateway = _gateway(request)
    state = {Phase.STARTING: "Starting", Phase.READY: "Running", Phase.STOPPING: "Stopping"}[gateway.phase]
    return PlainTextResponse("".join(f"{module} => {state}\n" for module in _MODULES))


async def health(request: Request) -> Response:
    """How the server and its parts are, as JSON. 200 while it serves, degraded or not; else 503.

    A part that is degraded does not make it 503: what cannot be stored is refused with 503 at its door, and a server
    that nobody asks any more would never find out that it can store again.
    """
    gateway = _gateway(request)
    parts = _parts(gateway)
    serves = gateway.phase is Phase.READY
    status = gateway.phase.value
    if serves:
        status = "ok" if all(part["status"] in ("ok", "off") for part in parts.values()) else "degraded"
    said = {"status": status, "service": "weir", "timestamp": format_instant(time.time_ns()), "components": parts}
    body = json.dumps(said, separators=(",", ":"))
    return Response(body, 200 if serves else 503, media_type="application/json")


def _parts(gateway: Gateway) -> dict[str, dict[str, Any]]:
    forward: dict[str, Any] = {"status": "off"}
    if gateway.forward.listening:
        forward = {"status": "ok", "connections": gateway.forward.connections}
    store = gateway.open_store
    if store is None:
        return {"store": {"status": gateway.progress}, "forward": forward}
    figures = store.figures()
    refusing = figures.counters.refusing or not figures.reserve_held
    return {
        "store": {"status": "ok", "blocks": figures.blocks, "memory_bytes": figures.memory_bytes},
        "wal": {"status": "refusing" if refusing else "ok", "queued_batches": figures.queued_batches},
        "flush": {"status": "failing" if figures.flush_failing else "ok", "queued_tenants": figures.flush_queue},
        "forward": forward,
    }


async def log_level(request: Request) -> Response:
    """GET tells the level, POST sets it until the next start."""
    if request.method == "GET":
        return _json({"message": f"Current log level is {logs.current_level()}"})
    level = first(await read_form(request), "log_level")
    try:
        logs.set_level(level)
    except logs.UnknownLevel as error:
        return _json({"status": "failed", "message": str(error)}, 400)
    return _json({"status": "success", "message": f"Log level set to {level}"})


def _json(value: dict[str, str], status: int = 200) -> Response:
    return Response(json.dumps(value, separators=(",", ":")), status, media_type="application/json")


def admin_routes() -> list[ScopedRoute]:
    """Routes of this module."""
    return [
        route("/ready", ready, ["GET"], Scope.OPEN),
        route("/health", health, ["GET"], Scope.OPEN),
        route("/metrics", metrics, ["GET"], Scope.STATUS),
        route("/loki/api/v1/status/buildinfo", buildinfo, ["GET"], Scope.STATUS, by_tenant=True),
        route("/config", settings, ["GET"], Scope.ADMIN),
        route("/flush", flush, ["GET", "POST"], Scope.ADMIN),
        route("/weir/v1/compact", compact, ["POST"], Scope.ADMIN),
        route("/services", services, ["GET"], Scope.ADMIN),
        route("/log_level", log_level, ["GET", "POST"], Scope.ADMIN),
    ]
