"""Puts the app together: routes, one layer around them, nothing else."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin import admin_routes
from gateway.auth import Scope, ScopedRoute, route
from gateway.errors import failure
from gateway.middleware import Requests
from gateway.push.loki import push
from gateway.query.routes import query_routes
from gateway.state import Gateway


def routes() -> list[ScopedRoute]:
    """Every route of the server."""
    return [
        route("/loki/api/v1/push", push, ["POST"], Scope.PUSH),
        route("/api/prom/push", push, ["POST"], Scope.PUSH),
        *query_routes(),
        *admin_routes(),
    ]


def create_app(gateway: Gateway) -> Starlette:
    """The ASGI app of one server; `gateway` is found by requests as `request.app.state.gateway`."""
    app = Starlette(
        routes=routes(),
        middleware=[Middleware(Requests, gateway=gateway)],
        exception_handlers={HTTPException: _not_routed},
    )
    # `/loki/api/v1/labels/` is a 404 in Loki, not a redirect.
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    return app


async def _not_routed(_request: Request, error: Exception) -> Response:
    return failure(error, Scope.OPEN).response()
