"""Whether a request may be answered, by its key. Asked for every request while auth.enabled is on: it must be cheap."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable

from starlette.types import Scope as AsgiScope

from gateway.auth.credentials import key_in
from gateway.auth.grants import GRANT, AuthError, Grant, KeysNotRead, Unauthenticated
from gateway.auth.ring import KeyRing
from gateway.auth.routes import ScopedRoute
from gateway.auth.tenants import TENANT_HEADER

REMEMBERED = 4096
"""Header values of good keys that are remembered; a server has few, senders of one key share theirs."""

_API_KEY = b"x-api-key"
_AUTHORIZATION = b"authorization"
_TENANT = TENANT_HEADER.encode()
_MISSING = (
    "this needs a key: as a Bearer token, as the password of basic auth, or in the header X-API-Key "
    "(weir keys create makes one)"
)


class Gate:
    """The keys in force and whom they let in. Used on the event loop's thread alone.

    Attributes:
        failures: requests and connections that were not let in, by door and reason.
        is_good: whether the last reading of the keys worked.
    """

    def __init__(self) -> None:
        self.failures: Tally[tuple[str, str]] = Tally()
        self.is_good = True
        self._ring: KeyRing | None = None
        self._bearers: dict[bytes, Grant] = {}
        self._api_keys: dict[bytes, Grant] = {}

    @property
    def ring(self) -> KeyRing:
        """The keys in force. Raises KeysNotRead."""
        if self._ring is None:
            raise KeysNotRead
        return self._ring

    @property
    def is_open(self) -> bool:
        """Whether keys were read."""
        return self._ring is not None

    def use(self, ring: KeyRing) -> None:
        """Puts other keys in force."""
        self._ring = ring
        self._bearers, self._api_keys = {}, {}

    def admit(self, scope: AsgiScope, route: ScopedRoute | None) -> None:
        """Lets a request in: leaves the Grant of its key in the ASGI scope.

        Args:
            scope: of the request.
            route: that is to answer it; None where it is not found yet, or there is none.

        Raises:
            Unauthenticated, Forbidden: it is not let in.
            KeysNotRead: nobody can say yet.
        """
        try:
            grant = scope[GRANT] = self._grant(scope)
            if route is not None:
                grant.check(route)
        except AuthError as error:
            self.failures["http", error.reason] += 1
            raise

    def check(self, scope: AsgiScope, route: ScopedRoute) -> None:
        """Raises Forbidden if a request that was let in is not for a route."""
        try:
            scope[GRANT].check(route)
        except AuthError as error:
            self.failures["http", error.reason] += 1
            raise

    def _grant(self, scope: AsgiScope) -> Grant:
        api_key = authorization = None
        named = []
        for name, value in scope["headers"]:
            if name == _AUTHORIZATION and authorization is None:
                authorization = value
            elif name == _API_KEY and api_key is None:
                api_key = value
            elif name == _TENANT:
                named.append(value)
        if api_key is not None:
            grant = self._known(self._api_keys, api_key, bytes)
        else:
            grant = self._known(self._bearers, authorization or b"", key_in)
        if grant.tenant:
            for value in named:
                grant.check_tenant(value.decode("latin-1"))
        return grant

    def _known(self, known: dict[bytes, Grant], value: bytes, read: Callable[[bytes], bytes]) -> Grant:
        """The Grant of the key in a header value.

        Only good keys are remembered, by the whole value. Looking one up tells nothing by the time it takes: a dict
        compares bytes where their hashes under a secret seed are equal, and only then.
        """
        now = time.time_ns()
        grant = known.get(value)
        if grant is not None and (not grant.until or now < grant.until):
            return grant
        ring = self.ring
        key = read(value)
        if not key:
            raise Unauthenticated("missing", _MISSING)
        if len(known) >= REMEMBERED:
            known.clear()
        grant = known[value] = ring.find(key, now)
        return grant
