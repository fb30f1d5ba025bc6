"""One websocket of `tail`, and what its messages say."""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

import msgspec

from gateway.client.access import Access
from gateway.client.answers import decode
from gateway.client.connection import CONNECT_SECONDS
from gateway.client.errors import BadAnswer, BadArgument, ServerRefused, Unreachable
from gateway.client.lines import Labels, Line

if TYPE_CHECKING:
    from wsproto import WSConnection

SILENCE_SECONDS = 30.0
"""How long a server may say nothing: it pings each second."""

NORMAL = 1000
_COMES_BACK = frozenset({1001, 1005, 1006, 1012, 1013})
"""Close codes of a server that goes, of a proxy that restarts, and of no close frame at all."""

_RECEIVED = 1 << 16


class Broken(Unreachable):
    """The connection was there and is gone; the server may be back soon."""


@dataclass(frozen=True, slots=True)
class Tailed:
    """One message of a tail.

    Attributes:
        lines: by time; with structured metadata and parsed labels among their labels.
        dropped: times (ns) and labels of lines that the server did not send, as the client was too slow.
    """

    lines: list[Line]
    dropped: list[tuple[int, Labels]]


class _Dropped(msgspec.Struct):
    timestamp: str = "0"
    labels: dict[str, str] = {}


class _Categories(msgspec.Struct, rename="camel"):
    structured_metadata: dict[str, str] = {}
    parsed: dict[str, str] = {}


class _Entry(msgspec.Struct, array_like=True):
    ts: str
    line: str
    categories: _Categories | None = None


class _Stream(msgspec.Struct):
    stream: dict[str, str]
    values: list[_Entry]


class _Frame(msgspec.Struct):
    streams: list[_Stream] | None = None
    dropped_entries: list[_Dropped] | None = None


def decode_frame(text: str) -> Tailed:
    """A message of a tail.

    Raises:
        BadAnswer: it is none.
    """
    frame = decode(text.encode(), _Frame)
    lines: list[Line] = []
    try:
        for stream in frame.streams or ():
            for entry in stream.values:
                labels = stream.stream
                if entry.categories is not None:
                    labels = labels | entry.categories.structured_metadata | entry.categories.parsed
                lines.append(Line(int(entry.ts), tuple(sorted(labels.items())), entry.line))
        dropped = [(int(one.timestamp), tuple(sorted(one.labels.items()))) for one in frame.dropped_entries or ()]
    except ValueError as error:
        raise BadAnswer(f"a message of the tail holds a timestamp that is no number: {error}") from error
    return Tailed(lines, dropped)


def tail(
    addr: str, org_id: str | None, params: Sequence[tuple[str, str]], access: Access | None = None
) -> Iterator[Tailed]:
    """The messages of one tail until the server closes it in peace. The first one is empty: the server has agreed.

    Args:
        addr: the server's URL, as of `Connection`.
        org_id: the tenant, or None.
        params: of the request.
        access: keys and TLS.

    Raises:
        BadArgument: addr is no http or https URL, org_id or the key cannot be sent, or a file of TLS cannot be used.
        ServerRefused: the server's words, before the upgrade or as a close reason.
        Unreachable: no connection. Broken: it is gone.
        BadAnswer: not what a tail says.
    """
    url = _url(addr)
    access = access or Access()
    request = _request(url, org_id, params, access)
    with closing(_connected(url, access)) as connection:
        yield from _messages(_Socket(connection), request)


def _url(addr: str) -> SplitResult:
    try:
        url = urlsplit(addr)
        if url.scheme in {"http", "https"} and url.hostname and (url.port is None or url.port):
            return url
    except ValueError as error:
        raise BadArgument(f"{addr!r} is no server's address: {error}") from error
    raise BadArgument(f"{addr!r} is no server's address: give one like http://127.0.0.1:3100")


def _connected(url: SplitResult, access: Access) -> socket.socket:
    assert url.hostname is not None
    context = access.context() if url.scheme == "https" else None
    where = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    try:
        connection = socket.create_connection((url.hostname, url.port or _port(url)), CONNECT_SECONDS)
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname=url.hostname)
    except OSError as error:
        raise Unreachable(f"cannot reach {where}: {error.strerror or error}") from error
    connection.settimeout(SILENCE_SECONDS)
    return connection


def _port(url: SplitResult) -> int:
    return 443 if url.scheme == "https" else 80


def _request(url: SplitResult, org_id: str | None, params: Sequence[tuple[str, str]], access: Access) -> Any:
    from wsproto.events import Request  # noqa: PLC0415 - other commands have no use for it

    headers = [(b"User-Agent", b"weir"), (b"X-Loki-Response-Encoding-Flags", b"categorize-labels")]
    if org_id:
        try:
            headers.append((b"X-Scope-OrgID", org_id.encode("ascii")))
        except UnicodeEncodeError as error:
            raise BadArgument(f"org id {org_id!r} cannot be sent in a header: {error.reason}") from error
    own = access.headers(has_password=url.username is not None)
    headers += [(name.encode(), value.encode()) for name, value in own.items()]
    if url.username is not None:
        user = f"{unquote(url.username)}:{unquote(url.password or '')}"
        headers.append((b"Authorization", b"Basic " + b64encode(user.encode())))
    path = f"{url.path.rstrip('/')}/loki/api/v1/tail"
    target = f"{quote(path, safe='/%')}?{urlencode(params)}"
    return Request(host=url.netloc.rpartition("@")[2], target=target, extra_headers=headers)


class _Socket:
    """Bytes to and from the server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise Broken(f"the connection to the server broke: {error.strerror or error}") from error

    def receive(self) -> bytes:
        """Some bytes; none at the end."""
        try:
            return self._connection.recv(_RECEIVED)
        except TimeoutError as error:
            raise Broken(f"the server said nothing for {SILENCE_SECONDS:g} seconds") from error
        except OSError as error:
            raise Broken(f"the connection to the server broke: {error.strerror or error}") from error


def _messages(wire: _Socket, request: Any) -> Iterator[Tailed]:
    from wsproto import ConnectionType, WSConnection  # noqa: PLC0415 - as above
    from wsproto.events import AcceptConnection, CloseConnection, Ping, RejectConnection, RejectData, TextMessage  # noqa: PLC0415
    from wsproto.utilities import RemoteProtocolError  # noqa: PLC0415

    protocol = WSConnection(ConnectionType.CLIENT)
    wire.send(protocol.send(request))
    parts: list[str] = []
    refusal, said = 0, b""
    accepted = False
    try:
        while data := wire.receive():
            protocol.receive_data(data)
            for event in protocol.events():
                match event:
                    case AcceptConnection():
                        accepted = True
                        yield Tailed([], [])
                    case RejectConnection(status_code=status, has_body=has_body):
                        refusal = status
                        if not has_body:
                            raise _refused(refusal, said)
                    case RejectData(data=piece, body_finished=is_last):
                        said += piece
                        if is_last:
                            raise _refused(refusal, said)
                    case Ping():
                        wire.send(protocol.send(event.response()))
                    case TextMessage():
                        parts.append(event.data)
                        if event.message_finished:
                            text, parts = "".join(parts), []
                            yield decode_frame(text)
                    case CloseConnection():
                        with suppress(Broken):
                            wire.send(protocol.send(event.response()))
                        if event.code == NORMAL:
                            return
                        raise _closed(event.code, event.reason)
                    case _:
                        pass
    except RemoteProtocolError as error:
        raise BadAnswer(f"the server does not speak websocket: {error}") from error
    except GeneratorExit:
        _leave(wire, protocol)
        raise
    if refusal:
        raise _refused(refusal, said)
    if accepted:
        raise _closed(1006, None)
    raise Unreachable("the server closed the connection without an answer")


def _leave(wire: _Socket, protocol: WSConnection) -> None:
    """Says goodbye, if anybody listens."""
    from wsproto.events import CloseConnection  # noqa: PLC0415 - as above
    from wsproto.utilities import LocalProtocolError  # noqa: PLC0415

    with suppress(Broken, LocalProtocolError):
        wire.send(protocol.send(CloseConnection(code=NORMAL)))


def _refused(status: int, said: bytes) -> ServerRefused:
    return ServerRefused(status, said.decode("utf-8", "replace").strip())


def _closed(code: int, reason: str | None) -> Broken | ServerRefused:
    if code in _COMES_BACK:
        return Broken("the server ended the connection" + (f": {reason}" if reason else ""))
    return ServerRefused(code, reason or f"the server closed the tail with code {code}")
