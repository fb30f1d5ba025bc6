"""OpenTelemetry's own exporter (opentelemetry-exporter-otlp-proto-http of PyPI) sends to a real server."""

from __future__ import annotations

import sys

import pytest

from tests.e2e.readback import run_client, stored
from tests.server import ServerProcess


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_what_the_exporter_sends_is_read_back(server: ServerProcess, compression: str) -> None:
    run = run_client([sys.executable, "python/push_opentelemetry.py", f"{server.url}/otlp/v1/logs", compression])
    trace, span = run.stdout.split()
    entries = stored(server.url, '{service_name="shop"}')
    assert [entry.line for entry in entries] == [
        "cart opened",
        "order 17 placed by Jürgen 日本 😀",
        "slow",
        "order failed",
    ]
    assert [entry.metadata["detected_level"] for entry in entries] == ["debug", "info", "warn", "error"]
    assert all(run.began <= entry.ts <= run.ended for entry in entries)
    for entry in entries:
        assert entry.stream == {"service_instance_id": "i-1", "service_name": "shop", "service_namespace": "eu"}
        assert entry.metadata["host_name"] == "web-1"
        assert entry.metadata["scope_name"] == "shop.orders"
        assert int(entry.metadata["observed_timestamp"]) >= entry.ts
    metadata = entries[1].metadata
    assert {name: metadata[name] for name in ("order_id", "vip", "ratio", "tags")} == {
        "order_id": "17",
        "vip": "true",
        "ratio": "0.25",
        "tags": '["a","b"]',
    }
    assert (entries[2].metadata["trace_id"], entries[2].metadata["span_id"]) == (trace, span)
    assert entries[3].metadata["exception_type"] == "RuntimeError"
    assert "no such customer" in entries[3].metadata["exception_stacktrace"]


def test_what_it_was_told_is_stored_is_there_after_a_kill(server: ServerProcess) -> None:
    run_client([sys.executable, "python/push_opentelemetry.py", f"{server.url}/otlp/v1/logs", "gzip"])
    server.kill()
    server.start()
    assert len(stored(server.url, '{service_name="shop"}')) == 4
