"""Batches to a server of Loki's push API, over HTTP or HTTPS.

The standard library's client and not httpx: a connection is all that is needed, and it costs 13 MB less.
"""

from __future__ import annotations

import base64
import http.client
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from uuid import UUID

from gateway.client.access import Access
from gateway.client.errors import BadArgument
from gateway.collect.delivery import Again, Conflict, Outcome, Taken, TooLarge

PATH = "/loki/api/v1/push"
_MOST_SAID = 4096
"""Bytes of an answer that are looked at."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server.

    Attributes:
        host: of it.
        port: None is the usual one.
        path: of its push API.
        headers: of every request.
        tls: None is plain HTTP.
        timeout: seconds for one answer.
    """

    host: str
    port: int | None
    path: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None
    timeout: float


def target_of(url: str, access: Access, *, tenant: str, timeout: float, agent: str) -> Target:
    """A server as people say it.

    Args:
        url: with a path prefix and `user:password@` if it has them.
        access: what is shown to it, and whom we take for it.
        tenant: X-Scope-OrgID; "" sends none.
        timeout: seconds for one answer.
        agent: how to name ourselves.

    Raises:
        BadArgument: the URL is none, what is to be shown cannot be sent, or a file cannot be used.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise BadArgument(f"{url!r} is no server's address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadArgument(f"{url!r} is no server's address: give one like http://127.0.0.1:3100")
    if not (tenant.isascii() and tenant.isprintable()):
        raise BadArgument(f"org id {tenant!r} cannot be sent in a header")
    has_password = parts.username is not None
    headers = {"Content-Type": "application/x-protobuf", "User-Agent": agent}
    headers |= access.headers(has_password=has_password)
    if tenant:
        headers["X-Scope-OrgID"] = tenant
    if has_password:
        said = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(said.encode()).decode()
    path = parts.path.rstrip("/")
    tls = access.context() if parts.scheme == "https" else None
    return Target(parts.hostname, port, path if path.endswith("/push") else path + PATH, headers, tls, timeout)


class HttpDelivery:
    """A kept-open connection to a server; for one thread."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection: http.client.HTTPConnection | None = None

    def send(self, body: bytes, batch_id: UUID) -> Outcome:
        """As Delivery."""
        was_open = self._connection is not None
        try:
            return self._send(body, batch_id)
        except (http.client.HTTPException, OSError) as error:
            self.close()
            if not was_open:
                return Again("unreachable", _said(error))
        # The server may have closed a connection on which nothing was sent for long: that is no failure of its.
        try:
            return self._send(body, batch_id)
        except (http.client.HTTPException, OSError) as error:
            self.close()
            return Again("unreachable", _said(error))

    def close(self) -> None:
        """As Delivery."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, body: bytes, batch_id: UUID) -> Outcome:
        target = self._target
        if self._connection is None:
            if target.tls is None:
                self._connection = http.client.HTTPConnection(target.host, target.port, timeout=target.timeout)
            else:
                self._connection = http.client.HTTPSConnection(
                    target.host, target.port, timeout=target.timeout, context=target.tls
                )
        headers = {**target.headers, "X-Weir-Batch-Id": str(batch_id)}
        self._connection.request("POST", target.path, body, headers)
        answer = self._connection.getresponse()
        said = answer.read(_MOST_SAID).decode("utf-8", "replace").strip()
        if answer.read():  # else the connection cannot be used again
            said += " ..."
        return outcome_of(answer.status, said, dict(answer.headers.items()))


def outcome_of(status: int, said: str, given: Mapping[str, str]) -> Outcome:
    """What an answer to a push means."""
    headers = {name.lower(): value for name, value in given.items()}
    if 200 <= status < 300:
        return Taken(deduplicated=status == 200 and '"deduplicated"' in said)
    if status == 409:
        return Conflict(said)
    if status == 413:
        return TooLarge(said)
    if status in (400, 422):
        return Taken(refused_lines(said), said)
    reason = f"status {status}: {said}" if said else f"status {status}"
    if 300 <= status < 400 and (place := headers.get("location")):
        reason = f"the server says its address is {place}"
    wait = headers.get("retry-after")
    kind = "busy" if status in (429, 503) else "refused"
    return Again(kind, reason, float(wait) if wait and wait.isdecimal() else None)


_GROUPS = re.compile(r"(\d+) errors like: ")
_IGNORED = re.compile(r"total ignored: (\d+) out of \d+")


def refused_lines(said: str) -> int:
    """How many entries the text of a 400 speaks of: Loki groups equal texts, and counts those of a stream."""
    ignored = sum(map(int, _IGNORED.findall(said)))
    return ignored or sum(map(int, _GROUPS.findall(said))) or 1


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
