"""GET /health: the server and its parts."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from gateway.state import Phase
from storage import open_store
from storage.figures import Counters, Figures
from tests.gateway.world import World


def test_a_server_that_serves_is_ok(world: World, tmp_path: Path) -> None:
    store = open_store(tmp_path / "data")
    try:
        world.gateway.opened(store)
        answer = world.get("/health")
    finally:
        store.close()
    said = answer.json()
    assert (answer.status_code, said["status"], said["service"]) == (200, "ok", "weir")
    assert abs(datetime.fromisoformat(said["timestamp"]).timestamp() - time.time()) < 60
    assert {name: part["status"] for name, part in said["components"].items()} == {
        "store": "ok",
        "wal": "ok",
        "flush": "ok",
        "forward": "off",
    }


def test_a_part_that_is_not_well_makes_it_degraded_and_not_unavailable(world: World) -> None:
    figures = world.store.figures()

    def shown(**changes: object) -> tuple[int, str, str, str]:
        changed: Figures = replace(figures, **changes)  # type: ignore[arg-type]
        world.store.figures = lambda: changed  # type: ignore[method-assign]
        answer = world.get("/health")
        said = answer.json()
        return (
            answer.status_code,
            said["status"],
            said["components"]["wal"]["status"],
            said["components"]["flush"]["status"],
        )

    assert shown() == (200, "ok", "ok", "ok")
    assert shown(counters=Counters(refusing=True)) == (200, "degraded", "refusing", "ok")
    assert shown(reserve_held=False) == (200, "degraded", "refusing", "ok")
    assert shown(flush_failing=True) == (200, "degraded", "ok", "failing")


def test_a_server_that_starts_or_stops_is_503(world: World) -> None:
    world.gateway.phase = Phase.STOPPING
    answer = world.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "stopping")
    world.gateway.phase = Phase.STARTING
    world.gateway._store = None
    answer = world.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "starting")
    assert answer.json()["components"]["store"]["status"] == "opening the store"


def test_the_forward_door_is_shown_when_it_is_open(world: World) -> None:
    world.gateway.forward.listening = True
    world.gateway.forward.connections = 3
    assert world.get("/health").json()["components"]["forward"] == {"status": "ok", "connections": 3}
