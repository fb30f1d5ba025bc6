"""Requests that real clients send, as tables: number, request, what must come back.

Numbers are those of one catalogue of client behaviour (Grafana, Logs Drilldown, logcli, push agents), so that the files
of this folder can be told to be complete.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlencode

import httpx

SECOND = 10**9
MINUTE = 60 * SECOND
BASE = time.time_ns() // MINUTE * MINUTE - 40 * MINUTE
"""The first moment of the data: a whole minute, recent enough for every default."""
WINDOW = {"start": str(BASE), "end": str(BASE + 30 * MINUTE)}
FLAGS = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
DRILLDOWN = {"X-Query-Tags": "Source=grafana-lokiexplore-app"}
RANGE, INSTANT = "/loki/api/v1/query_range", "/loki/api/v1/query"

Check: TypeAlias = Callable[[httpx.Response], None]


@dataclass(frozen=True, slots=True)
class ClientCase:
    """One request and the check of its answer.

    Attributes:
        number: in the catalogue.
        params: of the URL, or of the form if the method is POST.
    """

    number: int
    path: str
    params: Mapping[str, str | Sequence[str]]
    check: Check
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.number}"

    def ask(self, client: httpx.Client) -> httpx.Response:
        """Sends the request."""
        # A path that begins with two slashes would name a host, were it not joined to one here.
        url = str(client.base_url).rstrip("/") + self.path
        if self.method == "POST":
            return client.post(url, data=dict(self.params), headers=self.headers)
        query = f"?{urlencode(self.params, doseq=True)}" if self.params else ""
        return client.request(self.method, url + query, headers=self.headers)


def query(number: int, text: str, check: Check, /, *, path: str = RANGE, **more: Any) -> ClientCase:
    """A query over the window of the data; `more` are parameters, `headers` or `method`."""
    how = {name: more.pop(name) for name in ("headers", "method") if name in more}
    window = {"time": WINDOW["end"]} if path == INSTANT else WINDOW
    return ClientCase(number, path, {"query": text, **window, **more}, check, **how)


def web() -> list[tuple[int, str, dict[str, str]]]:
    """JSON lines of {app="web",env="prod"}, 20 s apart, with metadata."""
    return [
        (
            BASE + n * 20 * SECOND,
            json.dumps({"level": "error" if n % 5 == 0 else "info", "status": 200 + n, "nested": {"a": f"x{n % 2}"}}),
            {"trace_id": f"t{n}"},
        )
        for n in range(30)
    ]


def streams() -> list[dict[str, Any]]:
    """All of the data, as a push."""
    logfmt = 'level=warn duration=1.5s bytes=2KB n=7 amount=2.5 msg="took {n}"'
    many = [
        {"stream": {"app": "many", "n": str(n)}, "values": [[str(BASE + n * SECOND), f"one {n}"]]} for n in range(600)
    ]
    return [
        {"stream": {"app": "web", "env": "prod"}, "values": [[str(ts), line, more] for ts, line, more in web()]},
        {
            "stream": {"app": "pb", "env": "dev", "job": "pb"},
            "values": [[str(BASE + n * MINUTE), logfmt.format(n=n)] for n in range(10)],
        },
        {
            "stream": {"app": "text", "env": "dev"},
            "values": [[str(BASE + n * MINUTE), f"plain words {n} size=many"] for n in range(5)],
        },
        *many,
    ]


def status(code: int) -> Check:
    """Any body with this status."""

    def check(answer: httpx.Response) -> None:
        assert answer.status_code == code, answer.text

    return check


def refused(text: str, *, how: str = "is") -> Check:
    """400 as plain text; `how` the text compares: is, starts, holds."""

    def check(answer: httpx.Response) -> None:
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        found = {"is": answer.text == text, "starts": answer.text.startswith(text), "holds": text in answer.text}
        assert found[how], answer.text

    return check


def data_of(answer: httpx.Response) -> dict[str, Any]:
    """`data` of a successful query; its keys in the order in which they came."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "success"
    assert isinstance(body["data"]["stats"]["summary"]["execTime"], int | float)
    data: dict[str, Any] = body["data"]
    return data


def lines_of(answer: httpx.Response) -> list[str]:
    """Lines of an answer of streams, stream after stream."""
    data = data_of(answer)
    assert data["resultType"] == "streams"
    return [value[1] for stream in data["result"] for value in stream["values"]]


def lines(*expected: str) -> Check:
    """These lines, in this order."""

    def check(answer: httpx.Response) -> None:
        assert lines_of(answer) == list(expected), answer.text

    return check


def matrix(answer: httpx.Response) -> list[dict[str, Any]]:
    """Series of a range query."""
    data = data_of(answer)
    assert data["resultType"] == "matrix"
    assert "encodingFlags" not in data
    result: list[dict[str, Any]] = data["result"]
    return result


def values(expected: Iterable[str]) -> Check:
    """A matrix of one series with these values."""

    def check(answer: httpx.Response) -> None:
        [series] = matrix(answer)
        assert [value for _, value in series["values"]] == list(expected), answer.text

    return check


def vector_value(expected: str) -> Check:
    """A vector of one sample with this value."""

    def check(answer: httpx.Response) -> None:
        data = data_of(answer)
        assert data["resultType"] == "vector"
        [sample] = data["result"]
        assert sample["value"][1] == expected, answer.text

    return check


def names(*expected: str) -> Check:
    """Labels or values: these; none is an answer without `data` or with an empty one."""

    def check(answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body.pop("status") == "success"
        assert body.pop("data", []) == list(expected)
        assert body == {}

    return check
