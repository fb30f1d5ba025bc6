"""Who is asking and what a route lets them do."""

from __future__ import annotations

from gateway.auth.gate import Gate
from gateway.auth.grants import GRANT, AuthError, Forbidden, Grant, KeysNotRead, Unauthenticated
from gateway.auth.muffled import Muffled
from gateway.auth.ring import KeyRing
from gateway.auth.routes import Endpoint, ScopedRoute, SocketEndpoint, SocketRoute, route, route_label
from gateway.auth.scopes import GRANTED, Scope
from gateway.auth.tenants import (
    MAX_TENANT_LENGTH,
    TENANT_HEADER,
    BadTenant,
    NoTenant,
    check_names,
    check_tenant,
    tenant_in,
    tenant_named,
    tenant_of,
    tenants_of,
)

__all__ = [
    "GRANT",
    "GRANTED",
    "MAX_TENANT_LENGTH",
    "TENANT_HEADER",
    "AuthError",
    "BadTenant",
    "Endpoint",
    "Forbidden",
    "Gate",
    "Grant",
    "KeyRing",
    "KeysNotRead",
    "Muffled",
    "NoTenant",
    "Scope",
    "ScopedRoute",
    "SocketEndpoint",
    "SocketRoute",
    "Unauthenticated",
    "check_names",
    "check_tenant",
    "route",
    "route_label",
    "tenant_in",
    "tenant_named",
    "tenant_of",
    "tenants_of",
]
