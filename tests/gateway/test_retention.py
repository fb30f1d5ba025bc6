"""What expires over HTTP, at a real server: at once and without a restart, in every answer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import ServerProcess

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
RULES = """
retention: {period: 1h}
limits:
  retention_stream: [{selector: '{app="kept"}', period: 0, priority: 1}]
overrides:
  other: {retention_period: 1d}
tenancy: {enabled: true}
"""
AHEAD = 14
"""Seconds that the entries of a test have left when they are pushed: time for it to see them."""


class Client:
    """Asks one server about one tenant."""

    def __init__(self, url: str, tenant: str) -> None:
        self._url = url
        self._headers = {"X-Scope-OrgID": tenant}

    def push(self, app: str, *entries: tuple[int, str]) -> None:
        values = [[str(ts), line] for ts, line in entries]
        body = {"streams": [{"stream": {"app": app}, "values": values}]}
        httpx.post(f"{self._url}/loki/api/v1/push", json=body, headers=self._headers, timeout=30).raise_for_status()

    def flush(self) -> None:
        httpx.post(f"{self._url}/flush", headers=self._headers, timeout=60).raise_for_status()

    def get(self, path: str, **params: str | int) -> Any:
        now = time.time_ns()
        window: dict[str, str | int] = {"start": now - 6 * HOUR, "end": now + HOUR}
        got = httpx.get(f"{self._url}/loki/api/v1/{path}", params=window | params, headers=self._headers, timeout=30)
        got.raise_for_status()
        return got.json()

    def lines(self) -> list[str]:
        found = self.get("query_range", query='{app=~".+"}', limit=100)["data"]["result"]
        return sorted(line for stream in found for _, line in stream["values"])

    def counts(self) -> dict[str, int]:
        """Entries of a range query, of which parts are kept from one time to the next."""
        query = 'sum by (app) (count_over_time({app=~".+"}[6h]))'
        now = time.time_ns()
        found = self.get("query_range", query=query, start=now - HOUR, end=now + HOUR, step="10m")["data"]["result"]
        return {series["metric"]["app"]: max(int(value) for _, value in series["values"]) for series in found}

    def seen(self) -> dict[str, int]:
        """Entries by stream, as every answer that there is has them."""
        counts = self.counts()
        apps = sorted(counts)
        assert self.get("label/app/values").get("data", []) == apps
        assert sorted(each["app"] for each in self.get("series", **{"match[]": '{app=~".+"}'})["data"]) == apps
        stats = self.get("index/stats", query='{app=~".+"}')
        assert (stats["streams"], stats["entries"]) == (len(apps), sum(counts.values()))
        return counts


@pytest.mark.parametrize("flushed", [False, True])
def test_entries_vanish_as_they_grow_old_and_their_blocks_after_them(tmp_path: Path, flushed: bool) -> None:
    (tmp_path / "weir.yml").write_text(RULES)
    data_dir = tmp_path / "data"
    with ServerProcess(data_dir, "--config", str(tmp_path / "weir.yml")) as server:
        client, other = Client(server.url, "t"), Client(server.url, "other")
        client.seen()  # the first questions take their time
        soon = time.time_ns() - HOUR + AHEAD * SECOND
        for each in (client, other):
            each.push("old", (soon - 3 * HOUR, "gone already"))
            each.push("short", (soon, "soon gone"))
            each.push("both", (soon, "soon gone"), (soon + HOUR // 2, "stays"))
            each.push("kept", (soon - HOUR, "kept"), (soon, "kept"))
        if flushed:
            client.flush()
        before = {"both": 2, "kept": 2, "short": 1}
        assert client.seen() == before
        assert client.lines() == ["kept", "kept", "soon gone", "soon gone", "stays"]
        assert time.time_ns() - HOUR < soon, "the machine is too slow for this test"
        while time.time_ns() - HOUR <= soon + SECOND // 500:  # labels know times to the millisecond
            assert sum(client.counts().values()) in (3, 5)
            time.sleep(0.2)
        assert client.seen() == {"both": 1, "kept": 2}
        assert client.lines() == ["kept", "kept", "stays"]
        assert other.seen() == before | {"old": 1}
        assert "weir_retention_clock_ahead_seconds 0.0" in httpx.get(f"{server.url}/metrics").text


def test_the_files_go_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "weir.yml").write_text(RULES)
    with ServerProcess(tmp_path / "data", "--config", str(tmp_path / "weir.yml")) as server:
        client = Client(server.url, "t")
        client.push("old", (time.time_ns() - 30 * HOUR, "x"), (time.time_ns() - 31 * HOUR, "y"))
        today = time.strftime("%Y-%m-%d", time.gmtime())
        client.push("new", (time.time_ns(), "x"))
        client.flush()
        deadline = time.monotonic() + 90
        while 'weir_retention_dropped_rows_total{reason="age"} 2.0' not in httpx.get(f"{server.url}/metrics").text:
            assert time.monotonic() < deadline, server.log_text
            time.sleep(0.2)
        left = [path.parent.name for path in (tmp_path / "data").glob("blocks/t/*/*.parquet")]
        assert len(left) == 1
        assert left[0] >= today
        assert "is removed: all of it has expired" in server.log_text
        assert client.seen() == {"new": 1}
