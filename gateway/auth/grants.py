"""What a key lets its bearer do, and what is said to whoever it does not let."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.auth.scopes import Scope

if TYPE_CHECKING:
    from gateway.auth.routes import ScopedRoute

GRANT = "weir.grant"
"""In the ASGI scope of a request that came with a key: its Grant."""


class AuthError(Exception):
    """A request may not be answered.

    Attributes:
        reason: short, for the counter: missing, unknown, revoked, expired, scope, tenant.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Unauthenticated(AuthError):  # noqa: N818 - named for what happened
    """No key, or not one that is good (401)."""


class Forbidden(AuthError):  # noqa: N818 - named for what happened
    """A good key that is not for this (403)."""


class KeysNotRead(Exception):  # noqa: N818 - a state, not a mistake: the caller is to come back later
    """The keys are not read yet: the server is starting (503)."""

    def __init__(self) -> None:
        super().__init__("not ready: the keys are not read yet")


@dataclass(frozen=True, slots=True)
class Grant:
    """What one secret of a key is good for.

    Attributes:
        key: id of the key.
        scopes: what it may do.
        tenant: whose logs it is for; "": any.
        until: ns, from when it is good no more; 0: never.
        secret: SHA-256 of it.
    """

    key: str
    scopes: frozenset[Scope]
    tenant: str
    until: int
    secret: bytes

    def allows(self, scope: Scope) -> bool:
        """Whether what needs `scope` may be done."""
        if scope is Scope.STATUS:
            return Scope.QUERY in self.scopes or Scope.ADMIN in self.scopes
        return scope is Scope.OPEN or scope in self.scopes

    def check(self, route: ScopedRoute) -> None:
        """Raises Forbidden if a route is not for this key."""
        if not self.allows(route.permission):
            needed = "query or admin" if route.permission is Scope.STATUS else route.permission.value
            has = ", ".join(sorted(self.scopes)) or "no scope"
            raise Forbidden("scope", f"this needs a key with the scope {needed}; the key {self.key} has {has}")
        if self.tenant and not route.by_tenant:
            text = f"this is about the whole server; the key {self.key} is for the tenant {self.tenant} alone"
            raise Forbidden("tenant", text)

    def check_tenant(self, named: str) -> None:
        """Raises Forbidden if a request names another tenant (X-Scope-OrgID) than the key is for."""
        if self.tenant and named != self.tenant:
            text = f"the key {self.key} is for the tenant {self.tenant}, not for what X-Scope-OrgID names"
            raise Forbidden("tenant", text)
