"""An answer that needs no body does not cost the client its connection, however late the body comes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server import running_server


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    folder: Path = tmp_path_factory.mktemp("bodies")
    with running_server(folder / "data") as server:
        url = httpx.URL(server.url)
        yield url.host, url.port or 80


@pytest.mark.parametrize("path", ["/nothing", "/loki/api/v1/status/buildinfo", "/loki/api/v1/push"])
def test_the_connection_lives_on(address: tuple[str, int], path: str) -> None:
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: weir\r\nContent-Length: 5\r\n\r\n".encode())
        if path != "/loki/api/v1/push":
            assert connection.recv(65536).startswith(b"HTTP/1.1 40")
        connection.sendall(b"hello")
        if path == "/loki/api/v1/push":
            assert connection.recv(65536).startswith(b"HTTP/1.1 40")
        connection.sendall(b"GET /ready HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n")
        rest = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"HTTP/1.1 200" in rest
    assert rest.endswith(b"ready\n")
