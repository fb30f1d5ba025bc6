"""Pushing to a real server and reading everything back, over plain http.client."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

PAGE = 5000
"""Entries of a page, Loki's largest."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        assert self.status == 200, f"{self.status}: {self.text}"
        return json.loads(self.body)


class Connection:
    """A connection that is kept open; OSError or http.client.HTTPException when it breaks."""

    def __init__(self, url: str, seconds: float = 30) -> None:
        where = urlsplit(url)
        assert where.hostname is not None
        self._http = http.client.HTTPConnection(where.hostname, where.port, timeout=seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        self._http.request(method, path, body, dict(headers or {}))
        response = self._http.getresponse()
        return Answer(response.status, response.read(), {name.lower(): value for name, value in response.getheaders()})

    def push(self, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("POST", "/loki/api/v1/push", body, {"Content-Type": "application/json"} | dict(headers or {}))

    def get(self, path: str, **parameters: object) -> Answer:
        return self.ask("GET", f"{path}?{urlencode(parameters)}" if parameters else path)


@dataclass(frozen=True, slots=True)
class Line:
    """A line to push."""

    labels: tuple[tuple[str, str], ...]
    ts: int
    text: str


def push_body(lines: Iterable[Line]) -> bytes:
    """A Loki JSON push of the lines, in streams in order of appearance."""
    streams: dict[tuple[tuple[str, str], ...], list[list[str]]] = {}
    for line in lines:
        streams.setdefault(line.labels, []).append([str(line.ts), line.text])
    return json.dumps(
        {"streams": [{"stream": dict(labels), "values": values} for labels, values in streams.items()]}
    ).encode()


def read_lines(url: str, selector: str, start: int, end: int) -> Counter[str]:
    """Every line in start <= ts < end (ns), page by page; no two lines may have the same time."""
    found: Counter[str] = Counter()
    with Connection(url) as connection:
        while True:
            page = connection.get(
                "/loki/api/v1/query_range", query=selector, start=start, end=end, limit=PAGE, direction="forward"
            ).json
            values = [value for stream in page["data"]["result"] for value in stream["values"]]
            found.update(line for _, line in values)
            if len(values) < PAGE:
                return found
            start = max(int(ts) for ts, _ in values) + 1
