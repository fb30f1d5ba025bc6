"""Who is asking and what a route lets them do.

Every route carries a scope; a route without one is a mistake a test finds. For now authentication has one mode, off:
scopes are carried, nothing is refused. The tenant is what Loki makes of X-Scope-OrgID (dskit's rules).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from enum import StrEnum
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope
from starlette.websockets import WebSocket

from config.settings import Tenancy

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
SocketEndpoint: TypeAlias = Callable[[WebSocket], Awaitable[None]]

TENANT_HEADER = "x-scope-orgid"
MAX_TENANT_LENGTH = 150
_TENANT_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!-_.*'()")


class Scope(StrEnum):
    """What a route does, in the words of a permission."""

    PUSH = "push"
    QUERY = "query"
    ADMIN = "admin"
    OPEN = "open"


class NoTenant(Exception):  # noqa: N818 - named for what happened
    """X-Scope-OrgID is required and missing (401)."""

    def __init__(self) -> None:
        super().__init__("no org id")


class BadTenant(Exception):  # noqa: N818 - named for what happened
    """X-Scope-OrgID is no tenant's name (400)."""


class ScopedRoute(Route):
    """A Starlette route that carries a scope and leaves itself in the ASGI scope for metrics and error bodies.

    Exceptions of its endpoint are middleware.Requests' to answer; Starlette's handlers around each are left out.
    """

    def __init__(self, path: str, endpoint: Endpoint, methods: Collection[str], scope: Scope) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        # Starlette lets GET stand for HEAD too; Loki refuses HEAD (conformance http_misc-019).
        self.methods = set(methods)
        self.app = _answering(endpoint)
        self.permission = scope
        self.label = route_label(path)

    def matches(self, scope: AsgiScope) -> tuple[Match, AsgiScope]:
        """As Starlette, plus the route itself under "route"."""
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child


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


def route(path: str, endpoint: Endpoint, methods: Collection[str], scope: Scope) -> ScopedRoute:
    """A route; every one says what it needs."""
    return ScopedRoute(path, endpoint, methods, scope)


def route_label(path: str) -> str:
    """The `route` label of a path template: `/loki/api/v1/label/{name}/values` is `loki_api_v1_label_name_values`.

    As dskit's server names routes: braces away, slashes to underscores, none at the ends, lower case.
    """
    return path.translate(str.maketrans("/", "_", "{}")).strip("_").lower()


def tenant_of(request: Request) -> str:
    """The tenant of a request.

    Raises:
        NoTenant: tenancy is on and the header is missing.
        BadTenant: the header is no single valid tenant name.
    """
    return tenant_named(request.headers.get(TENANT_HEADER, ""), request.app.state.gateway.settings.tenancy)


def tenants_of(request: Request) -> tuple[str, ...]:
    """The tenants that a request reads, sorted: one, or several where tenancy.several is on.

    Raises:
        NoTenant, BadTenant: as of tenant_of.
    """
    tenancy: Tenancy = request.app.state.gateway.settings.tenancy
    header = request.headers.get(TENANT_HEADER, "")
    if "|" in header and tenancy.enabled and tenancy.several:
        return tuple(sorted(check_names(header)))
    return (tenant_named(header, tenancy),)


def tenant_named(header: str, tenancy: Tenancy) -> str:
    """The tenant of a request whose X-Scope-OrgID is `header`, "" without one. Raises as `tenant_of`."""
    if not tenancy.enabled:
        return tenancy.default
    if not header:
        raise NoTenant
    return check_tenant(header)


def check_tenant(header: str) -> str:
    """The tenant a header value names.

    Raises:
        BadTenant: with Loki's text.
    """
    names = check_names(header)
    if len(names) > 1:
        raise BadTenant("multiple org IDs present")
    return names[0]


def check_names(header: str) -> list[str]:
    """The tenants a header value names, each once. Raises BadTenant."""
    names = list(dict.fromkeys(header.split("|")))
    for name in names:
        _check_name(name)
    return names


def _check_name(name: str) -> None:
    for char in name:
        if char not in _TENANT_CHARACTERS:
            raise BadTenant(f"tenant ID '{name}' contains unsupported character '{char}'")
    if len(name) > MAX_TENANT_LENGTH:
        raise BadTenant(f"tenant ID is too long: max {MAX_TENANT_LENGTH} characters")
    if name in {".", ".."}:
        raise BadTenant("tenant ID is '.' or '..'")
    if not name:
        raise NoTenant
