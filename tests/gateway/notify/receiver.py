"""A receiver of webhooks: a real HTTP server that keeps what is posted to it and answers what it is told to."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.server import wait_until


@dataclass(frozen=True, slots=True)
class Got:
    """One request that came."""

    path: str
    headers: Mapping[str, str]
    body: Any


class Receiver:
    """Takes every POST. `answers` are statuses of the next requests, then it is 200 for all."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.got: list[Got] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.got.append(Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/alerts/t0psecret"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def told(self) -> list[tuple[str, str]]:
        """What came, as (action, key)."""
        return [(got.body["action"], got.body["key"]) for got in tuple(self.got)]

    def waits_for(self, count: int, seconds: float = 20) -> list[tuple[str, str]]:
        """What came, once there is so much of it."""
        assert wait_until(lambda: len(self.got) >= count, seconds), self.told
        return self.told
