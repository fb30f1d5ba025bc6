"""How an export ends when it cannot go on: the client is told what it missed, and the place is free again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message

from config import Settings
from gateway.export import door
from gateway.query.errors import QueryCancelled
from logql import Unit
from storage.batch import Batch, Labels
from storage.errors import StorageError
from storage.reading import EVERYTHING, Columns, Times
from tests.batch_unit import BatchUnit
from tests.gateway.world import World
from tests.logql.memory_source import Stored, batch_of

STREAM: Labels = (("app", "a"),)
SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/weir/v1/export",
    "raw_path": b"/weir/v1/export",
    "query_string": b"query=%7Bapp%3D%22a%22%7D&start=0&end=1&direction=forward",
    "headers": [],
    "client": ("127.0.0.1", 1),
}
LONG = 40_000
"""Bytes of a line: ten of them are a piece."""


class Unreadable(BatchUnit):
    """Its contents cannot be read, and it is nothing that can be put aside."""

    def read(self, times: Times, columns: Columns = EVERYTHING) -> Batch:
        del times, columns
        raise StorageError("the disk is gone")


def world(*, breaks: bool) -> World:
    """Units of ten long lines, of which the eighth cannot be read if it `breaks`; a piece has one of them."""
    made = World(Settings())

    def scan(*_: object) -> Iterator[Unit]:
        for number in range(10):
            batch = batch_of([Stored(STREAM, 10 * number + at, b"x" * LONG) for at in range(10)])
            yield (Unreadable if breaks and number == 7 else BatchUnit)(batch, number)

    made.store.scan = scan  # type: ignore[method-assign, assignment]
    return made


async def asked(made: World, sent: list[Message], *, takes: int) -> None:
    """An export whose client takes so many messages and then nothing more, without going away."""

    async def send(message: Message) -> None:
        if len(sent) >= takes:
            await asyncio.Event().wait()
        sent.append(message)

    asks = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        for message in asks:
            return message
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    await made.app(dict(SCOPE), receive, send)


def test_an_export_that_fails_ends_with_a_mark_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PIECE", 10 * LONG)
    made = world(breaks=True)
    sent: list[Message] = []
    with pytest.raises(StorageError, match="the disk is gone"):  # the connection is closed by it
        asyncio.run(asked(made, sent, takes=1 << 20))
    rows = [json.loads(line) for line in b"".join(one.get("body", b"") for one in sent).splitlines()]
    shown = [row["ts"] for row in rows if "ts" in row]
    marks = [row["mark"] for row in rows if "mark" in row]
    assert shown == [str(ts) for ts in range(len(shown))]
    assert 0 < len(shown) <= 70
    assert "the disk is gone" in marks[-1]["error"]
    assert marks[-1]["lines"] == len(shown)
    assert not any("complete" in mark for mark in marks)
    assert sent[-1].get("more_body"), "an answer without its end is seen to be cut"
    assert made.gateway.exports.running == 0
    assert made.metric('weir_exports_total{outcome="failed"}') == 1
    assert made.metric("weir_export_lines_total") >= len(shown)


@pytest.mark.parametrize("takes", [0, 1, 4])
def test_a_client_that_takes_nothing_gives_its_place_back(monkeypatch: pytest.MonkeyPatch, takes: int) -> None:
    monkeypatch.setattr(door, "PIECE", 10 * LONG)
    monkeypatch.setattr(door, "STALLED", 0.05)
    made = world(breaks=False)
    sent: list[Message] = []

    with pytest.raises(QueryCancelled):  # the connection is closed by it
        asyncio.run(asyncio.wait_for(asked(made, sent, takes=takes), 30))
    assert len(sent) == takes
    assert made.gateway.exports.running == 0
    assert made.metric('weir_exports_total{outcome="left"}') == 1


def test_a_whole_export_counts_its_lines_and_bytes() -> None:
    made = world(breaks=False)
    params = {"query": '{app="a"}', "start": "0", "end": "1"}
    answer = made.ask("GET", "/weir/v1/export", params=params, headers={"Accept-Encoding": "identity"})
    assert json.loads(answer.text.splitlines()[-1])["mark"]["complete"]
    assert made.metric("weir_export_lines_total") == 100
    assert made.metric("weir_export_bytes_total") == len(answer.content)
    assert made.metric('weir_exports_total{outcome="complete"}') == 1
    assert made.metric("weir_exports_running") == 0
