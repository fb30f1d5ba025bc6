"""The hub: who watches when, what is evaluated once, what happens when it is too much."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.tail import backlog as module
from gateway.tail.figures import DropReason
from gateway.tail.frames import Form, Frame, Shape
from gateway.tail.group import Fresh, Group
from gateway.tail.outbox import Outbox
from gateway.tail.tails import Tails
from logql import LogExpr, parse_log
from storage import Store
from tests.storage.entries import NOON, entry, send, start

FORM = Form(Shape.STREAM)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = start(tmp_path)
    yield opened
    opened.close()


class Hub:
    """Tails over a store, and what they get."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tails = Tails()
        self.failed: list[str] = []

    def open(self, query: str = '{app="a"}', tenant: str = "t", delay: int = 0) -> Outbox:
        expr = parse_log(query)
        assert isinstance(expr, LogExpr)
        outbox = self.tails.open(self.store, tenant, expr, FORM, delay, lambda: self.failed.append(query))
        outbox.begin_after(0)
        return outbox

    def close(self, outbox: Outbox, tenant: str = "t") -> None:
        self.tails.close(self.store, tenant, outbox)

    async def push(self, *lines: str, app: str = "a", tenant: str = "t", first: int = NOON) -> None:
        some = [entry(app, first + place, line) for place, line in enumerate(lines)]
        await asyncio.to_thread(send(self.store, some, tenant).get)


def run(test: Callable[[Hub], Awaitable[None]], store: Store) -> None:
    async def main() -> None:
        hub = Hub(store)
        try:
            async with asyncio.timeout(20):
                await test(hub)
        finally:
            hub.tails.stop()

    asyncio.run(main())


async def got(outbox: Outbox, count: int) -> list[str]:
    """So many lines."""
    found: list[str] = []
    while len(found) < count:
        found += [stream["values"][0][1] for stream in json.loads(await outbox.next())["streams"]]
    return found


def watched(store: Store) -> bool:
    return store._state.watcher is not None


def test_the_store_is_watched_while_somebody_tails(store: Store) -> None:
    async def test(hub: Hub) -> None:
        assert not watched(store)
        first, second = hub.open(), hub.open('{app="b"}')
        assert watched(store)
        hub.close(first)
        assert watched(store)
        hub.close(second)
        assert not watched(store)
        assert hub.tails.figures.queries == 0
        third = hub.open()
        await hub.push("again")
        assert await got(third, 1) == ["again"]

    run(test, store)


def test_the_same_question_is_asked_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    take = Group.take

    def counted(group: Group, fresh: Fresh, now: int, check: Callable[[], None]) -> Iterator[Frame]:
        asked.append(group.key[1])
        return take(group, fresh, now, check)

    monkeypatch.setattr(Group, "take", counted)

    async def test(hub: Hub) -> None:
        same = [hub.open('{app="a"}|="x"'), hub.open('{app="a"} |= `x`'), hub.open('{app="a"} |= "x"')]
        other = hub.open('{app=~"a|b"}')
        assert hub.tails.figures.queries == 2
        await hub.push("x")
        assert [await got(outbox, 1) for outbox in (*same, other)] == [["x"]] * 4
        assert sorted(asked) == ['{app="a"} |= "x"', '{app=~"a|b"}']

    run(test, store)


def test_what_another_tenant_pushes_is_not_looked_at(store: Store) -> None:
    async def test(hub: Hub) -> None:
        outbox = hub.open()
        await hub.push("theirs", tenant="u")
        await hub.push("mine")
        assert await got(outbox, 1) == ["mine"]

    run(test, store)


def test_a_query_that_fails_ends_its_tails_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    take = Group.take

    def failing(group: Group, fresh: Fresh, now: int, check: Callable[[], None]) -> Iterator[Frame]:
        if "bad" in group.key[1]:
            raise ZeroDivisionError
        return take(group, fresh, now, check)

    monkeypatch.setattr(Group, "take", failing)

    async def test(hub: Hub) -> None:
        hub.open('{app="a"} != "bad"')
        good = hub.open()
        await hub.push("x")
        assert await got(good, 1) == ["x"]
        await hub.push("y", first=NOON + 9)
        assert await got(good, 1) == ["y"]
        assert set(hub.failed) == {'{app="a"} != "bad"'}

    run(test, store)


def test_what_it_cannot_look_at_in_time_is_told_as_dropped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKLOG_BYTES", 10)
    entered, go_on = threading.Event(), threading.Event()
    take = Group.take

    def slow(group: Group, fresh: Fresh, now: int, check: Callable[[], None]) -> Iterator[Frame]:
        entered.set()
        assert go_on.wait(20)
        return take(group, fresh, now, check)

    monkeypatch.setattr(Group, "take", slow)

    async def test(hub: Hub) -> None:
        outbox = hub.open('{app="a"} |= "l"')
        await hub.push("long enough", first=NOON)
        await asyncio.to_thread(entered.wait)
        await hub.push("lost", "lost too", first=NOON + 10)
        await hub.push("other", app="b", first=NOON + 20)
        go_on.set()
        frames: list[dict[str, Any]] = []
        while not any("dropped_entries" in frame for frame in frames):
            frames.append(json.loads(await outbox.next()))
        assert [stream["values"][0][1] for frame in frames for stream in frame["streams"]] == ["long enough"]
        assert frames[-1]["dropped_entries"] == [
            {"timestamp": str(NOON + place), "labels": {"app": "a"}} for place in (10, 11)
        ]
        assert hub.tails.figures.dropped == {DropReason.BEHIND: 2}
        await hub.push("well", first=NOON + 30)
        assert await got(outbox, 1) == ["well"]

    run(test, store)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Set when the thread begins to look at rows; it goes on when the second one is set."""
    entered, go_on = threading.Event(), threading.Event()
    take = Group.take

    def slow(group: Group, fresh: Fresh, now: int, check: Callable[[], None]) -> Iterator[Frame]:
        entered.set()
        assert go_on.wait(20)
        return take(group, fresh, now, check)

    monkeypatch.setattr(Group, "take", slow)
    yield entered, go_on
    go_on.set()


async def told(outbox: Outbox) -> list[dict[str, Any]]:
    """The next dropped entries."""
    while True:
        frame = json.loads(await outbox.next())
        if "dropped_entries" in frame:
            dropped: list[dict[str, Any]] = frame["dropped_entries"]
            return dropped


Gate = tuple[threading.Event, threading.Event]


def test_a_tenants_backlog_takes_nothing_from_another(
    store: Store, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    monkeypatch.setattr(module, "BACKLOG_BYTES", 2000)
    entered, go_on = gate

    async def test(hub: Hub) -> None:
        loud, quiet = hub.open(), hub.open(tenant="u")
        await hub.push("first")
        await asyncio.to_thread(entered.wait)
        for number in range(100):
            await hub.push("x" * 500, first=NOON + 10 + number)
        for number in range(3):
            await hub.push(f"{number}", tenant="u", first=NOON + number)
        go_on.set()
        assert await got(quiet, 3) == ["0", "1", "2"]
        assert await told(loud)
        dropped = hub.tails.figures.dropped[DropReason.BEHIND]
        assert 90 < dropped < 100
        assert len(await got(loud, 0)) == 0

    run(test, store)


def test_each_tail_is_told_and_each_row_counted_however_many_are_missed(
    store: Store, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    monkeypatch.setattr(module, "BACKLOG_BYTES", 10)
    monkeypatch.setattr(module, "MISSED_ROWS", 50)
    entered, go_on = gate

    async def test(hub: Hub) -> None:
        many, one, none = hub.open(), hub.open('{app="b"}'), hub.open('{app="c"}')
        await hub.push("first")
        await asyncio.to_thread(entered.wait)
        for number in range(100):
            await hub.push("x", "y", first=NOON + 10 + 2 * number)
        some = [entry("a", NOON + 1000 + place, "x") for place in range(1500)]
        await asyncio.to_thread(send(store, [*some, entry("b", NOON + 3000, "late")], "t").get)
        go_on.set()
        assert await told(one) == [{"timestamp": str(NOON + 3000), "labels": {"app": "b"}}]
        dropped = await told(many)
        times = [int(each["timestamp"]) - NOON for each in dropped]
        assert times == [*range(10, 60), 2499]
        assert hub.tails.figures.dropped == {DropReason.BEHIND: 1701}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await none.next()

    run(test, store)


def test_empty_lines_count_with_their_metadata(store: Store, gate: Gate) -> None:
    entered, go_on = gate

    async def test(hub: Hub) -> None:
        hub.open()
        await hub.push("first")
        await asyncio.to_thread(entered.wait)
        some = [entry("a", NOON + 10 + place, "", user=f"{place:0100}") for place in range(1000)]
        await asyncio.to_thread(send(store, some, "t").get)
        assert hub.tails._backlog._bytes["t"] > 1000 * (12 + 100)
        go_on.set()

    run(test, store)


def test_what_is_held_back_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tail.group.HELD_BYTES", 2_000)

    async def test(hub: Hub) -> None:
        outbox = hub.open(delay=3_600_000_000_000)
        now = time.time_ns()
        await hub.push("c" * 300, first=now + 100)
        await hub.push("b" * 300, first=now + 50)
        await hub.push("a" * 3000, first=now)
        assert [line[0] for line in await got(outbox, 3)] == ["a", "b", "c"]

    run(test, store)


def test_many_small_commits_make_few_frames(store: Store) -> None:
    async def test(hub: Hub) -> None:
        outbox = hub.open()
        outcomes = [send(store, [entry("a", NOON + place, f"{place}")]) for place in range(300)]
        await asyncio.to_thread(lambda: [outcome.get() for outcome in outcomes])
        found, frames = 0, 0
        while found < 300:
            found += len(json.loads(await outbox.next())["streams"])
            frames += 1
        assert frames < 100

    run(test, store)


def test_ending_wakes_all_and_ends_the_thread(store: Store) -> None:
    async def test(hub: Hub) -> None:
        hub.open()
        thread = hub.tails._thread
        assert thread is not None
        hub.tails.stop()
        assert hub.tails.stopping.is_set()
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()

    run(test, store)
