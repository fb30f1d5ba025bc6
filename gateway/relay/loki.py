"""The sink that pushes to a Loki, or to another Weir: POST /loki/api/v1/push.

Nothing beyond Loki's own API is asked of the destination. A Weir knows the batch by X-Weir-Batch-Id and stores it once;
any other passes over the headers that begin so.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx

from gateway.relay.encode import Body, Compression, encode
from gateway.relay.sink import Archived, Conflict, Failed, Outcome, Outgoing, Refused
from gateway.relay.tls import client_context

PUSH_PATH = "/loki/api/v1/push"
CONNECT_SECONDS = 10.0
INLINE_BYTES = 64 << 10
"""Bytes of lines up to which a body is made on the event loop: a third of a millisecond."""
_TRY_AGAIN = frozenset((401, 402, 403, 404, 405, 407, 408, 421, 423, 425, 429, 431))
"""4xx that are about the sender, the address or the moment, and not about what was sent."""
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class LokiOptions:
    """Where to push and how.

    Attributes:
        url: of the push endpoint, perhaps with user:password@; PUSH_PATH is added where it has no path.
        api_key: Bearer token; empty: none.
        compression: gzip or none: JSON; snappy: protobuf.
        timeout: ns for one push, from its first byte to its answer.
        instance: how this server calls itself.
        says_tenant: send X-Scope-OrgID.
        ca, client_cert, client_key, insecure_skip_verify: as of `client_context`.
    """

    url: str
    api_key: str = ""
    compression: Compression = "gzip"
    timeout: int = 60_000_000_000
    instance: str = ""
    says_tenant: bool = False
    ca: str = ""
    client_cert: str = ""
    client_key: str = ""
    insecure_skip_verify: bool = False


class LokiSink:
    """A gateway.relay.sink.Sink."""

    kind = "loki"

    def __init__(self, options: LokiOptions, path: Callable[[], str], user_agent: str = "weir") -> None:
        """`path`: gives X-Weir-Path.

        Raises:
            OSError, ssl.SSLError: certificates.
        """
        url = httpx.URL(options.url)
        if url.path in ("", "/"):
            url = url.copy_with(path=PUSH_PATH)
        self.destination = str(url.copy_with(username=None, password=None))
        self._options = options
        self._path = path
        self._url = self.destination
        self._headers = {
            "User-Agent": user_agent,
            "X-Weir-Instance": quote(options.instance, safe=" !#$&'()*+,/:;=?@[]~"),
        }
        if options.api_key:
            self._headers["Authorization"] = f"Bearer {options.api_key}"
        auth = httpx.BasicAuth(url.username, url.password) if url.username or url.password else None
        verify: ssl.SSLContext | bool = False  # plain HTTP, whose redirects are not followed
        if url.scheme == "https":
            verify = client_context(
                options.ca,
                options.client_cert,
                options.client_key,
                insecure_skip_verify=options.insecure_skip_verify,
            )
        self._client = httpx.AsyncClient(
            auth=None if options.api_key else auth,
            verify=verify,
            timeout=httpx.Timeout(options.timeout / 1e9, connect=min(CONNECT_SECONDS, options.timeout / 1e9)),
            limits=httpx.Limits(max_connections=1, keepalive_expiry=120.0),
        )

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Pushes a batch."""
        body = await self._body(outgoing)
        headers = self._headers | body.headers
        headers["X-Weir-Batch-Id"] = str(outgoing.uuid)
        headers["X-Weir-Path"] = self._path()
        if self._options.says_tenant:
            headers["X-Scope-OrgID"] = outgoing.tenant
        try:
            async with asyncio.timeout(self._options.timeout / 1e9):
                answer = await self._client.post(self._url, content=body.content, headers=headers)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout):
            return Failed(f"no answer from {self.destination} within {self._options.timeout / 1e9:g} s", too_slow=True)
        except httpx.HTTPError as error:
            return Failed(f"{self.destination}: {str(error) or type(error).__name__}")
        return outcome_of(answer.status_code, answer.text, answer.headers.get("Retry-After"))

    async def _body(self, outgoing: Outgoing) -> Body:
        if outgoing.batch.lines.nbytes <= INLINE_BYTES:
            return encode(outgoing.batch, self._options.compression)
        return await asyncio.to_thread(encode, outgoing.batch, self._options.compression)

    async def close(self) -> None:
        """Closes its connection."""
        await self._client.aclose()


def outcome_of(status: int, text: str, retry_after: str | None) -> Outcome:
    """What an answer means for the batch.

    What Loki refuses with 400 it would refuse again (an entry too old, a label that is none), and it has stored the
    entries of the push that were good. Keys, rates and addresses are somebody's to set right: the batch waits.
    """
    if 200 <= status < 300:
        return Archived(deduplicated=_says_deduplicated(text))
    said = " ".join(text.split())[:_LONGEST_REASON]
    reason = f"HTTP {status}" + (f": {said}" if said else "")
    if status == 409:
        return Conflict(reason)
    if 400 <= status < 500 and status not in _TRY_AGAIN:
        return Refused(reason, too_large=status == 413)
    return Failed(reason, retry_after=_seconds(retry_after))


def _says_deduplicated(text: str) -> bool:
    if "deduplicated" not in text:
        return False
    try:
        said = json.loads(text)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("deduplicated") is True


def _seconds(retry_after: str | None) -> float | None:
    """Seconds that Retry-After names, as a number or as a date (RFC 9110 10.2.3)."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
