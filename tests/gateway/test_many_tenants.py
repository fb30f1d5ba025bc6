"""Very many small tenants against a real server: files, log and memory stay bounded, and no line is lost or doubled."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import httpx
import pytest

from bench.pushing import JSON, push_all
from tests.server import ServerProcess, running_server

CONNECTIONS = 16
LIMIT_MB = 600


def request(tenant: int, number: int) -> bytes:
    line = f"request {number} of tenant {tenant}: GET /index.html, {number % 97} ms, and so on to a usual length"
    values = [[str(time.time_ns()), line]]
    body = json.dumps({"streams": [{"stream": {"app": f"app-{tenant % 10}"}, "values": values}]}).encode()
    head = f"POST /loki/api/v1/push HTTP/1.1\r\nHost: test\r\nX-Scope-OrgID: tenant-{tenant}\r\nContent-Type: {JSON}"
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def sizes(folder: Path, pattern: str) -> list[int]:
    found = []
    for path in folder.rglob(pattern):
        try:
            found.append(path.stat().st_size)
        except FileNotFoundError:  # the server removes and renames files as we look
            continue
    return found


def rss_mb(server: ServerProcess) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


def figure(page: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", page, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def counted(client: httpx.Client, server: ServerProcess, tenant: int) -> int:
    answer = client.get(
        f"{server.url}/loki/api/v1/query",
        params={"query": 'sum(count_over_time({app=~".+"}[1h]))'},
        headers={"X-Scope-OrgID": f"tenant-{tenant}"},
    )
    assert answer.status_code == 200, answer.text
    return int(answer.json()["data"]["result"][0]["value"][1])


@pytest.mark.parametrize(
    ("tenants", "rounds", "seconds", "memtable"),
    [(60, 40, 0, 64 << 10), pytest.param(1_000, 600, 600, 16 << 20, marks=pytest.mark.soak)],
)
def test_a_line_a_second_of_many_tenants_makes_few_files_and_a_short_log(
    tmp_path: Path, tenants: int, rounds: int, seconds: int, memtable: int
) -> None:
    """`rounds` lines of each tenant, spread over `seconds`, with a memtable of so many bytes."""
    options = ("--set", "tenancy.enabled=true", "--set", f"memtable.size={memtable}B")
    with httpx.Client(timeout=300) as client, running_server(tmp_path / "data", *options, fresh=True) as server:
        port = int(server.url.rsplit(":", 1)[1])
        most_log = most_rss = 0
        began = time.monotonic()
        for number in range(rounds):
            push_all(port, [request(tenant, number) for tenant in range(tenants)], CONNECTIONS)
            most_log, most_rss = max(most_log, sum(sizes(server.data_dir, "*.wal"))), max(most_rss, rss_mb(server))
            time.sleep(max(0.0, began + (number + 1) * seconds / rounds - time.monotonic()))
        page = client.get(f"{server.url}/metrics").text
        blocks, flushes = sizes(server.data_dir, "*.parquet"), figure(page, "weir_flushes_total")
        print(
            f"{tenants} tenants, {rounds} lines each in {time.monotonic() - began:.0f} s: {len(blocks)} blocks of "
            f"{sum(blocks) >> 10} KB by {flushes:.0f} flushes, the log {most_log >> 10} KB at most, /metrics "
            f"{len(page) >> 10} KB, {most_rss} MB at most"
        )
        # A flush takes what memory may hold, and leaves the tenants with least, half of it, where they are.
        assert len(blocks) <= flushes * tenants
        assert blocks
        # Twice the memtable's size is taken in before pushes wait, a line takes twice as much in the log, and what was
        # carried stands there once more.
        assert most_log < 6 * memtable
        assert most_rss < LIMIT_MB
        assert sum('weir_label_values{label="app"' in line for line in page.splitlines()) == 10
        assert len(re.findall(r'^weir_memtable_rows{tenant="tenant-', page, re.MULTILINE)) == tenants
        some = range(0, tenants, max(1, tenants // 10))
        assert {counted(client, server, tenant) for tenant in some} == {rounds}
        assert client.post(f"{server.url}/flush").status_code == 204
        assert {counted(client, server, tenant) for tenant in some} == {rounds}
        assert server.stop() == 0
        server.start()
        assert {counted(client, server, tenant) for tenant in some} == {rounds}
        assert rss_mb(server) < LIMIT_MB
