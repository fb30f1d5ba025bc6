"""One server, and requests to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gateway.client.access import Access
from gateway.client.errors import BadAnswer, BadArgument, ServerRefused, Unreachable

if TYPE_CHECKING:
    import ssl

    import httpx

CONNECT_SECONDS = 10.0

READ_SECONDS = 330.0
"""How long a server may be silent. Longer than Loki's default query_timeout (5 minutes), so that a slow query ends
with the server's own words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; names of headers in any case."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a POST: the status, the answer's text if that is outside 2xx, headers with names in any case."""

    status: int
    text: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Incoming:
    """An answer that is coming; names of headers in any case."""

    chunks: Iterator[bytes]
    headers: Mapping[str, str]


class Connection:
    """A kept-open connection to one server; a context manager.

    Args:
        addr: the server's URL, with a path prefix and `user:password@` if it has them.
        org_id: the tenant, sent as X-Scope-OrgID; None sends none.
        user_agent: how to name ourselves.
        read_seconds: the longest silence before a request is given up.
        access: keys and TLS.

    Raises:
        BadArgument: addr is no http or https URL, org_id or the key cannot be sent, or a file of TLS cannot be used.
    """

    def __init__(
        self,
        addr: str,
        org_id: str | None,
        *,
        user_agent: str = "weir",
        read_seconds: float = READ_SECONDS,
        access: Access | None = None,
    ) -> None:
        import httpx  # noqa: PLC0415 - a third of a command's start-up: only paid when a request is made

        self._httpx = httpx
        self.addr = addr
        headers = {"User-Agent": user_agent, "Accept": "application/json"}
        if org_id:
            headers["X-Scope-OrgID"] = org_id
        access = access or Access()
        try:
            url = httpx.URL(addr)
            if url.scheme not in {"http", "https"} or not url.host:
                raise BadArgument(f"{addr!r} is no server's address: give one like http://127.0.0.1:3100")
            headers |= access.headers(has_password=bool(url.userinfo))
            verify: ssl.SSLContext | bool = url.scheme == "https"
            if verify and access.has_tls:
                verify = access.context()
            self._client = httpx.Client(
                base_url=url,
                headers=headers,
                # Loading the certificate store takes longer than a request, and plain http (whose redirects are not
                # followed) has no use for it.
                verify=verify,
                timeout=httpx.Timeout(read_seconds, connect=CONNECT_SECONDS),
            )
        except httpx.InvalidURL as error:
            raise BadArgument(f"{addr!r} is no server's address: {error}") from error
        except OSError as error:
            raise BadArgument(f"the certificate store cannot be loaded: {error}") from error
        except UnicodeEncodeError as error:
            raise BadArgument(f"org id {org_id!r} cannot be sent in a header: {error.reason}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the socket back."""
        self._client.close()

    def get(self, path: str, params: Sequence[tuple[str, str]]) -> bytes:
        """The body of the 2xx answer to a GET; arguments and errors as of `send`."""
        return self.send("GET", path, params).body

    def send(self, method: str, path: str, params: Sequence[tuple[str, str]]) -> Answer:
        """A 2xx answer, decompressed.

        Args:
            method: of the request, which has no body.
            path: below the address, already percent-encoded.
            params: the query string, sent in this order.

        Raises:
            ServerRefused: another status; redirects are not followed but named.
            Unreachable: no whole answer came.
            BadAnswer: the body does not decompress.
        """
        try:
            response = self._client.request(method, path, params=list(params))
        except self._httpx.TimeoutException as error:
            raise Unreachable(f"{self._where()} did not answer in time") from error
        except self._httpx.DecodingError as error:
            raise BadAnswer(f"the answer's content encoding is broken: {error}") from error
        except self._httpx.TransportError as error:
            raise Unreachable(f"cannot reach {self._where()}: {error}") from error
        if response.is_success:
            return Answer(response.content, response.headers)
        raise ServerRefused(response.status_code, _refusal(response))

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """The answer to a POST with a body, whatever its status; may be called by several threads at once.

        Raises:
            Unreachable: no whole answer came.
        """
        try:
            response = self._client.post(path, content=body, headers=dict(headers))
        except self._httpx.TimeoutException as error:
            raise Unreachable(f"{self._where()} did not answer in time") from error
        except (self._httpx.TransportError, self._httpx.DecodingError) as error:
            raise Unreachable(f"cannot reach {self._where()}: {error}") from error
        return Posted(response.status_code, "" if response.is_success else _refusal(response), response.headers)

    @contextmanager
    def stream(self, path: str, params: Sequence[tuple[str, str]]) -> Iterator[Incoming]:
        """A 2xx answer to a GET, taken as it comes; arguments and errors as of `send`.

        It is not compressed. What comes after it has begun raises the same errors.
        """
        try:
            asked = self._client.stream("GET", path, params=list(params), headers={"Accept-Encoding": "identity"})
            with asked as response:
                if not response.is_success:
                    response.read()
                    raise ServerRefused(response.status_code, _refusal(response))
                yield Incoming(response.iter_raw(), response.headers)
        except self._httpx.TimeoutException as error:
            raise Unreachable(f"{self._where()} did not answer in time") from error
        except self._httpx.TransportError as error:
            raise Unreachable(f"the connection to {self._where()} broke: {error}") from error

    def _where(self) -> str:
        """The address without its password."""
        return str(self._client.base_url.copy_with(userinfo=b"")).rstrip("/")


def _refusal(response: httpx.Response) -> str:
    target = response.headers.get("Location")
    if response.is_redirect and target:
        return f"the server says its address is {target}"
    return response.content.decode("utf-8", "replace").strip()
