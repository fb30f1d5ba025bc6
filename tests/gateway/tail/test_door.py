"""Where what there is ends and what comes begins; what a tail that fails leaves behind."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.types import Message

from config import Limits
from gateway.auth import Scope
from gateway.query.errors import BadParameter
from gateway.query.pool import Ticket
from gateway.state import Gateway, InFlight
from gateway.tail import door
from gateway.tail.asked import read_tail
from gateway.tail.door import _Sending
from gateway.tail.frames import Form, Shape
from gateway.tail.tails import Tails
from gateway.websockets import serve_socket
from logql import EntryColumns, LogExpr
from storage import Store
from tests.storage.entries import NOON, entry, send, start

SIZE = 100_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = start(tmp_path)
    yield opened
    opened.close()


class Queries:
    """A pool without a free thread: until there is one, much is committed."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def run(self, ticket: Ticket, work: Callable[[], EntryColumns]) -> EntryColumns:
        del ticket
        await asyncio.to_thread(push, self.store, range(40, 60))
        await asyncio.sleep(0.3)  # its frames are in the outbox
        return await asyncio.to_thread(work)


def push(store: Store, numbers: range) -> None:
    for number in numbers:
        send(store, [entry("a", NOON + number, f"{number:02}" + "x" * SIZE)]).get()


@pytest.mark.parametrize("again", [False, True])
def test_what_is_committed_while_history_waits_is_there_once_or_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    def twice(store: Store, work: Callable[[], EntryColumns]) -> EntryColumns:
        """As if the first time a damaged block was met."""
        if again:
            work()
            push(store, range(60, 90))
        return work()

    monkeypatch.setattr(door, "past_damage", twice)

    async def main() -> None:
        tails, sent = Tails(), list[str]()
        query = SimpleNamespace(max_memory=0, timeout=60_000_000_000)
        gateway = SimpleNamespace(
            store=store, tails=tails, queries=Queries(store), settings=SimpleNamespace(query=query)
        )

        async def send_text(text: str) -> None:
            sent.append(text)

        socket = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(gateway=gateway)), send_text=send_text)
        asked = read_tail({"query": ['{app="a"}'], "start": [str(NOON)], "limit": ["1000"]}, time.time_ns())
        assert isinstance(asked.expr, LogExpr)
        outbox = tails.open(store, "t", asked.expr, Form(Shape.STREAM), 0, lambda: None)
        await asyncio.to_thread(push, store, range(40))
        limits = Limits(max_query_length=0)
        sending = asyncio.ensure_future(_Sending(cast("Any", socket), "t", limits, asked, outbox).run())
        end = 90 if again else 60
        seen: list[int] = []
        async with asyncio.timeout(20):
            while len(seen) < end:
                await asyncio.sleep(0.05)
                assert not sending.done()
                frames = [json.loads(text) for text in sent]
                seen = [int(stream["values"][0][1][:2]) for each in frames for stream in each["streams"]]
                seen += [int(each["timestamp"]) - NOON for frame in frames for each in frame.get("dropped_entries", [])]
        assert sorted(seen) == list(range(end))
        sending.cancel()
        tails.stop()

    asyncio.run(main())


def test_a_tail_that_failed_holds_nothing_once_it_is_answered() -> None:
    class Snapshot:
        pass

    held: list[weakref.ref[Snapshot]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive, send
        snapshot = Snapshot()
        held.append(weakref.ref(snapshot))
        error = BadParameter("a frame that holds its error")
        raise error

    async def sent(message: Message) -> None:
        del message

    metrics = SimpleNamespace(panic=lambda: None, socket_done=lambda *_: None)
    requests = SimpleNamespace(add=lambda _: None, discard=lambda _: None)
    gateway = cast("Gateway", SimpleNamespace(requests=requests, metrics=metrics))
    request = cast("InFlight", SimpleNamespace(**dict.fromkeys(("method", "path", "client", "route_label"), "-")))
    vars(request).update(started=time.monotonic(), scope={}, permission=Scope.QUERY)
    gc.disable()
    try:
        asyncio.run(serve_socket(gateway, app, request, cast("Any", None), sent))
        assert held[0]() is None
    finally:
        gc.enable()
