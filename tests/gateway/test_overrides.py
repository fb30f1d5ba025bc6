"""Limits of single tenants in a file of their own, changed while a real server runs."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server import ServerProcess, wait_until

LOKI = """
auth_enabled: true
limits_config: {max_line_size: 1KB, reject_old_samples: false}
runtime_config: {file: FILE, period: 50ms}
compactor: {retention_enabled: true}
"""
WEIR = """
tenancy: {enabled: true, overrides_file: FILE, overrides_period: PERIOD}
limits: {max_line_size: 1KB}
"""
FIRST = "overrides: {acme: {max_line_size: 2KB}}\n"


def served(folder: Path, settings: str, period: str = "50ms") -> tuple[ServerProcess, Path]:
    file, overrides = folder / "settings.yml", folder / "overrides.yml"
    overrides.write_text(FIRST)
    file.write_text(settings.replace("FILE", str(overrides)).replace("PERIOD", period))
    return ServerProcess(folder / "data", "--config", str(file)), overrides


@pytest.fixture(scope="module", params=[WEIR, LOKI], ids=["weir", "loki"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, Path]]:
    process, overrides = served(tmp_path_factory.mktemp("overrides"), request.param)
    with process:
        yield process, overrides


@pytest.fixture
def server(running: tuple[ServerProcess, Path]) -> tuple[ServerProcess, Path]:
    """A server with the overrides that `served` gave it."""
    process, overrides = running
    overrides.write_text(FIRST)
    assert wait_until(lambda: takes(process, "acme", 2000) and not takes(process, "other", 2000), 30)
    return running


def takes(server: ServerProcess, tenant: str, size: int, age: int = 0) -> bool:
    """Whether a line of so many bytes, so many seconds old, is stored."""
    body = {"streams": [{"stream": {"app": "a"}, "values": [[str(time.time_ns() - age * 10**9), "x" * size]]}]}
    answer = httpx.post(f"{server.url}/loki/api/v1/push", json=body, headers={"X-Scope-OrgID": tenant}, timeout=60)
    assert answer.status_code in (204, 400), answer.text
    return answer.status_code == 204


def figure(server: ServerProcess, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def is_good(server: ServerProcess) -> bool:
    return figure(server, "loki_runtime_config_last_reload_successful") == 1


def seen(server: ServerProcess, tenant: str) -> int:
    """Entries of the last six hours that a query finds."""
    answer = httpx.get(
        f"{server.url}/loki/api/v1/query",
        params={"query": 'sum(count_over_time({app="a"}[6h]))'},
        headers={"X-Scope-OrgID": tenant},
        timeout=60,
    )
    result = answer.json()["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


def test_a_changed_limit_holds_without_a_restart(server: tuple[ServerProcess, Path]) -> None:
    process, overrides = server
    assert takes(process, "acme", 2000)
    assert not takes(process, "other", 2000)
    overrides.write_text("overrides: {acme: {max_line_size: 3KB}, other: {max_line_size: 2KB}}\n")
    assert wait_until(lambda: takes(process, "other", 2000), 30)
    assert takes(process, "acme", 3000)
    overrides.write_text("overrides: {}\n")
    assert wait_until(lambda: not takes(process, "acme", 2000), 30)


def test_a_file_that_is_wrong_changes_nothing_and_is_seen(server: tuple[ServerProcess, Path]) -> None:
    process, overrides = server
    assert is_good(process)
    overrides.write_text("overrides: {acme: {max_line_size: 9MB}, other: {max_lines: 1}}\n")
    assert wait_until(lambda: not is_good(process), 30)
    assert "the limits of tenants stay as they were" in process.log_text
    assert "max_lines" in process.log_text
    assert takes(process, "acme", 2000)
    assert not takes(process, "acme", 4000)
    overrides.unlink()
    assert wait_until(lambda: "No such file or directory" in process.log_text, 30)
    assert takes(process, "acme", 2000)
    overrides.write_text("overrides: {acme: {max_line_size: 5KB}}\n")
    assert wait_until(lambda: is_good(process), 30)
    assert takes(process, "acme", 4000)


def test_a_file_that_was_emptied_changes_nothing(server: tuple[ServerProcess, Path]) -> None:
    process, overrides = server
    overrides.write_text("")
    assert wait_until(lambda: not is_good(process), 30)
    assert "overrides.yml: is empty; write `overrides: {}`" in process.log_text
    assert takes(process, "acme", 2000)
    overrides.write_text("overrides: {}\n")
    assert wait_until(lambda: is_good(process), 30)
    assert not takes(process, "acme", 2000)


def test_retention_of_a_tenant_follows_its_file(server: tuple[ServerProcess, Path]) -> None:
    process, overrides = server
    for tenant in ("short", "long"):
        assert takes(process, tenant, 10, age=3 * 3600)
        assert takes(process, tenant, 11)
    assert seen(process, "short") == seen(process, "long") == 2
    overrides.write_text("overrides: {short: {retention_period: 2h}}\n")
    assert wait_until(lambda: seen(process, "short") == 1, 30)
    assert seen(process, "long") == 2
    overrides.write_text("overrides: {short: {retention_period: 5h}}\n")
    assert wait_until(lambda: seen(process, "short") == 2, 30), "out of sight is not off the disk"


def test_a_hangup_has_it_read_at_once(tmp_path: Path) -> None:
    process, overrides = served(tmp_path, WEIR, period="0s")
    with process:
        overrides.write_text("overrides: {other: {max_line_size: 2KB}}\n")
        before = figure(process, "weir_overrides_changed_timestamp_seconds")
        os.kill(process.pid, signal.SIGHUP)
        assert wait_until(lambda: takes(process, "other", 2000), 30)
        assert figure(process, "weir_overrides_changed_timestamp_seconds") > before
        assert process.stop() == 0
