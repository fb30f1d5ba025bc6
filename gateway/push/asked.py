"""What the head of a push request says, for doors that have no more in it than a sender."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from config.limits import Limits
from gateway.auth import TENANT_HEADER, tenant_in
from gateway.push.bodies import length_said
from gateway.push.counting import Sender
from gateway.state import Gateway

_TENANT = TENANT_HEADER.encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """Who, in what, and the tenant's limits; `length` in bytes, 0 if not said."""

    sender: Sender
    limits: Limits
    length: int


def read_head(request: Request, gateway: Gateway, door: str, media_of: Callable[[str], str]) -> Asked:
    """The head of a request to a door; `media_of` makes the media type of the Content-Type header.

    Raises:
        NoTenant, BadTenant: X-Scope-OrgID.
    """
    # Of a header given twice the first counts, as for Go.
    headers = {name: value.decode("latin-1") for name, value in reversed(request.scope["headers"])}
    sender = Sender(
        tenant=tenant_in(request.scope, headers.get(_TENANT, ""), gateway.settings.tenancy),
        user_agent=headers.get(b"user-agent", ""),
        media=media_of(headers.get(b"content-type", "")),
        encoding=headers.get(b"content-encoding", ""),
        format=door,
    )
    return Asked(sender, gateway.settings.limits_for(sender.tenant), length_said(headers.get(b"content-length", "")))
