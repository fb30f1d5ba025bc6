"""What the HTTP doors tell the journal: lines that validation refused, and requests that failed whole."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.types import Scope as AsgiScope

from config.settings import Tenancy
from gateway.auth import (
    GRANT,
    TENANT_HEADER,
    AuthError,
    BadTenant,
    Forbidden,
    Grant,
    NoTenant,
    Scope,
    Unauthenticated,
    tenant_in,
)
from gateway.push.log_entries import Refused
from gateway.push.validate import Verdict
from gateway.rejected.journal import STREAMS_OF_ONE, TEXT, Journal, Sample, Sender

_NOTED = "weir.refusal_noted"
"""In the ASGI scope of a request whose refusal is in the journal line by line."""

_AGENT = 200
"""Characters of a User-Agent that are kept."""

REQUEST_REASONS = {
    400: "bad_request",
    401: "no_tenant",
    404: "wrong_path",
    405: "wrong_path",
    408: "too_slow",
    409: "batch_id_conflict",
    413: "too_large",
    422: "no_streams",
    429: "rate_limited",
    503: "not_stored",
}
"""Status -> reason of requests that were refused whole; any other: internal_error."""

KEY_REASONS: dict[type[Exception], str] = {Unauthenticated: "no_key", Forbidden: "key_not_for_this"}
"""Error -> reason of requests that were not let in."""

_DOORS = {"/loki/api/v1/push": "loki", "/api/prom/push": "loki", "/otlp/v1/logs": "otlp", "/log": "log"}


def note_lines(request: Request, journal: Journal, tenant: str, door: str, verdict: Verdict) -> None:
    """Notes the lines that a verdict refused, if there are any."""
    if verdict.discarded:
        request.scope[_NOTED] = True
        journal.lines(tenant, _sender(request.scope, door), verdict.discarded)


def note_entries(request: Request, journal: Journal, tenant: str, refused: tuple[Refused, ...]) -> None:
    """Notes entries of POST /log that could not be used, if there are any."""
    if refused:
        samples = [
            (Sample(f"{one.reason.field}: {one.reason}"[:TEXT], None, one.beginning, None, one.size), 1)
            for one in refused[:STREAMS_OF_ONE]
        ]
        request.scope[_NOTED] = True
        journal.entries(tenant, _sender(request.scope, "log"), "bad_field", len(refused), samples)


def note_request(
    scope: AsgiScope,
    permission: Scope,
    status: int,
    error: str,
    tenancy: Tenancy,
    journal: Journal,
    cause: Exception | None = None,
) -> None:
    """Notes a request that was answered with an error, if it tried to push and is not noted by its lines.

    A POST to no path at all tried to: agents with a wrong URL lose every line.
    """
    lost = status in (404, 405) and scope.get("method") in ("POST", "PUT") and "route" not in scope
    if (permission is not Scope.PUSH and not lost) or scope.get(_NOTED):
        return
    path = str(scope["path"])
    if lost:
        error = f"{scope['method']} {path}: {error or 'no such method there'}"
    if isinstance(cause, AuthError):  # who was not let in has no say in whose refusal it was
        grant: Grant | None = scope.get(GRANT)
        reason, tenant = KEY_REASONS[type(cause)], grant.tenant if grant is not None else ""
    else:
        reason, tenant = REQUEST_REASONS.get(status, "internal_error"), _tenant(scope, tenancy)
    journal.whole(tenant, _sender(scope, _DOORS.get(path, "http")), reason, error)


def _sender(scope: AsgiScope, door: str) -> Sender:
    client: Any = scope.get("client")
    return Sender(door, client[0] if client else "-", _header(scope, b"user-agent")[:_AGENT])


def _tenant(scope: AsgiScope, tenancy: Tenancy) -> str:
    """Whose request it was; "" where it did not say so as it should."""
    try:
        return tenant_in(scope, _header(scope, TENANT_HEADER.encode()), tenancy)
    except (NoTenant, BadTenant):
        return ""


def _header(scope: AsgiScope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
