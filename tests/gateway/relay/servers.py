"""Servers with an upstream, and what goes in and comes out."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.crash.forks import ForkedServer
from tests.forks import shared

FAST = {
    "upstream.enabled": "true",
    "upstream.batch_interval": "50ms",
    "upstream.notify_after": "2",
}
JSON_LOG = {"log.format": "json"}
QUICK = {"gateway.relay.backoff.FIRST": 0.02, "gateway.relay.backoff.MOST": 0.1, "gateway.relay.relay.LOOK_EVERY": 0.01}
"""Constants: waits that are to be seen at once."""


def server(data_dir: Path, settings: Mapping[str, object] | None = None, **constants: object) -> ForkedServer:
    """A server of the name of its folder, not started."""
    every = {"instance_name": data_dir.name, **(settings or {})}
    flags = [word for name, value in every.items() for word in ("--set", f"{name}={value}")]
    return ForkedServer(shared(), data_dir, *flags, constants={**QUICK, **constants})


def push(url: str, lines: Sequence[str], labels: Mapping[str, str] | None = None, tenant: str = "") -> None:
    """Pushes lines, each a ns later than the one before."""
    now = time.time_ns()
    values = [[str(now + at), line, {"n": str(at)}] for at, line in enumerate(lines)]
    body = {"streams": [{"stream": dict(labels or {"app": "api"}), "values": values}]}
    headers = {"Content-Type": "application/json"} | ({"X-Scope-OrgID": tenant} if tenant else {})
    asked = urllib.request.Request(f"{url}/loki/api/v1/push", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert answer.status == 204


def streams(url: str, query: str = '{app=~".+"}', tenant: str = "") -> list[dict[str, Any]]:
    """What a log query finds, oldest entries first."""
    asked = urlencode({"query": query, "limit": 5000, "direction": "forward", "since": "1h"})
    headers = {"X-Scope-OrgID": tenant} if tenant else {}
    request = urllib.request.Request(f"{url}/loki/api/v1/query_range?{asked}", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def lines(url: str, query: str = '{app=~".+"}', tenant: str = "") -> list[str]:
    """Lines of a log query, sorted."""
    return sorted(line for stream in streams(url, query, tenant) for _, line in stream["values"])


def metrics(url: str, prefix: str = "weir_relay_") -> dict[str, float]:
    """Values by name and labels."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        rows = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line.startswith(prefix)]
    return {name: float(value) for name, value in rows}


def metric(url: str, name: str, relay: str = "upstream") -> float:
    """One figure of a relay."""
    return metrics(url)[f'weir_relay_{name}{{relay="{relay}"}}']


def events(server: ForkedServer, text: str) -> list[dict[str, Any]]:
    """The fields of the log lines of an event. The server logs JSON."""
    rows = [json.loads(line) for line in server.log_text.splitlines() if line.startswith("{")]
    return [row for row in rows if row["msg"] == text]


@contextmanager
def running(*servers: ForkedServer) -> Any:
    """Servers for the time of a `with`, started in order."""
    try:
        for each in servers:
            each.start()
        yield servers
    except BaseException:
        for each in servers:
            print(f"--- log of {each.data_dir.name}\n{each.log_text}---")
        raise
    finally:
        for each in servers:
            each.kill()
