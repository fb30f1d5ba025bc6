"""Puts the app together: routes, one layer around them, nothing else."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from gateway import auth
from gateway.admin import admin_routes
from gateway.auth import ScopedRoute, SocketRoute, route
from gateway.deletes import delete_routes
from gateway.description import description_routes
from gateway.export.routes import export_routes
from gateway.middleware import Requests
from gateway.patterns.routes import pattern_routes
from gateway.push.log import log
from gateway.push.loki import push
from gateway.push.otlp import otlp_logs
from gateway.query.routes import query_routes
from gateway.relay.routes import relay_routes
from gateway.state import Gateway
from gateway.tail.door import tail_routes
from gateway.websockets import not_found
from gateway.why.routes import why_routes


def routes() -> list[ScopedRoute]:
    """Every route of the server."""
    return [
        route("/loki/api/v1/push", push, ["POST"], auth.Scope.PUSH),
        route("/api/prom/push", push, ["POST"], auth.Scope.PUSH),
        route("/otlp/v1/logs", otlp_logs, ["POST"], auth.Scope.PUSH),
        route("/log", log, ["POST"], auth.Scope.PUSH),
        *query_routes(),
        *export_routes(),
        *pattern_routes(),
        *tail_routes(),
        *delete_routes(),
        *why_routes(),
        *relay_routes(),
        *admin_routes(),
        *description_routes(),
    ]


def create_app(gateway: Gateway) -> Starlette:
    """The ASGI app of one server; `gateway` is found by requests as `request.app.state.gateway`."""
    return _App(gateway)


class _App(Starlette):
    """Starlette with one layer of ours in place of its own: each costs a push of one line a hundredth of its time."""

    def __init__(self, gateway: Gateway) -> None:
        ours = routes()
        super().__init__(routes=ours)
        # `/loki/api/v1/labels/` is a 404 in Loki, not a redirect.
        self.router.redirect_slashes = False
        self.state.gateway = gateway
        self._exact = {
            (method, each.path): each for each in ours if "{" not in each.path for method in each.methods or ()
        }
        self._sockets = {each.path: each for each in ours if isinstance(each, SocketRoute)}
        self._gate = gateway.gate if gateway.settings.auth.enabled else None

    def build_middleware_stack(self) -> ASGIApp:
        """What Starlette calls for every request."""
        return Requests(self._route, self.state.gateway)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A route without parameters is found by its path; the router has the others, and what is no route."""
        if scope["type"] == "websocket":
            await self._route_socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.router(scope, receive, send)
            return
        found = self._exact.get((scope["method"], scope["path"]))
        if found is not None:
            scope["route"] = found
            scope["path_params"] = {}
        # Paths that do not exist are no exception: what there is is nobody's business who has no key.
        if self._gate is not None and (found is None or found.permission is not auth.Scope.OPEN):
            self._gate.admit(scope, found)
        if found is None:
            await self.router(scope, receive, send)
            return
        await found.app(scope, receive, send)

    async def _route_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._sockets.get(scope["path"])
        if found is not None:
            scope["route"] = found
        if self._gate is not None:
            self._gate.admit(scope, found)
        if found is None:
            await not_found(scope, receive, send)
            return
        await found.socket(WebSocket(scope, receive, send))
