"""A destination that knows no header of Weir's: a real HTTP server that answers as Loki does, or as it is told."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from config.limits import Limits
from gateway.push.decode import decode_push
from storage.batch import Labels
from storage.rows import metadata_pairs

Entry = tuple[Labels, int, bytes, tuple[tuple[str, bytes], ...]]
"""Labels, ns, line, metadata."""


@dataclass(frozen=True)
class Answer:
    """What is done with one push.

    Attributes:
        status: 0: the connection is reset, the push unread or not.
        taken: whether its entries are kept all the same.
        seconds: before the answer.
    """

    status: int = 204
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    taken: bool | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Pushed:
    """One push that came, and what it was answered."""

    path: str
    headers: Mapping[str, str]
    entries: tuple[Entry, ...]
    status: int

    @property
    def id(self) -> str:
        return self.headers["x-weir-batch-id"]


class Recorder:
    """A context manager; `answers` are used up one by one, then `otherwise` holds."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.otherwise = Answer()
        self.pushes: list[Pushed] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def entries(self) -> list[Entry]:
        """Of all pushes that were taken, in the order in which they came."""
        with self._lock:
            return [entry for push in self.pushes if 200 <= push.status < 300 for entry in push.entries]

    @property
    def lines(self) -> list[str]:
        return [line.decode() for _, _, line, _ in self.entries]

    def _take(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        entries = tuple(entries_of(headers, body))
        with self._lock:
            answer = self.answers.popleft() if self.answers else self.otherwise
            status = 200 if answer.taken else answer.status
            self.pushes.append(Pushed(path, headers, entries, status))
        self._ended.wait(answer.seconds)
        return answer

    def _handler(recorder) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = recorder._take(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                if not answer.status:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    if answer.status != 204:
                        self.send_header("Content-Length", str(len(answer.text)))
                    self.end_headers()
                    self.wfile.write(answer.text.encode())
                except OSError:
                    self.close_connection = True  # the sender has not waited

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def entries_of(headers: Mapping[str, str], body: bytes) -> list[Entry]:
    """The entries of a push, as the push door reads them."""
    batch = decode_push(body, headers.get("content-type"), headers.get("content-encoding", ""), False, Limits())
    row, key, names, values = metadata_pairs(batch)
    own: list[list[tuple[str, bytes]]] = [[] for _ in range(len(batch))]
    for place, number, value in zip(row.tolist(), key.tolist(), values.tolist(), strict=True):
        own[place].append((names[number], value))
    rows = zip(batch.stream.tolist(), batch.ts.tolist(), batch.lines.tolist(), own, strict=True)
    return [(batch.streams[stream], ts, line, tuple(sorted(metadata))) for stream, ts, line, metadata in rows]
