"""A tiny HTTP server that says what a test tells it to, for peers that answer badly or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the server saw it: the path still percent-encoded, each parameter with all its values."""

    path: str
    params: dict[str, list[str]]
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """One answer; `promised` is a Content-Length that the body does not keep: the connection then breaks off."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None


@dataclass
class Canned:
    """The server while it runs."""

    url: str
    asked: list[Asked]


@contextmanager
def canned_server(answer: Callable[[Asked], Told]) -> Iterator[Canned]:
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            request = Asked(url.path, parse_qs(url.query), dict(self.headers.items()))
            asked.append(request)
            told = answer(request)
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.body) if told.promised is None else told.promised))
            # A client that gave up waiting is what some tests are about.
            with suppress(ConnectionError):
                self.end_headers()
                self.wfile.write(told.body)
            self.close_connection = told.promised is not None

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Canned(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def streams_body(
    streams: list[tuple[dict[str, str], list[tuple[int, str]]]], *, warnings: list[str] | None = None
) -> bytes:
    """A log query's answer."""
    result = [{"stream": labels, "values": [[str(ts), line] for ts, line in values]} for labels, values in streams]
    answer: dict[str, Any] = {"status": "success", "data": {"resultType": "streams", "result": result, "stats": {}}}
    if warnings is not None:
        answer["warnings"] = warnings
    return json.dumps(answer).encode()
