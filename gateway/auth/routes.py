"""Routes that carry a scope. One without is a mistake a test finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope
from starlette.websockets import WebSocket

from gateway.auth.grants import GRANT
from gateway.auth.scopes import Scope

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
SocketEndpoint: TypeAlias = Callable[[WebSocket], Awaitable[None]]

_BY_TENANT = frozenset({Scope.PUSH, Scope.QUERY, Scope.OPEN})


class ScopedRoute(Route):
    """A Starlette route that carries a scope and leaves itself in the ASGI scope for metrics and error bodies.

    Exceptions of its endpoint are middleware.Requests' to answer; Starlette's handlers around each are left out.

    Attributes:
        permission: what it does.
        by_tenant: whether it is about the tenant of the request alone. What is about the whole server is refused to a
            key that is for one tenant.
        label: of metrics.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        methods: Collection[str],
        scope: Scope,
        *,
        by_tenant: bool | None = None,
    ) -> None:
        """`by_tenant`: pushes and queries are, other pages not, where it is not said."""
        super().__init__(path, endpoint, methods=list(methods))
        # Starlette lets GET stand for HEAD too; Loki refuses HEAD (conformance http_misc-019).
        self.methods = set(methods)
        self.app = _answering(endpoint)
        self.permission = scope
        self.by_tenant = scope in _BY_TENANT if by_tenant is None else by_tenant
        self.label = route_label(path)

    def matches(self, scope: AsgiScope) -> tuple[Match, AsgiScope]:
        """As Starlette, plus the route itself under "route"."""
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child

    async def handle(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """As Starlette, for a request that came with a key if it may. Raises Forbidden."""
        if GRANT in scope:
            scope["app"].state.gateway.gate.check(scope, self)
        await super().handle(scope, receive, send)


class SocketRoute(ScopedRoute):
    """A route of websockets; `endpoint` answers a GET that asks for none."""

    def __init__(self, path: str, socket: SocketEndpoint, endpoint: Endpoint, scope: Scope) -> None:
        super().__init__(path, endpoint, ["GET"], scope)
        self.socket = socket


def _answering(endpoint: Endpoint) -> ASGIApp:
    async def app(scope: AsgiScope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app


def route(
    path: str, endpoint: Endpoint, methods: Collection[str], scope: Scope, *, by_tenant: bool | None = None
) -> ScopedRoute:
    """A route; every one says what it needs."""
    return ScopedRoute(path, endpoint, methods, scope, by_tenant=by_tenant)


def route_label(path: str) -> str:
    """The `route` label of a path template: `/loki/api/v1/label/{name}/values` is `loki_api_v1_label_name_values`.

    As dskit's server names routes: braces away, slashes to underscores, none at the ends, lower case.
    """
    return path.translate(str.maketrans("/", "_", "{}")).strip("_").lower()
