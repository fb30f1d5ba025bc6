"""HTTP as bytes on a socket: requests no client library would send, and answers read with care."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. Status 0: the server closed the connection without a word."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace").rstrip("\n")


NOTHING = Answer(0)


class RawConnection:
    """A connection to a server; sends what it is told, byte by byte if need be."""

    def __init__(self, url: str, seconds: float = 20) -> None:
        where = urlsplit(url)
        self._socket = socket.create_connection((where.hostname, where.port), seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file: BufferedReader = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, *pieces: bytes) -> Self:
        """Sends each piece by itself; a server that has hung up is no error, its answer may wait to be read."""
        try:
            for piece in pieces:
                self._socket.sendall(piece)
        except ConnectionError:
            pass
        return self

    def answer(self) -> Answer:
        """The next answer."""
        try:
            line = self._file.readline()
            if not line:
                return NOTHING
            status = int(line.split()[1])
            headers = {name.lower(): value for name, value in http.client.parse_headers(self._file).items()}
            if status < 200:
                return self.answer()
            return Answer(status, self._body(status, headers), headers)
        except ConnectionError:
            return NOTHING

    def _body(self, status: int, headers: Mapping[str, str]) -> bytes:
        if status in {204, 304}:
            return b""
        if headers.get("transfer-encoding") == "chunked":
            pieces = []
            while size := int(self._file.readline(), 16):
                pieces.append(self._file.read(size))
                self._file.readline()
            self._file.readline()
            return b"".join(pieces)
        return self._file.read(int(headers["content-length"])) if "content-length" in headers else self._file.read()

    def is_closed(self) -> bool:
        """Waits until the server closes; False if it says something instead. TimeoutError if it does neither."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True

    def reset(self) -> None:
        """Closes as a crashing client does: the kernel sends RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.close()

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def push_head(length: int | None, extra: Iterable[tuple[str, str]] = (), version: str = "1.1") -> bytes:
    """The head of a JSON push; `length` None leaves Content-Length out."""
    lines = [f"POST /loki/api/v1/push HTTP/{version}", "Host: weir"]
    headers = dict([("Content-Type", "application/json"), *extra])
    if length is not None:
        headers["Content-Length"] = str(length)
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def push_request(body: bytes, extra: Iterable[tuple[str, str]] = (), version: str = "1.1") -> bytes:
    """A whole push."""
    return push_head(len(body), extra, version) + body


def ask(url: str, *pieces: bytes, seconds: float = 20) -> Answer:
    """Sends the pieces on a connection of their own and takes the first answer."""
    with RawConnection(url, seconds) as connection:
        return connection.send(*pieces).answer()
