"""Whose logs a request means: the tenant its key is for, else what Loki makes of X-Scope-OrgID (dskit's rules)."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import Scope as AsgiScope

from config.settings import Tenancy
from gateway.auth.grants import GRANT, Grant

TENANT_HEADER = "x-scope-orgid"
MAX_TENANT_LENGTH = 150
_TENANT_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!-_.*'()")


class NoTenant(Exception):  # noqa: N818 - named for what happened
    """X-Scope-OrgID is required and missing (401)."""

    def __init__(self) -> None:
        super().__init__("no org id")


class BadTenant(Exception):  # noqa: N818 - named for what happened
    """X-Scope-OrgID is no tenant's name (400)."""


def tenant_of(request: HTTPConnection) -> str:
    """The tenant of a request.

    Raises:
        NoTenant: tenancy is on and the header is missing.
        BadTenant: the header is no single valid tenant name.
    """
    header = request.headers.get(TENANT_HEADER, "")
    return tenant_in(request.scope, header, request.app.state.gateway.settings.tenancy)


def tenants_of(request: HTTPConnection) -> tuple[str, ...]:
    """The tenants that a request reads, sorted: one, or several where tenancy.several is on.

    Raises:
        NoTenant, BadTenant: as of tenant_of.
    """
    tenancy: Tenancy = request.app.state.gateway.settings.tenancy
    header = request.headers.get(TENANT_HEADER, "")
    if "|" in header and tenancy.enabled and tenancy.several and not _bound(request.scope):
        return tuple(sorted(check_names(header)))
    return (tenant_in(request.scope, header, tenancy),)


def tenant_in(scope: AsgiScope, header: str, tenancy: Tenancy) -> str:
    """The tenant of a request with an ASGI scope, whose X-Scope-OrgID is `header`. Raises as `tenant_of`."""
    return _bound(scope) or tenant_named(header, tenancy)


def _bound(scope: AsgiScope) -> str:
    """The tenant that the request's key is for; "" if it is for any, or there is none."""
    grant: Grant | None = scope.get(GRANT)
    return grant.tenant if grant is not None else ""


def tenant_named(header: str, tenancy: Tenancy) -> str:
    """The tenant that X-Scope-OrgID names, "" without one. Raises as `tenant_of`."""
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
