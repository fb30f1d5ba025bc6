"""Answers in pieces: whole while short, one piece at a time when long, none for a client that has left."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator

import pytest
from starlette.responses import Response
from starlette.types import Message

from gateway.query.answer import WHOLE, answer_of
from gateway.query.errors import QueryCancelled
from gateway.query.pool import QueryPool
from tests.gateway.world import World

PIECE = b"0123456789abcdef" * (16 << 10)
COUNT = 12

T0 = 1_795_168_800 * 10**9


class Pieces:
    """A body of COUNT pieces that knows how far it was asked for."""

    def __init__(self) -> None:
        self.made = 0
        self.threads: set[str] = set()
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            while self.made < COUNT:
                self.made += 1
                self.threads.add(threading.current_thread().name)
                yield PIECE
        finally:
            self.closed = True


class Client:
    """Takes messages; `takes` says how many bodies before it stops reading, `leaves` how many before it hangs up."""

    def __init__(self, takes: int = 1000, leaves: int = 1000) -> None:
        self.messages: list[Message] = []
        self.blocked = asyncio.Event()
        self._gone = asyncio.Event()
        self._takes = takes
        self._leaves = leaves

    async def receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        bodies = len(self.messages) - 1
        if bodies >= self._leaves:
            self._gone.set()
        if bodies >= self._takes:
            self.blocked.set()
            await asyncio.Event().wait()

    def hang_up(self) -> None:
        self._gone.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


@pytest.fixture
def pool() -> Iterator[QueryPool]:
    made = QueryPool(1, 1)
    yield made
    made.close()


def go_on() -> None:
    """The check of a query that is wanted."""


async def sent(response: Response, client: Client) -> None:
    async with asyncio.timeout(20):
        await response({"type": "http"}, client.receive, client.send)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what is waited for happens on another thread
            await asyncio.sleep(0.001)


def test_a_short_answer_is_sent_whole_with_its_length(pool: QueryPool) -> None:
    response = answer_of(iter([b"a" * 500, b"b" * 500]), "", go_on, pool)
    assert (response.body, response.headers["content-length"]) == (b"a" * 500 + b"b" * 500, "1000")


def test_a_long_answer_is_sent_in_pieces_made_off_the_event_loop(pool: QueryPool) -> None:
    async def main() -> None:
        pieces, client = Pieces(), Client()
        response = answer_of(iter(pieces), "", go_on, pool)
        assert pieces.made == WHOLE // len(PIECE) + 1
        pieces.threads.clear()
        assert "content-length" not in response.headers
        await sent(response, client)
        assert client.body == PIECE * COUNT
        assert client.messages[0]["status"] == 200
        assert [message["more_body"] for message in client.messages[1:-1]] == [True] * COUNT
        assert not client.messages[-1].get("more_body", False)
        assert {name.partition("_")[0] for name in pieces.threads} == {"answer"}

    asyncio.run(main())


def test_no_piece_is_made_while_the_client_does_not_read(pool: QueryPool) -> None:
    async def main() -> None:
        pieces, client = Pieces(), Client(takes=6)
        sending = asyncio.ensure_future(sent(answer_of(iter(pieces), "", go_on, pool), client))
        await client.blocked.wait()
        await asyncio.sleep(0.05)
        assert pieces.made == 6
        client.hang_up()
        await sending

    asyncio.run(main())


def test_a_client_that_leaves_ends_the_work(pool: QueryPool) -> None:
    async def main() -> None:
        pieces, client = Pieces(), Client(leaves=7)
        await sent(answer_of(iter(pieces), "", go_on, pool), client)
        await until(lambda: pieces.closed)
        assert pieces.made < COUNT

    asyncio.run(main())


def test_a_query_that_is_not_wanted_any_more_makes_no_pieces(pool: QueryPool) -> None:
    def stop() -> None:
        raise QueryCancelled

    pieces = Pieces()
    with pytest.raises(QueryCancelled):
        answer_of(iter(pieces), "", stop, pool)
    assert pieces.made == 1


def test_a_long_answer_is_compressed_piece_by_piece(pool: QueryPool) -> None:
    async def main() -> None:
        client = Client()
        response = answer_of(iter(Pieces()), "gzip", go_on, pool)
        await sent(response, client)
        assert response.headers["content-encoding"] == "gzip"
        assert gzip.decompress(client.body) == PIECE * COUNT

    asyncio.run(main())


def test_a_piece_that_cannot_be_made_fails_the_request(pool: QueryPool) -> None:
    def broken() -> Iterator[bytes]:
        yield from [PIECE] * 8
        raise ZeroDivisionError

    async def main() -> None:
        client = Client()
        with pytest.raises(ZeroDivisionError):
            await sent(answer_of(broken(), "", go_on, pool), client)
        assert client.messages[-1]["more_body"]

    asyncio.run(main())


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_query_with_a_long_answer_is_answered(world: World, encoding: str) -> None:
    lines = [b"%d " % number + b"<x>" * 200 for number in range(4000)]
    world.store.add({"app": "web"}, *((T0 + number, line) for number, line in enumerate(lines)))
    params = {"query": '{app="web"}', "start": str(T0), "end": str(T0 + 10**9), "limit": "5000", "direction": "forward"}
    answer = world.ask("GET", "/loki/api/v1/query_range", params=params, headers={"Accept-Encoding": encoding})
    assert "content-length" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers.get("content-encoding", "identity") == encoding
    values = answer.json()["data"]["result"][0]["values"]
    assert [(int(ts), line.encode()) for ts, line in values] == [(T0 + i, line) for i, line in enumerate(lines)]
