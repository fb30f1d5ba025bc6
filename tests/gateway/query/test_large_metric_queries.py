"""Metric queries over many lines and very many label sets, against a real server with a memory limit for queries."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.server import ServerProcess, running_server

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
REQUEST = 20_000
"""Lines of a push."""
IDS = 100_000
"""Label sets that `| json` makes of the lines, if there are as many lines."""


def push(server: ServerProcess, lines: int) -> None:
    for first in range(0, lines, REQUEST):
        values = [
            [
                str(START + number * 1_000_000),
                json.dumps({"id": f"user-{number % IDS}", "took": number % 997 + 0.5, "service": f"s{number % 5}"}),
            ]
            for number in range(first, min(first + REQUEST, lines))
        ]
        body = {"streams": [{"stream": {"app": "wide"}, "values": values}]}
        assert httpx.post(f"{server.url}/loki/api/v1/push", json=body, timeout=60).status_code == 204


def ask(server: ServerProcess, query: str, lines: int) -> httpx.Response:
    parameters: dict[str, str | int] = {"query": query, "start": START, "end": START + lines * 1_000_000, "step": "60s"}
    return httpx.get(f"{server.url}/loki/api/v1/query_range", params=parameters, timeout=120)


def peak_mb(server: ServerProcess) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


@pytest.mark.parametrize(("lines", "most_mb"), [(60_000, 400), pytest.param(3_000_000, 1_200, marks=pytest.mark.soak)])
def test_very_many_label_sets_end_in_an_error_and_quantiles_stay_in_their_budget(
    tmp_path: Path, lines: int, most_mb: int
) -> None:
    with running_server(tmp_path / "data", fresh=True) as server:
        push(server, lines)
        assert httpx.post(f"{server.url}/flush", timeout=120).status_code == 204
        for query in (
            'count_over_time({app="wide"} | json [1m])',
            'sum by (id) (count_over_time({app="wide"} | json [1m]))',
            'max_over_time({app="wide"} | json | unwrap took [1m]) by (id)',
        ):
            refused = ask(server, query, lines)
            assert refused.status_code == 400, query
            assert refused.text.startswith("maximum number of series (500) reached for a single query"), refused.text
        answer = ask(server, 'quantile_over_time(0.99, {app="wide"} | json | unwrap took [1m]) by (service)', lines)
        assert answer.status_code == 200, answer.text
        series = answer.json()["data"]["result"]
        assert len(series) == 5
        assert all(980 < float(value) < 997 for one in series for _, value in one["values"][1:-1])
        assert peak_mb(server) < most_mb
