"""A real server whose disk refuses, and takes again: its notifier is told once of each."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.forks import ForkedServer
from tests.crash.traffic import Connection, Line, push_body
from tests.forks import shared
from tests.gateway.notify.receiver import Receiver
from tests.server import wait_until

LOOK_OFTEN = {"gateway.notify.watch.LOOK_EVERY": 0.05, "gateway.notify.channel.FIRST_WAIT": 0.05}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture
def server(tmp_path: Path, receiver: Receiver) -> Iterator[ForkedServer]:
    notify = json.dumps([{"kind": "webhook", "name": "ops", "url": receiver.url, "source": "edge-7"}])
    flags = ("--set", "wal.reserve=1MB", "--set", f"notify={notify}")
    with ForkedServer(shared(), tmp_path / "data", *flags, constants=LOOK_OFTEN) as found:
        yield found


def push(server: ForkedServer) -> int:
    with Connection(server.url) as connection:
        return connection.push(push_body([Line((("job", "a"),), time.time_ns(), "a line")])).status


@pytest.mark.parametrize(
    ("fault", "key", "severity"),
    [("fail write", "disk", "critical"), ("fail fdatasync fsync ftruncate", "sync", "critical")],
)
def test_a_disk_that_refuses_is_told_once_and_so_is_its_end(
    server: ForkedServer, receiver: Receiver, fault: str, key: str, severity: str
) -> None:
    assert push(server) == 204
    server.suffer(fault)
    for _ in range(3):
        assert push(server) == 503
    assert receiver.waits_for(1) == [("raised", key)]
    assert push(server) == 503
    with Connection(server.url) as connection:
        page = connection.get("/metrics").text
    assert f'weir_alerts{{alert="{key}"}} 1.0' in page
    assert 'weir_notifications_total{notifier="ops",outcome="failed"} 0.0' in page
    server.suffer()
    assert wait_until(lambda: push(server) == 204)
    assert receiver.waits_for(2) == [("raised", key), ("resolved", key)]
    raised, resolved = (got.body for got in receiver.got)
    assert (raised["source"], raised["severity"], raised["event"]) == ("edge-7", severity, key)
    assert raised["details"]["data_dir"] == str(server.data_dir)
    assert raised["raised_at"] == resolved["raised_at"] < resolved["resolved_at"]
    assert push(server) == 204
    assert server.stop() == 0
    assert len(receiver.got) == 2
    assert "t0psecret" not in server.log_text
    assert f"alert={key}" in server.log_text


def test_what_was_wrong_before_a_kill_is_said_to_be_over_after_the_next_start(
    server: ForkedServer, receiver: Receiver
) -> None:
    assert push(server) == 204
    server.suffer("fail write")
    assert push(server) == 503
    assert receiver.waits_for(1) == [("raised", "disk")]
    state = server.data_dir / "alerts.json"
    assert wait_until(lambda: '"told":{"ops":[{' in state.read_text())
    server.kill()
    server.suffer()
    server.start()
    assert receiver.waits_for(2) == [("raised", "disk"), ("resolved", "disk")]
    assert server.stop() == 0
    server.start()
    assert push(server) == 204
    assert server.stop() == 0
    assert len(receiver.got) == 2


def test_flushes_that_fail_are_told_and_so_is_the_next_that_does_not(server: ForkedServer, receiver: Receiver) -> None:
    assert push(server) == 204
    with Connection(server.url) as connection:
        server.suffer("fail rename")
        assert connection.ask("POST", "/flush").status == 503
        assert receiver.waits_for(1) == [("raised", "flush")]
        server.suffer()
        assert connection.ask("POST", "/flush").status == 204
    assert receiver.waits_for(2) == [("raised", "flush"), ("resolved", "flush")]
    assert server.stop() == 0
    assert len(receiver.got) == 2


def test_a_damaged_block_is_told_until_somebody_has_given_it_up(server: ForkedServer, receiver: Receiver) -> None:
    assert push(server) == 204
    with Connection(server.url) as connection:
        assert connection.ask("POST", "/flush").status == 204
        (block,) = server.data_dir.glob("blocks/*/*/*.parquet")
        block.write_bytes(block.read_bytes()[:-200])
        server.stop()
    server.start()
    with Connection(server.url) as connection:
        connection.get("/loki/api/v1/query_range", query='{job="a"}')
    assert receiver.waits_for(1) == [("raised", "block")]
    assert receiver.got[0].body["details"]["blocks"] == "1"
    assert server.stop() == 0
    server.start()
    (aside,) = server.data_dir.glob("quarantine/blocks/*/*/*.parquet")
    assert server.stop() == 0
    assert len(receiver.got) == 1, "a restart tells nothing anew"
    aside.unlink()
    server.start()
    assert receiver.waits_for(2) == [("raised", "block"), ("resolved", "block")]
