"""Tenants, a path prefix, and clients that go away."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.gateway.clients_cases.cases import BASE, INSTANT, RANGE, WINDOW, data_of, streams
from tests.server import ServerProcess, running_server, wait_until

PUSH = "/loki/api/v1/push"
BODY = {"streams": streams()[:1]}


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server that requires the header."""
    flags = ("--set", "tenancy.enabled=true", "--set", "tenancy.several=false")
    with (
        running_server(tmp_path_factory.mktemp("tenants") / "data", *flags) as server,
        httpx.Client(base_url=server.url, timeout=60) as connection,
    ):
        yield connection


def test_case_75_without_a_tenant_nothing_but_status_pages(tenants: httpx.Client) -> None:
    asked = [
        tenants.post(PUSH, json=BODY),
        tenants.get(RANGE, params={"query": '{app="web"}', **WINDOW}),
        tenants.get(INSTANT, params={"query": "vector(1)"}),
        *(tenants.get(f"/loki/api/v1/{path}") for path in ("labels", "series", "label/app/values")),
        tenants.get("/loki/api/v1/index/stats", params={"query": '{app="web"}'}),
    ]
    assert [(one.status_code, one.text.rstrip("\n")) for one in asked] == [(401, "no org id")] * len(asked)
    otlp = tenants.post("/otlp/v1/logs", json={"resourceLogs": []})
    assert otlp.status_code == 401
    assert b"no org id" in otlp.content
    for path in ("/ready", "/loki/api/v1/status/buildinfo", "/openapi.yaml"):
        assert tenants.get(path).status_code == 200


def test_case_77_grpc_is_not_offered(tenants: httpx.Client) -> None:
    """A gRPC client takes HTTP's 404 for UNIMPLEMENTED, which it does not send again."""
    headers = {"Content-Type": "application/grpc", "TE": "trailers", "X-Scope-OrgID": "t1"}
    with httpx.Client(base_url=tenants.base_url, http1=False, http2=True) as caller:
        answer = caller.post("/logproto.Pusher/Push", content=b"\0\0\0\0\0", headers=headers)
    assert (answer.http_version, answer.status_code, answer.text) == ("HTTP/2", 404, "404 page not found\n")


@pytest.mark.parametrize(
    ("tenant", "text"),
    [("a/../b", "tenant ID 'a/../b' contains unsupported character '/'"), ("t1|t2", "multiple org IDs present")],
)
def test_case_76_tenants_that_are_none(tenants: httpx.Client, tenant: str, text: str) -> None:
    headers = {"X-Scope-OrgID": tenant}
    for answer in (
        tenants.post(PUSH, json=BODY, headers=headers),
        tenants.get(RANGE, params={"query": '{app="web"}', **WINDOW}, headers=headers),
    ):
        assert (answer.status_code, answer.text.rstrip("\n")) == (400, text)


def test_a_tenant_sees_its_own(tenants: httpx.Client) -> None:
    assert tenants.post(PUSH, json=BODY, headers={"X-Scope-OrgID": "t1"}).status_code == 204
    counts = {}
    for tenant in ("t1", "t2"):
        answer = tenants.get(
            RANGE, params={"query": '{app="web"} | keep app', **WINDOW}, headers={"X-Scope-OrgID": tenant}
        )
        counts[tenant] = sum(len(stream["values"]) for stream in data_of(answer)["result"])
    assert counts == {"t1": 30, "t2": 0}


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server behind a path prefix, with enough lines to keep a query busy for long."""
    with running_server(tmp_path_factory.mktemp("prefix") / "data", "--set", "server.path_prefix=/a/b") as server:
        for part in range(10):
            values = [[str(BASE + (part * 5000 + n) * 1000), f"word {part} {n} " * 8] for n in range(5000)]
            body = {"streams": [{"stream": {"app": "slow"}, "values": values}]}
            httpx.post(f"{server.url}/a/b{PUSH}", json=body, timeout=60).raise_for_status()
        yield server


def test_case_80_behind_a_path_prefix(prefixed: ServerProcess) -> None:
    params = {"query": 'sum(count_over_time({app="slow"}[1h]))', "time": WINDOW["end"]}
    answer = httpx.get(f"{prefixed.url}/a/b{INSTANT}", params=params, timeout=60)
    assert data_of(answer)["result"][0]["value"][1] == "50000"
    assert httpx.get(f"{prefixed.url}/a/b/loki/api/v1/labels").json()["data"] == ["app", "service_name"]


SLOW = '{app="slow"} | line_format "{{ regexReplaceAll `[aeiou]` (repeat 20 __line__) `x` }}" |= "never"'
"""Templates run line by line: half a minute, were nobody to stop it."""


@pytest.mark.parametrize("query", [SLOW, f"sum(count_over_time({SLOW} [1h]))"])
def test_case_80_a_client_that_leaves_ends_its_query(prefixed: ServerProcess, query: str) -> None:
    asked = httpx.Request("GET", f"{prefixed.url}/a/b{RANGE}", params={"query": query, "step": "60", **WINDOW})
    head = b"GET %b HTTP/1.1\r\nHost: weir\r\n\r\n" % asked.url.raw_path
    with httpx.Client(base_url=prefixed.url, timeout=60) as watcher:
        with socket.create_connection((asked.url.host, asked.url.port or 80), timeout=60) as connection:
            connection.sendall(head)
            assert wait_until(lambda: running(watcher) == 1)
        left = time.monotonic()
        assert wait_until(lambda: running(watcher) == 0)
    # Less than a second on an idle machine.
    assert time.monotonic() - left < 3


def running(watcher: httpx.Client) -> float:
    text = watcher.get("/a/b/metrics").text
    found = re.search(r"^loki_querier_worker_inflight_queries (\S+)$", text, re.MULTILINE)
    assert found is not None, text
    return float(found[1])
