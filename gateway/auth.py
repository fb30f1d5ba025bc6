"""Who is asking and what a route lets them do.

Every route carries a scope; a route without one is a mistake a test finds. For now authentication has one mode, off:
scopes are carried, nothing is refused. The tenant is what Loki makes of X-Scope-OrgID (dskit's rules).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import Scope as AsgiScope

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
    """A Starlette route that carries a scope and leaves itself in the ASGI scope for metrics and error bodies."""

    def __init__(self, path: str, endpoint: Callable[..., Any], methods: Collection[str], scope: Scope) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        # Starlette lets GET stand for HEAD too; Loki refuses HEAD (conformance http_misc-019).
        self.methods = set(methods)
        self.permission = scope
        self.label = route_label(path)

    def matches(self, scope: AsgiScope) -> tuple[Match, AsgiScope]:
        """As Starlette, plus the route itself under "route"."""
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child


def route(path: str, endpoint: Callable[..., Any], methods: Collection[str], scope: Scope) -> ScopedRoute:
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
    tenancy = request.app.state.gateway.settings.tenancy
    if not tenancy.enabled:
        return str(tenancy.default)
    header = request.headers.get(TENANT_HEADER, "")
    if not header:
        raise NoTenant
    return check_tenant(header)


def check_tenant(header: str) -> str:
    """The tenant a header value names.

    Raises:
        BadTenant: with Loki's text.
    """
    names = list(dict.fromkeys(header.split("|")))
    for name in names:
        _check_name(name)
    if len(names) > 1:
        raise BadTenant("multiple org IDs present")
    return names[0]


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
