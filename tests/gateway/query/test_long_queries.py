"""Queries of 100 KB in a URL, in small pieces, as proxies send them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest

from tests.server import running_server

PIECE = 1024


def ask(url: str, path: str) -> tuple[int, bytes]:
    """Sends a GET piece by piece; status and body."""
    address = urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n".encode()
    answer = b""
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request), PIECE):
            connection.sendall(request[start : start + PIECE])
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("long") / "data") as server:
        yield server.url


@pytest.mark.parametrize(
    "query",
    [
        '{app="' + "x" * 100_000 + '"}',
        '{app="a"}' + ' | x="1"' * 12_500,
        '{app=~"' + "|".join(f"v{number}" for number in range(15_000)) + '"}',
        '{app="' + "ü" * 60_000 + '"}',
    ],
    ids=["one long value", "many stages", "a long regex", "all of it escaped"],
)
def test_a_query_of_100_kb_is_answered(url: str, query: str) -> None:
    status, body = ask(url, f"/loki/api/v1/query_range?query={quote(query)}")
    assert (status, json.loads(body)["data"]["result"]) == (200, [])


def test_a_query_that_is_too_long_for_loki_is_too_long_here(url: str) -> None:
    query = '{app="' + "x" * 131_072 + '"}'
    status, body = ask(url, f"/loki/api/v1/query?query={quote(query)}")
    assert (status, body) == (400, b"parse error : input size too long (131080 > 131072)")
