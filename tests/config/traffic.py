"""A server of which every part has had something to do, so that its metrics have the series that dashboards ask for."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import msgpack

from tests.crash.small_disk import FileSizeLimit
from tests.server import ServerProcess, running_server, wait_until
from tests.websocket import Socket

TENANT = "acme"
SETTINGS = """
tenancy: {enabled: true, overrides_file: OVERRIDES}
forward: {tenant: acme}
upstream: {enabled: true, url: "http://127.0.0.1:9", batch_interval: 100ms, timeout: 1s}
emitters: [{kind: blackhole}]
"""
OVERRIDES = """
overrides:
  tight: {ingestion_rate_mb: 0.0001, ingestion_burst_size_mb: 0.0001}
  strict: {max_line_size: 100B}
  hurried: {query_timeout: 1ns}
"""
LEVELS = ("info", "error", "warn")
CLIENT = httpx.Client(timeout=60)
"""One for all requests: making one costs more than most of them."""


@contextmanager
def busy_server(folder: Path) -> Iterator[ServerProcess]:
    """A server with tenancy and tenants with tight limits; `traffic` makes it work."""
    overrides, settings = folder / "overrides.yml", folder / "weir.yml"
    overrides.write_text(OVERRIDES)
    settings.write_text(SETTINGS.replace("OVERRIDES", str(overrides)))
    arguments = ("--config", str(settings), "--forward", "127.0.0.1:0")
    with running_server(folder / "data", *arguments) as server:
        yield server


def traffic(server: ServerProcess, folder: Path) -> None:
    """Something for every part of the server: each call adds to every counter that can be made to grow."""
    _writes(server)
    _refused(server, folder)
    _forward(server)
    _blocks(server)
    _reads(server)
    _tail(server)
    _relayed(server)


def lines(count: int, service: str, ago: int = 0) -> dict[str, object]:
    now = time.time_ns() - ago * 10**9
    values = [
        [str(now + i), f"level={LEVELS[i % 3]} msg=order number={i} of {service} is done", {"order": str(i)}]
        for i in range(count)
    ]
    return {"stream": {"service_name": service}, "values": values}


def of(tenant: str) -> dict[str, str]:
    """The header that says whose a request is."""
    return {"X-Scope-OrgID": tenant}


def push(server: ServerProcess, tenant: str, *streams: dict[str, object]) -> int:
    return CLIENT.post(f"{server.url}/loki/api/v1/push", json={"streams": streams}, headers=of(tenant)).status_code


def get(server: ServerProcess, path: str, tenant: str = TENANT, **params: str) -> httpx.Response:
    # The second header is Grafana's, with all its queries.
    headers = of(tenant) | {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
    return CLIENT.get(server.url + path, params=params, headers=headers)


def post(server: ServerProcess, path: str, **params: str) -> None:
    answer = CLIENT.post(server.url + path, params=params, headers=of(TENANT))
    assert answer.is_success, (path, answer.text)


def _writes(server: ServerProcess) -> None:
    stream = lines(60, "shop")
    assert push(server, TENANT, stream, lines(60, "cart", ago=60)) == 204
    assert push(server, TENANT, stream) == 204  # all of it is there already


def _refused(server: ServerProcess, folder: Path) -> None:
    assert push(server, "tight", lines(20, "greedy")) == 429
    assert push(server, "strict", {"stream": {"app": "a"}, "values": [[str(time.time_ns()), "x" * 200]]}) == 400
    limit = FileSizeLimit(folder / str(time.time_ns()))
    limit.fill(server, leave=0)
    assert push(server, TENANT, lines(5, "shop")) == 503
    limit.make_room(server)
    assert wait_until(lambda: push(server, TENANT, lines(5, "shop")) == 204)


def _forward(server: ServerProcess) -> None:
    found = re.search(r"forward=127\.0\.0\.1:(\d+)", server.log_text)
    assert found is not None
    now = int(time.time())
    with socket.create_connection(("127.0.0.1", int(found[1])), timeout=30) as sender:
        entries = [[now, {"log": "from fluentd", "level": "info"}], ["not a time", {"log": "bad"}]]
        sender.sendall(msgpack.packb(["shop.web", entries, {"chunk": f"{time.time_ns()}"}]))
        assert b"ack" in sender.recv(1000)
        # Metrics of Fluent Bit are acknowledged and dropped.
        sender.sendall(msgpack.packb(["m", now, {"a": 1}, {"chunk": f"{time.time_ns()}", "fluent_signal": 1}]))
        assert b"ack" in sender.recv(1000)
        # A message that is none is answered by the end of the connection.
        sender.sendall(msgpack.packb({"not": "a message"}))
        sender.recv(1000)


def _blocks(server: ServerProcess) -> None:
    post(server, "/flush")
    push(server, TENANT, lines(30, "shop"))
    post(server, "/flush")
    post(server, "/weir/v1/compact")
    post(server, "/loki/api/v1/delete", query='{service_name="nobody"}', start="0")
    push(server, TENANT, lines(30, "shop"))


def _reads(server: ServerProcess) -> None:
    counted = 'sum by (service_name) (count_over_time({service_name=~".+"}[1m]))'
    step = 60 * 10**9
    end = time.time_ns() // step * step + step
    for query in ('{service_name="shop"} |= "done"', counted, counted):
        params = {"query": query, "start": str(end - 10 * step), "end": str(end), "step": "60"}
        assert get(server, "/loki/api/v1/query_range", **params).status_code == 200
    assert get(server, "/loki/api/v1/labels").status_code == 200
    assert get(server, "/loki/api/v1/query", query="{").status_code == 400
    assert push(server, "hurried", lines(10, "late")) == 204
    assert get(server, "/loki/api/v1/query_range", "hurried", query='{service_name="late"}').status_code == 504


def _tail(server: ServerProcess) -> None:
    with Socket(server.url, "/loki/api/v1/tail", {"query": '{service_name="shop"}'}, of(TENANT)) as tail:
        tail.wait(lambda: bool(tail.lines()))


def _relayed(server: ServerProcess) -> None:
    """A batch that another server sends. What comes in here is sent on too: to nobody who answers, and to nowhere."""
    body = {"streams": [lines(10, "passed-on")]}
    headers = of(TENANT) | {"X-Weir-Batch-Id": str(uuid4()), "X-Weir-Instance": "edge-1"}
    assert CLIENT.post(f"{server.url}/loki/api/v1/push", json=body, headers=headers).status_code == 204
