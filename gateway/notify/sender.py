"""Requests to one notifier over HTTP, and what their answers mean. Nothing that is said of them names a secret."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from config.notify import Notifier, PagerDuty, Webhook
from gateway.notify.posts import Post

if TYPE_CHECKING:
    import httpx

_NS_PER_SECOND = 1_000_000_000
_AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 after which the same request may be taken."""
_SHOWN = 200
"""Characters of an answer that are logged."""
_SHORTEST_SECRET = 4
"""Characters of a text from which on it is looked for: one letter would leave nothing of any sentence."""


@dataclass(frozen=True, slots=True)
class Sent:
    """It was taken."""


@dataclass(frozen=True, slots=True)
class Again:
    """It was not taken, and may be later: `after` seconds if the receiver said so."""

    reason: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """It will never be taken."""

    reason: str


class Sender:
    """One notifier's connection."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._library: Any = None
        self._client: httpx.AsyncClient | None = None
        self._secrets = _secrets(notifier)

    async def send(self, post: Post) -> Sent | Again | Rejected:
        """Sends a request. What goes wrong is an answer, not an error."""
        try:
            client = self._client or await self._open()
        except OSError as error:  # an SSLError is one
            return Again(self._said(f"its ca cannot be used: {error}"))
        try:
            answer = await client.post(post.url, json=dict(post.body), headers=dict(post.headers))
        except self._library.InvalidURL as error:
            return Rejected(self._said(f"its url is none: {error}"))
        except self._library.HTTPError as error:
            return Again(self._said(f"{type(error).__name__}: {error}".removesuffix(": ")))
        except Exception as error:  # noqa: BLE001 - what nobody foresaw (a header that is no ASCII) must not end the notifier
            return Rejected(type(error).__name__)  # its text may hold a secret
        if answer.is_success:
            return Sent()
        reason = self._said(f"status {answer.status_code}: {answer.text[:_SHOWN]}".strip().removesuffix(":"))
        if answer.status_code >= 500 or answer.status_code in _AGAIN:
            return Again(reason, _seconds(answer.headers.get("retry-after", "")))
        return Rejected(reason)

    async def _open(self) -> httpx.AsyncClient:
        self._library, client = await asyncio.to_thread(_client, self._notifier)
        self._client = client
        return client

    def _said(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    async def close(self) -> None:
        """Ends its connections."""
        if self._client is not None:
            await self._client.aclose()


def _client(notifier: Notifier) -> tuple[ModuleType, httpx.AsyncClient]:
    """The library and a client. Blocking, 0.2 s: the import, and the certificates of all authorities.

    Raises:
        OSError: the authorities that are named cannot be used.
    """
    import httpx  # noqa: PLC0415 - a server without notifiers does without it

    verify: ssl.SSLContext | bool = True
    if notifier.ca.lstrip().startswith("-----BEGIN"):
        verify = ssl.create_default_context(cadata=notifier.ca)
    elif notifier.ca:
        verify = ssl.create_default_context(cafile=str(Path(notifier.ca)))
    timeout = notifier.timeout / _NS_PER_SECOND
    return httpx, httpx.AsyncClient(verify=verify, timeout=timeout, headers={"User-Agent": "weir"})


def _secrets(notifier: Notifier) -> list[str]:
    """What must not be shown, the longest first: a whole address before its path."""
    url = notifier.url.get_secret_value()
    parts = urlsplit(url)
    found = [url, parts.path, parts.query, parts.netloc.rpartition("@")[0]]
    if isinstance(notifier, PagerDuty):
        found.append(notifier.key.get_secret_value())
    if isinstance(notifier, Webhook):
        found += [value.get_secret_value() for value in notifier.headers.values()]
    return sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)


def _seconds(header: str) -> float | None:
    """Of a Retry-After header that names seconds; its other form, a date, is passed over."""
    return float(header) if header.isascii() and header.isdigit() else None
