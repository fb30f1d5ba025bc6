"""Servers that pass on to one another: each line once, whatever ends when, and no loops."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.relay.wire import Fault, Wire
from tests.gateway.relay.servers import FAST, JSON_LOG, events, lines, metric, metrics, push, running, server, streams
from tests.server import wait_until


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


@pytest.fixture
def wires() -> Iterator[list[Wire]]:
    made = [Wire(), Wire(), Wire()]
    yield made
    for each in made:
        each.close()


def told(url: str) -> dict[str, Any]:
    """GET /weir/v1/relay."""
    with urllib.request.urlopen(f"{url}/weir/v1/relay", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_a_kill_between_the_answer_and_its_note_stores_nothing_twice(tmp_path: Path, wire: Wire) -> None:
    edge = server(tmp_path / "edge", FAST | JSON_LOG | {"upstream.url": wire.url})
    central = server(tmp_path / "central")
    with running(central):
        wire.to(central.url)
        with running(edge):
            wire.suffer(Fault.NO_ANSWERS)
            push(edge.url, ["one", "two"])
            assert wait_until(lambda: lines(central.url) == ["one", "two"])
            edge.kill()
            push_id = events(edge, "batch started")[0]["batch"]
            wire.suffer(Fault.NONE)
            edge.start()
            push(edge.url, ["three"])
            assert wait_until(lambda: metric(edge.url, "archived_records_total") == 3)
            assert metric(edge.url, "deduplicated_batches_total") == 1
            assert events(edge, "batch archived")[0] == events(edge, "batch archived")[0] | {
                "batch": push_id,
                "deduplicated": True,
            }
            assert lines(central.url) == ["one", "three", "two"]
            (instance,) = told(central.url)["instances"]
            assert (instance["instance"], instance["batches"], instance["records"]) == ("edge", 2, 3)


def test_three_in_a_row_each_puts_its_label(tmp_path: Path, wires: list[Wire]) -> None:
    edge = server(tmp_path / "edge", FAST | {"upstream.url": wires[0].url, "upstream.add_labels": "site=berlin"})
    regional = server(tmp_path / "regional", FAST | {"upstream.url": wires[1].url, "upstream.add_labels": "region=eu"})
    central = server(tmp_path / "central")
    with running(central, regional, edge):
        wires[1].to(central.url)
        wires[0].to(regional.url)
        push(edge.url, ["from the edge"])
        push(regional.url, ["from the region"])
        assert wait_until(lambda: lines(central.url) == ["from the edge", "from the region"])
        assert lines(central.url, '{region="eu", site="berlin"}') == ["from the edge"]
        assert lines(edge.url, '{site="berlin"}') == []
        (instance,) = told(central.url)["instances"]
        assert instance["instance"] == "regional"
        assert instance["path"][0] == "regional"


@pytest.mark.parametrize("count", [2, 3])
def test_a_loop_is_refused_and_named_and_nothing_is_lost(tmp_path: Path, wires: list[Wire], count: int) -> None:
    names = ["edge", "regional", "central"][:count]
    ring = [
        server(tmp_path / name, FAST | JSON_LOG | {"upstream.url": wires[(at + 1) % count].url})
        for at, name in enumerate(names)
    ]
    with running(*ring):
        for each, wire in zip(ring, wires, strict=False):
            wire.to(each.url)
        push(ring[0].url, ["round and round"])
        last = ring[-1]
        assert wait_until(lambda: metric(last.url, "consecutive_failures") >= 2)
        error = events(last, "batch failed")[0]["error"]
        assert error.startswith("HTTP 508: this server, edge (")
        assert all(name in error for name in names)
        for each in ring:
            assert lines(each.url) == ["round and round"]
        assert metric(last.url, "backlog_records") == 1
        assert wait_until(lambda: "nothing gets through" in last.log_text)
        # After a restart it knows from its log where it was heard from.
        last.kill()
        last.start()
        wires[count - 1].to(last.url)
        assert wait_until(lambda: bool(events(last, "batch failed")))
        assert events(last, "batch failed")[0]["error"].startswith("HTTP 508")


def test_tenants_stay_apart_and_compressions_give_the_same_rows(tmp_path: Path) -> None:
    central = server(tmp_path / "central", {"tenancy.enabled": "true"})
    with running(central):
        to = [{"name": "own", "url": central.url, "batch_interval": "50ms"}]
        to += [
            {"name": each, "url": central.url, "batch_interval": "50ms", "tenant": each, "compression": each}
            for each in ("gzip", "snappy", "none")
        ]
        edge = server(tmp_path / "edge", {"tenancy.enabled": "true", "upstreams": json.dumps(to)})
        with running(edge):
            push(edge.url, ['of a: <é"\\\u2028>', "", "level=warn x"], {"app": 'q"é\n', "dc": "1"}, tenant="a")
            push(edge.url, ["of b", "more of b"], tenant="b")
            for name in ("own", "gzip", "snappy", "none"):
                assert wait_until(lambda name=name: metric(edge.url, "archived_records_total", name) == 5)  # type: ignore[misc]
        assert lines(central.url, tenant="b") == ["more of b", "of b"]
        assert streams(central.url, tenant="a") == streams(central.url, '{dc="1"}', tenant="gzip")
        assert lines(central.url, tenant="gzip") == sorted(
            lines(central.url, tenant="a") + lines(central.url, tenant="b")
        )
        found = [streams(central.url, tenant=each) for each in ("gzip", "snappy", "none")]
        assert found[0] == found[1] == found[2]
        received = metrics(central.url, "weir_instance_records_total")
        assert sum(received.values()) == 20


def test_a_key_over_http_is_warned_of_at_each_start_and_never_shown(tmp_path: Path) -> None:
    settings = FAST | {"upstream.url": "http://user:passw0rd@127.0.0.1:1", "upstream.api_key": "s3cretkey"}
    edge = server(tmp_path / "edge", settings)
    with running(edge):
        push(edge.url, ["one"])
        assert wait_until(lambda: metric(edge.url, "consecutive_failures") >= 2)
        for _ in range(2):
            assert "upstream upstream: http://***@127.0.0.1:1 is http:// and gets a key in clear text" in edge.log_text
            with urllib.request.urlopen(f"{edge.url}/config", timeout=30) as answer:
                shown = answer.read().decode()
            assert "url: http://***@127.0.0.1:1" in shown
            for text in (shown, edge.log_text, json.dumps(told(edge.url))):
                assert "passw0rd" not in text
                assert "s3cretkey" not in text
            edge.kill()
            edge.start()
