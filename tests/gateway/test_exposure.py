"""The warning at the start of a server that anybody may use."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from gateway.exposure import warn_if_open
from tests.server import running_server


def warnings(caplog: pytest.LogCaptureFixture, url: str, address: str | None, **groups: Any) -> list[dict[str, str]]:
    caplog.clear()
    certificates = bool(groups.get("forward", {}).get("tls_client_ca") or groups.get("tls", {}).get("client_ca"))
    warn_if_open(Settings.model_validate(groups), url, address, forward_certificates=certificates)
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    return [vars(record)["fields"] for record in caplog.records]


@pytest.mark.parametrize(
    "url", ["http://0.0.0.0:3100", "http://[::]:3100", "http://10.1.2.3:80", "https://192.0.2.1:1"]
)
def test_a_server_that_others_reach_and_that_asks_nobody_warns(url: str, caplog: pytest.LogCaptureFixture) -> None:
    assert warnings(caplog, url, None) == [{"http": url}]
    (record,) = caplog.records
    assert "weir keys create" in record.getMessage()
    assert "auth.enabled=true" in record.getMessage()
    assert warnings(caplog, url, None, auth={"enabled": True}) == []
    assert warnings(caplog, url, None, tls={"cert": "c", "client_ca": "a"}) == []
    assert warnings(caplog, url, None, tls={"cert": "c"}) == [{"http": url}]


@pytest.mark.parametrize("url", ["http://127.0.0.1:3100", "http://127.9.9.9:80", "http://[::1]:3100"])
def test_one_that_only_its_own_machine_reaches_does_not(url: str, caplog: pytest.LogCaptureFixture) -> None:
    assert warnings(caplog, url, url.removeprefix("http://")) == []


def test_fluent_forward_is_a_door_too(caplog: pytest.LogCaptureFixture) -> None:
    here, there = "http://127.0.0.1:3100", "0.0.0.0:24224"
    assert warnings(caplog, here, there) == [{"forward": there}]
    assert "may push: set forward.shared_key," in caplog.records[0].getMessage()
    assert warnings(caplog, "http://0.0.0.0:3100", there) == [{"http": "http://0.0.0.0:3100", "forward": there}]
    for good in ({"shared_key": "k"}, {"users": "a:b"}, {"tls_cert": "c", "tls_client_ca": "a"}):
        assert warnings(caplog, here, there, forward=good) == []


def test_a_server_says_so_when_it_starts(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--http", "0.0.0.0:0", "--forward", "127.0.0.1:0") as server:
        (said,) = [line for line in server.log_text.splitlines() if "whoever can reach this server" in line]
        assert "level=warn" in said
        assert "http=http://0.0.0.0:" in said
        assert "forward=" not in said
