"""Queries as Grafana, Logs Drilldown and logcli send them."""

from __future__ import annotations

import datetime as dt
import socket
from urllib.parse import urlencode

import httpx
import pytest

from tests.gateway.clients_cases.cases import (
    BASE,
    DRILLDOWN,
    FLAGS,
    INSTANT,
    MINUTE,
    RANGE,
    SECOND,
    WINDOW,
    Check,
    ClientCase,
    data_of,
    lines,
    lines_of,
    matrix,
    query,
    refused,
    status,
    values,
    vector_value,
    web,
)

WEB = [line for _, line, _ in web()]
INDEX_LABELS = {"app": "web", "env": "prod", "service_name": "web"}


def health(answer: httpx.Response) -> None:
    data = data_of(answer)
    assert "encodingFlags" not in data
    assert data["resultType"] == "vector"
    assert data["result"] == [{"metric": {}, "value": [4_000_000_000, "2"]}]


def scalar(answer: httpx.Response) -> None:
    data = data_of(answer)
    assert (data["resultType"], data["result"]) == ("scalar", [BASE // 10**6, "2"])


def categorized(answer: httpx.Response) -> None:
    data = data_of(answer)
    # Grafana reads `result` the moment it comes and has to have seen the flags.
    assert list(data) == ["resultType", "encodingFlags", "result", "stats"]
    assert data["encodingFlags"] == ["categorize-labels"]
    [stream] = data["result"]
    assert list(stream) == ["stream", "values"]
    assert stream["stream"] == INDEX_LABELS
    assert [(ts, line, more["structuredMetadata"]["trace_id"]) for ts, line, more in stream["values"]] == [
        (str(ts), line, metadata["trace_id"]) for ts, line, metadata in web()[:-4:-1]
    ]


def parsed(answer: httpx.Response) -> None:
    [stream] = data_of(answer)["result"]
    assert stream["stream"] == INDEX_LABELS
    newest = stream["values"][0][2]
    assert newest == {
        "structuredMetadata": {"trace_id": "t29", "detected_level": "info"},
        "parsed": {"level": "info", "status": "229", "nested_a": "x1"},
    }


def merged(answer: httpx.Response) -> None:
    data = data_of(answer)
    assert list(data) == ["resultType", "result", "stats"]
    newest = {"trace_id": "t29", "detected_level": "info", "level": "info", "status": "229", "nested_a": "x1"}
    assert {**INDEX_LABELS, **newest} in [stream["stream"] for stream in data["result"]]
    assert len(data["result"]) == 3
    assert all(len(value) == 2 for stream in data["result"] for value in stream["values"])


def nothing(answer: httpx.Response) -> None:
    data = data_of(answer)
    assert (data["resultType"], data["encodingFlags"], data["result"]) == ("streams", ["categorize-labels"], [])


def no_flags(answer: httpx.Response) -> None:
    assert matrix(answer)


def histogram(answer: httpx.Response) -> None:
    series = matrix(answer)
    counts = {
        tuple(one["metric"].items()): sum(int(value) for _, value in one["values"])
        for one in series
        if all(ts % 60 == 0 for ts, _ in one["values"])
    }
    assert counts == {
        (("detected_level", "error"),): 6,
        (("detected_level", "info"),): 24,
        (("detected_level", "unknown"),): 5,
        (("detected_level", "warn"),): 10,
    }


def first_at(expected: int) -> Check:
    """The first sample is at this time, in seconds."""

    def check(answer: httpx.Response) -> None:
        assert matrix(answer)[0]["values"][0][0] == expected

    return check


def partial(answer: httpx.Response) -> None:
    assert len(matrix(answer)) == 500
    [warning] = answer.json()["warnings"]
    assert warning == "maximum number of series (500) reached for a single query; returning partial results"


def count(expected: int) -> Check:
    def check(answer: httpx.Response) -> None:
        assert len(lines_of(answer)) == expected

    return check


def at(**times: int | str) -> dict[str, str]:
    return {name: str(value) for name, value in times.items()}


def rfc3339(ns: int) -> str:
    moment = dt.datetime.fromtimestamp(ns // SECOND, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns // 10**6 % 1000:03}Z"


FIRST = BASE + 810 * 10**6
"""A moment with milliseconds between the first line and the second."""
METRIC = 'sum(count_over_time({app="web"}[1m]))'
HISTOGRAM = 'sum by (level, detected_level) (count_over_time({app=~"web|pb|text"} | drop __error__[60000ms]))'
LATER = str(BASE + 30 * MINUTE)
MANY = 'sum by (n) (count_over_time({app="many"}[1h]))'
TOO_MANY = "maximum number of series (500) reached for a single query; "
NO_RESOLUTION = "zero or negative query resolution step widths are not accepted. Try a positive integer"
TOO_FINE = (
    "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter"
)
NO_END = "end timestamp must not be before or equal to start time"
TOO_LONG = "the query time range exceeds the limit (query length: 744h0m0s, limit: 30d1h)"
NO_MATCHER = "parse error : queries require at least one regexp or equality matcher"
NO_LOGS = "log queries are not supported as an instant query type, please change your query to a range query type"

CASES = [
    ClientCase(
        1,
        INSTANT,
        {"direction": "backward", "query": "vector(1)+vector(1)", "time": "4000000000"},
        health,
        headers=FLAGS,
    ),
    ClientCase(2, INSTANT, {"query": "1+1", "time": str(BASE)}, scalar),
    query(3, '{app="web"}', categorized, limit="3", direction="backward", step="15000ms", headers=FLAGS),
    query(4, '{app="web"} | json', parsed, headers=FLAGS),
    query(5, '{app="web"} | json', merged, limit="3"),
    query(6, '{app="nothing"}', nothing, headers=FLAGS),
    query(7, METRIC, no_flags, step="60000ms", headers=FLAGS),
    query(8, '{app="web"}', lines(WEB[1]), **at(start=BASE + 20 * SECOND, end=BASE + 40 * SECOND)),
    query(9, '{app="web"}', lines(WEB[0]), limit="1", direction="forward"),
    query(9, '{app="web"}', lines(WEB[-1]), limit="1", direction="backward"),
    query(9, '{app="web"} | keep app', lines(*WEB), direction="forward"),
    query(9, '{app="web"} | keep app', lines(*reversed(WEB))),
    query(10, '{app="web"}', lines(WEB[0]), limit="1", direction="FORWARD"),
    query(10, '{app="web"}', lines(WEB[-1]), limit="1", direction="BACKWARD"),
    query(10, '{app="web"}', refused("invalid direction 'sideways'"), direction="sideways"),
    *(
        query(11, '{app="web"}', lines(WEB[1]), start=form(FIRST), end=form(FIRST + 20 * SECOND))
        for form in (str, rfc3339, lambda ns: f"{ns // SECOND}.{ns // 10**6 % 1000:03}")
    ),
    ClientCase(12, RANGE, {"query": '{app="web"}', "since": "3h"}, count(30)),
    *(query(13, METRIC, no_flags, step=step) for step in ("60", "0.5", "15.0", "1m", "60000ms")),
    *(query(14, METRIC, refused(NO_RESOLUTION), step=step) for step in ("0ms", "-1")),
    query(15, METRIC, refused(TOO_FINE), step="1ms"),
    query(16, '{app="web"}', refused("limit must be a positive value"), limit="0"),
    query(
        17,
        '{app="web"}',
        refused("max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)"),
        limit="5001",
    ),
    *(query(18, text, refused(NO_END), start=LATER, end=str(BASE)) for text in ('{app="web"}', METRIC)),
    query(19, '{app="web"} |', refused("parse error at line 1, col 14: syntax error: unexpected $end")),
    *(query(20, text, refused(NO_MATCHER, how="starts")) for text in ("{}", '{app=~".*"}')),
    query(21, '{app="web"}', refused(NO_LOGS), path=INSTANT),
    query(22, r'{app="a\d"}', refused("invalid char escape", how="holds")),
    query(23, '{app="web"}', lines(WEB[-1]), method="POST", limit="1"),
    *(query(23, '{app="web"}', status(405), method=method) for method in ("HEAD", "PATCH", "OPTIONS")),
    query(24, HISTOGRAM, histogram, step="60000ms", headers={"X-Query-Tags": "Source=logvolhist"}),
    query(25, METRIC, first_at(BASE // SECOND), step="60", start=str(BASE + 37 * SECOND)),
    *(
        query(26, f"{METRIC} {to_infinity}", values([value] * 2), step="60", end=str(BASE + MINUTE))
        # A division by zero is no number in Loki, whatever is divided.
        for to_infinity, value in (("* 1e308 * 10", "+Inf"), ("* -1e308 * 10", "-Inf"), ("/ 0", "NaN"))
    ),
    query(27, MANY, refused(TOO_MANY, how="starts"), step="60"),
    query(27, MANY, partial, step="60", headers=DRILLDOWN),
    *(
        query(28, '{app="web"}', count(30), headers={"X-Loki-Query-Limits-Context": text})
        for text in ("no json", '{"Expr":"{app=\\"web\\"}","From":"2026-01-01T00:00:00Z","To":"2026-01-02T00:00:00Z"}')
    ),
    *(
        query(29, text, refused(TOO_LONG), end=str(BASE + 744 * 60 * MINUTE), step="1d")
        for text in ('{app="web"}', METRIC)
    ),
    query(
        30,
        'sum_over_time({app="text"} | logfmt | unwrap size [5m])',
        refused("pipeline error: 'SampleExtractionErr' for series:", how="starts"),
        step="60",
    ),
    query(49, '{app="web", __stream_shard__=""}', count(30)),
    query(49, '{app="web", __stream_shard__=~"0|1"}', count(0)),
    query(
        49,
        'sum(count_over_time({app="web",__stream_shard__=""} | drop __stream_shard__[1h]))',
        vector_value("30"),
        path=INSTANT,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(client: httpx.Client, case: ClientCase) -> None:
    case.check(case.ask(client))


def test_all_of_the_catalogue_about_queries_is_asked() -> None:
    assert {case.number for case in CASES} == {*range(1, 31), 49}


def test_a_query_of_100_kb_in_pieces_of_1_kb(client: httpx.Client) -> None:
    """A dashboard whose variable has thousands of values sends them all in one GET."""
    text = '{app=~"web|' + "|".join(f"no-such-app-{n:05}" for n in range(5000)) + '"}'
    target = f"{RANGE}?{urlencode({'query': text, **WINDOW, 'limit': '1'})}"
    assert len(target) > 100_000
    head = f"GET {target} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(0, len(head), 1024):
            connection.sendall(head[place : place + 1024])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200"), answer[:300]
    assert b'"app":"web"' in answer
