"""Live tail over a real socket: handshakes, frames, limits, ends (cases 57 to 59 of the clients' catalogue)."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.query.times import rfc3339
from tests.server import ServerProcess, running_server, wait_until
from tests.websocket import NO_CLOSE_FRAME, Socket

TAIL = "/loki/api/v1/tail"
FLAG = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
TENANTS = count()
OPTIONS: tuple[dict[str, Any], ...] = ({}, {"query": '{app="web"} |~ "[0-9]"'}, {"delay_for": 1}, {"flags": True})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = ("tenancy.enabled=true", "memtable.size=8MB", "limits.discover_log_levels=false")
    flags = [flag for each in settings for flag in ("--set", each)]
    with running_server(tmp_path_factory.mktemp("tail") / "data", *flags) as running:
        yield running


class Tenant:
    """Somebody with nothing stored yet."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.name = f"t{next(TENANTS)}"
        self.headers = {"X-Scope-OrgID": self.name}
        self.client = httpx.Client(base_url=server.url, headers=self.headers)

    def push(self, *lines: str, labels: Mapping[str, str] | None = None, ts: int | None = None, **metadata: str) -> int:
        """Stores lines with times 1 ns apart; the first one's."""
        first = time.time_ns() if ts is None else ts
        values = [[str(first + place), line, metadata] for place, line in enumerate(lines)]
        body = {"streams": [{"stream": labels or {"app": "web"}, "values": values}]}
        self.client.post("/loki/api/v1/push", json=body).raise_for_status()
        return first

    def tail(self, query: str = '{app="web"}', path: str = TAIL, *, flags: bool = False, **params: Any) -> Socket:
        asked = {"query": query, **{name: str(value) for name, value in params.items()}}
        return Socket(self.server.url, path, asked, self.headers | (FLAG if flags else {}))

    def active(self) -> float:
        page = self.client.get("/metrics").text
        found = re.search(r"^loki_querier_tail_active (\S+)", page, re.MULTILINE)
        assert found is not None
        return float(found[1])


@pytest.fixture
def tenant(server: ServerProcess) -> Iterator[Tenant]:
    made = Tenant(server)
    with made.client:
        yield made


# -- what is sent


def test_what_there_is_comes_oldest_first_and_then_what_is_pushed(tenant: Tenant) -> None:
    tenant.push("a", "b", "c", "d")
    with tenant.tail(limit=3) as tail:
        assert tail.status == 101
        assert tail.wait_for_lines(3) == ["b", "c", "d"]
        ts = tenant.push("e")
        assert tail.wait_for_lines(4)[3] == "e"
        labels = '{"app":"web","service_name":"web"}'
        assert tail.texts[-1] == f'{{"streams":[{{"stream":{labels},"values":[["{ts}","e"]]}}]}}'
        tail.wait(lambda: tail.pings >= 2)


def test_frames_are_not_compressed_for_each_reader(tenant: Tenant) -> None:
    with tenant.tail() as tail:
        assert tail.extensions == []


def test_a_default_start_is_an_hour_ago_and_a_limit_a_hundred(tenant: Tenant) -> None:
    now = time.time_ns()
    tenant.push("older", ts=now - 3_700 * 10**9)
    tenant.push(*(f"line {number}" for number in range(120)), ts=now - 1_000_000)
    with tenant.tail() as tail:
        assert tail.wait_for_lines(100) == [f"line {number}" for number in range(20, 120)]
    with tenant.tail(start=now - 4_000 * 10**9, limit=1000) as tail:
        assert tail.wait_for_lines(121)[0] == "older"


def test_a_selector_alone_shows_the_labels_of_the_stream(tenant: Tenant) -> None:
    tenant.push("past", trace="1")
    with tenant.tail() as tail:
        tail.wait_for_lines(1)
        tenant.push("live", trace="2")
        tail.wait_for_lines(2)
        assert [stream["stream"] for frame in tail.frames for stream in frame["streams"]] == [
            {"app": "web", "service_name": "web"}
        ] * 2


def test_with_stages_all_labels_are_shown(tenant: Tenant) -> None:
    tenant.push("level=warn", trace="1")
    with tenant.tail('{app="web"} | logfmt | level="warn"') as tail:
        tail.wait_for_lines(1)
        tenant.push("level=info", "level=warn", trace="2")
        tail.wait_for_lines(2)
        labels = [stream["stream"] for frame in tail.frames for stream in frame["streams"]]
        shown = {"app": "web", "level": "warn", "service_name": "web"}
        assert labels == [{**shown, "trace": "1"}, {**shown, "trace": "2"}]


def test_with_the_flag_labels_stand_beside_the_line(tenant: Tenant) -> None:
    tenant.push("level=warn", trace="1")
    with tenant.tail('{app="web"} | logfmt', flags=True) as tail:
        tail.wait_for_lines(1)
        tenant.push("level=info", trace="2")
        tail.wait_for_lines(2)
        for frame, (trace, level) in zip(tail.frames, [("1", "warn"), ("2", "info")], strict=True):
            assert list(frame) == ["streams", "encodingFlags"]
            assert frame["encodingFlags"] == ["categorize-labels"]
            (stream,) = frame["streams"]
            assert stream["stream"] == {"app": "web", "service_name": "web"}
            assert stream["values"][0][2] == {"structuredMetadata": {"trace": trace}, "parsed": {"level": level}}
    with tenant.tail(flags=True, limit=1) as tail:
        tail.wait_for_lines(1)
        assert tail.frames[0]["streams"][0]["values"][0][2] == {"structuredMetadata": {"trace": "2"}}


def test_the_old_route_has_the_old_form(tenant: Tenant) -> None:
    ts = tenant.push("error past")
    with tenant.tail(path="/api/prom/tail", regexp="err") as tail:
        tail.wait(lambda: len(tail.texts) == 1)
        assert tail.texts[0] == (
            '{"streams":[{"labels":"{app=\\"web\\", service_name=\\"web\\"}",'
            f'"entries":[{{"ts":"{rfc3339(ts)}","line":"error past"}}]}}],"dropped_entries":null}}'
        )
        tenant.push("fine")
        tenant.push("error live")
        tail.wait(lambda: len(tail.texts) == 2)
        assert [stream["entries"][0]["line"] for stream in tail.frames[1]["streams"]] == ["error live"]


def test_entries_of_a_frame_ascend_in_time_whatever_their_stream(tenant: Tenant) -> None:
    now = time.time_ns()
    with tenant.tail('{app=~"a|b"}') as tail:
        values = {
            name: [[str(now + 10 * place + shift), f"{name}{place}"] for place in (2, 0, 1)]
            for name, shift in (("b", 5), ("a", 0))
        }
        streams = [{"stream": {"app": name}, "values": entries} for name, entries in values.items()]
        tenant.client.post("/loki/api/v1/push", json={"streams": streams}).raise_for_status()
        assert tail.wait_for_lines(6) == ["a0", "b0", "a1", "b1", "a2", "b2"]
        assert len(tail.frames) == 1


def test_delay_for_brings_late_entries_into_order(tenant: Tenant) -> None:
    with tenant.tail(delay_for=5) as tail:
        now = time.time_ns()
        tenant.push("second", ts=now + 1000)
        tenant.push("third", ts=now + 2000)
        tenant.push("first", ts=now)
        assert tail.wait_for_lines(3) == ["first", "second", "third"]
        assert time.time_ns() >= now + 5 * 10**9


def test_new_streams_are_matched_when_they_come(tenant: Tenant) -> None:
    with tenant.tail('{app=~"w.+", env!="dev"}') as tail:
        for number in range(3):
            tenant.push(f"yes {number}", labels={"app": f"w{number}"})
            tenant.push(f"no {number}", labels={"app": f"w{number}", "env": "dev"})
            tenant.push(f"no {number}", labels={"app": f"x{number}"})
        assert tail.wait_for_lines(3) == ["yes 0", "yes 1", "yes 2"]


def _has(found: Sequence[str], wanted: int) -> bool:
    return len(found) > wanted


def test_the_past_and_what_comes_join_without_a_gap_or_a_double(tenant: Tenant) -> None:
    """While one pushes, tails begin one after the other: each has everything once."""
    sent: list[str] = []
    enough = threading.Event()

    def pushing() -> None:
        with httpx.Client(base_url=tenant.server.url, headers=tenant.headers) as client:
            while not enough.is_set():
                number = len(sent)
                lines = [f"{number + place}" for place in range(3)]
                values = [[str(time.time_ns() + place), line] for place, line in enumerate(lines)]
                body = {"streams": [{"stream": {"app": "web", "pod": str(number % 7)}, "values": values}]}
                client.post("/loki/api/v1/push", json=body).raise_for_status()
                sent.extend(lines)

    pusher = threading.Thread(target=pushing)
    pusher.start()
    tails = []
    for number in range(8):
        assert wait_until(partial(_has, sent, 30 * number))
        options: dict[str, Any] = OPTIONS[number % len(OPTIONS)]
        tails.append(tenant.tail(limit=5000, **options))
        if number == 4:
            tenant.client.post("/flush").raise_for_status()
    enough.set()
    pusher.join()
    for tail in tails:
        with tail:
            tail.wait(lambda tail=tail: len(tail.lines()) >= len(sent))  # type: ignore[misc]
            assert not tail.read_until(lambda tail=tail: len(tail.lines()) > len(sent), 0.05)  # type: ignore[misc]
            assert Counter(tail.lines()) == Counter(sent)


# -- what is refused


def test_a_bad_query_or_parameter_is_refused_before_the_upgrade(tenant: Tenant) -> None:
    refused: dict[str, dict[str, Any]] = {
        '{app="web"': {},
        "": {},
        '{app="web"}': {"delay_for": 9},
        '{app="a"}': {"limit": 0},
        '{app="b"}': {"limit": 5001},
        '{app="c"}': {"start": "soon"},
        '{app="d"}': {"delay_for": "x"},
    }
    said = []
    for query, params in refused.items():
        with tenant.tail(query, **params) as tail:
            assert tail.status == 400
            assert tail.headers["content-type"] == "text/plain; charset=utf-8"
            said.append(tail.read_refusal())
    assert said == [
        "parse error at line 1, col 11: syntax error: unexpected $end, expecting } or ,",
        "parse error : syntax error: unexpected $end",
        "delay_for can't be greater than 5",
        "limit must be a positive value",
        "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)",
        "could not parse 'start' parameter: strconv.ParseInt: parsing \"soon\": invalid syntax",
        'strconv.Atoi: parsing "x": invalid syntax',
    ]


def test_a_metric_query_ends_the_socket_after_the_upgrade(tenant: Tenant) -> None:
    with tenant.tail('rate({app="web"}[5m])') as tail:
        assert tail.status == 101
        tail.wait(lambda: tail.code is not None)
        assert (tail.code, tail.reason) == (1011, "only log selector is supported")


def test_a_request_that_is_no_websocket_is_400(tenant: Tenant) -> None:
    for path in (TAIL, "/api/prom/tail"):
        answer = tenant.client.get(path, params={"query": '{app="web"}'})
        assert (answer.status_code, answer.text) == (400, "Bad Request\n")
        assert answer.headers["sec-websocket-version"] == "13"
        assert tenant.client.get(path, params={"query": "{"}).text.startswith("parse error at line 1, col 2: ")


def test_no_other_path_takes_a_websocket(tenant: Tenant) -> None:
    for path in ("/loki/api/v2alpha/tail", "/loki/api/v1/query_range"):
        with tenant.tail(path=path) as tail:
            assert (tail.status, tail.read_refusal()) == (404, "404 page not found\n")


def test_doubled_slashes_are_taken_off(tenant: Tenant) -> None:
    tenant.push("x")
    with tenant.tail(path=f"/{TAIL}") as tail:
        assert tail.wait_for_lines(1) == ["x"]


def test_a_tenant_has_to_be_named_and_sees_its_own(tenant: Tenant, server: ServerProcess) -> None:
    for headers, status, text in (
        ({}, 401, "no org id\n"),
        ({"X-Scope-OrgID": "a|b"}, 400, "multiple org IDs present"),
    ):
        with Socket(server.url, TAIL, {"query": '{app="web"}'}, headers) as tail:
            assert (tail.status, tail.read_refusal()) == (status, text)
    other = Tenant(server)
    with other.client, tenant.tail() as tail, other.tail() as theirs:
        tenant.push("mine")
        other.push("theirs")
        assert tail.wait_for_lines(1) == ["mine"]
        assert theirs.wait_for_lines(1) == ["theirs"]


def test_a_tenant_has_ten_tails_at_most(tenant: Tenant) -> None:
    open_ones = [tenant.tail() for _ in range(10)]
    with tenant.tail() as refused:
        refused.wait(lambda: refused.code is not None)
        text = "max concurrent tail requests limit exceeded, count > limit (11 > 10)"
        assert (refused.code, refused.reason) == (1011, text)
    assert "weir_tail_queries 1.0\n" in tenant.client.get("/metrics").text
    tenant.push("for all")
    for tail in open_ones:
        with tail:
            assert tail.wait_for_lines(1) == ["for all"]
            tail.close()
    assert wait_until(lambda: tenant.active() == 0)
    with tenant.tail() as tail:
        assert tail.wait_for_lines(1) == ["for all"]


# -- how it ends


def test_a_client_that_goes_without_a_word_is_forgotten(tenant: Tenant) -> None:
    with tenant.tail() as tail:
        assert tenant.active() == 1
        abortive = struct.pack("ii", 1, 0)
        tail.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abortive)
    assert wait_until(lambda: tenant.active() == 0)
    page = tenant.client.get("/metrics").text
    assert "weir_tail_queries 0.0\n" in page
    assert (
        'loki_request_duration_seconds_count{method="GET",route="loki_api_v1_tail",status_code="101",ws="true"}' in page
    )


def rss_mb(server: ServerProcess) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())
    assert found is not None
    return int(found[1]) >> 10


def test_one_who_does_not_read_costs_little_and_is_told_what_it_missed(tenant: Tenant) -> None:
    readers = 6
    stuck = [tenant.tail(f'{{app="web"}} != "{number}"', limit=1) for number in range(readers)]
    try:
        tenant.push("w" * 250_000)  # what is held once, whoever reads
        before = rss_mb(tenant.server)
        pushed = 0
        while pushed < 24 << 20:
            pushed += 100 * 10_000
            tenant.push(*("x" * 10_000 for _ in range(100)))
        with tenant.tail('{app="small"}') as other:
            tenant.push("still here", labels={"app": "small"})
            assert other.wait_for_lines(1) == ["still here"]
        # All that was pushed, kept for each of them, would be 144 MB.
        assert rss_mb(tenant.server) - before < 120
        first = stuck[0]
        first.wait(lambda: any("dropped_entries" in frame for frame in first.frames))
        told = next(frame["dropped_entries"] for frame in first.frames if "dropped_entries" in frame)
        assert 0 < len(told) <= 1000
        assert told[0]["labels"]["app"] == "web"
        assert int(told[0]["timestamp"]) > 10**18
        tenant.push("after")
        first.wait(lambda: first.lines()[-1:] == ["after"])
    finally:
        for tail in stuck:
            tail.raw.close()


def test_at_shutdown_connections_end_at_once_without_a_close_frame(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        idle = Socket(server.url, TAIL, {"query": '{app="web"}'})
        stuck = Socket(server.url, TAIL, {"query": '{app="big"}'})
        values = [[str(time.time_ns() + place), "x" * 100_000] for place in range(100)]
        body = {"streams": [{"stream": {"app": "big"}, "values": values}]}
        httpx.post(f"{server.url}/loki/api/v1/push", json=body).raise_for_status()
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 20  # server.shutdown_timeout is 30 s
        assert "cut=0" in server.log_text
        with idle, stuck:
            idle.wait(lambda: idle.code is not None)
            assert idle.code == NO_CLOSE_FRAME
