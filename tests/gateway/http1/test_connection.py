"""Bytes of a client over a real socket, through the listener, to a small ASGI app, and back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config import Settings
from gateway.http1 import AT_HAND, connection
from gateway.listener import Listener
from gateway.metrics import Metrics

Client: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Talk: TypeAlias = Callable[[Listener, Callable[[], Awaitable[Client]]], Awaitable[None]]
GET = b"GET /got HTTP/1.1\r\nHost: weir\r\n\r\n"
SECONDS = 20.0


def post(body: bytes, extra: bytes = b"") -> bytes:
    return b"POST /posted HTTP/1.1\r\nHost: weir\r\n%bContent-Length: %d\r\n\r\n%b" % (extra, len(body), body)


def talk(app: ASGIApp, conversation: Talk, **server: Any) -> None:
    """Runs a conversation with the app behind a listener on a port of its own."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            bound.setblocking(False)
            listener = Listener(app, Settings.model_validate({"server": server}), Metrics("1"), bound)
            await listener.start()
            writers: list[asyncio.StreamWriter] = []

            async def connect() -> Client:
                client = await asyncio.open_connection(*bound.getsockname())
                writers.append(client[1])
                return client

            async with asyncio.timeout(SECONDS):
                await conversation(listener, connect)
            for writer in writers:
                writer.close()
            await listener.stop(1.0)
            await listener.cut()

    asyncio.run(main())


async def body_of(receive: Receive) -> bytes:
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def answer(send: Send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"%d" % len(body)), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with method, path, query and body."""
    body = await body_of(receive)
    path: str = scope["path"]
    await answer(send, b"%b %b %b %b" % (scope["method"].encode(), path.encode(), scope["query_string"], body))


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
    return int(head.split()[1]), await reader.readexactly(length)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_ordinary_and_other_requests_are_answered_in_order_however_they_are_cut(size: int) -> None:
    chunked = b"PUT /chunks HTTP/1.1\r\nHost: weir\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    sent = post(b"hello") + GET + post(b"") + chunked + GET.replace(b"got", b"%67ot%20?q=%20") + post(b"end")
    expected = [
        b"POST /posted  hello",
        b"GET /got  ",
        b"POST /posted  ",
        b"PUT /chunks  abc",
        b"GET /got  q=%20 ",
        b"POST /posted  end",
    ]

    async def conversation(_: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        for at in range(0, len(sent), size):
            writer.write(sent[at : at + size])
            await asyncio.sleep(0)
        assert [await read_answer(reader) for _ in expected] == [(200, body) for body in expected]

    talk(echo, conversation)


def test_a_client_that_sends_no_more_gets_all_its_answers_and_then_the_end() -> None:
    async def conversation(_: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        writer.write(post(b"1") + post(b"2") + b"GET /half")
        writer.write_eof()
        assert [(await read_answer(reader))[1][-1:] for _ in "12"] == [b"1", b"2"]
        assert await reader.read() == b""

    talk(echo, conversation)


def test_an_answer_of_unknown_length_is_sent_in_chunks() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"ab", b"", b"c" * 100_000):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def conversation(_: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        for _again in range(2):
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"\r\ntransfer-encoding: chunked\r\n" in head
            assert b"content-length" not in head
            framed = b"2\r\nab\r\n186a0\r\n" + b"c" * 100_000 + b"\r\n0\r\n\r\n"
            assert await reader.readexactly(len(framed)) == framed

    talk(app, conversation)


def test_an_answer_has_its_headers_and_a_date() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await answer(send, b"", (b"x-a", b"1"))

    async def conversation(_: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        writer.write(GET)
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        assert lines[:3] == [b"HTTP/1.1 200 ", b"content-length: 0", b"x-a: 1"]
        assert lines[3].startswith(b"date: ")
        assert lines[3].endswith(b" GMT")

    talk(app, conversation)


async def silent(_scope: Scope, receive: Receive, _send: Send) -> None:
    """Ends without an answer."""
    await body_of(receive)


async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ZeroDivisionError


async def forging(_scope: Scope, _receive: Receive, send: Send) -> None:
    await answer(send, b"", (b"location", b"/\r\nset-cookie: a=b"))


@pytest.mark.parametrize("app", [silent, failing, forging])
def test_an_app_that_does_not_answer_is_a_500_and_the_end(app: ASGIApp) -> None:
    async def conversation(_: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        writer.write(post(b"body") + GET)
        said = await reader.read()
        assert said.startswith(b"HTTP/1.1 500 \r\n")
        assert said.count(b"HTTP/1.1") == 1
        assert b"set-cookie" not in said

    talk(app, conversation)


@pytest.mark.parametrize("body", [b"abc", b"abcdefg"], ids=["too little", "too much"])
def test_an_answer_of_another_length_than_announced_ends_the_connection(body: bytes) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": body[:2], "more_body": True})
        await send({"type": "http.response.body", "body": body[2:]})

    async def conversation(_: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        writer.write(GET + GET)
        said = await reader.read()
        assert said.count(b"HTTP/1.1") == 1
        assert len(said.partition(b"\r\n\r\n")[2]) < 5

    talk(app, conversation)


def test_a_body_that_nobody_takes_stays_in_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_HELD", 10_000)
    goes_on = asyncio.Event()
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await goes_on.wait()
        await answer(send, b"%d" % len(await body_of(receive)))

    async def conversation(listener: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        size = 30_000_000
        writer.write(b"POST / HTTP/1.1\r\nHost: weir\r\nContent-Length: %d\r\n\r\n" % size)
        sending = asyncio.ensure_future(_send_all(writer, size))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.shield(sending)
        (held,) = [one._turn.held for one in listener._open if isinstance(one, connection.Connection) and one._turn]
        assert 0 < held < 1_000_000
        goes_on.set()
        await sending
        assert await read_answer(reader) == (200, b"30000000")

    talk(app, conversation)


async def _send_all(writer: asyncio.StreamWriter, size: int) -> None:
    for _ in range(0, size, 1_000_000):
        writer.write(bytes(1_000_000))
        await writer.drain()


def test_a_client_that_does_not_read_is_not_written_for_and_its_leaving_ends_the_answer() -> None:
    pieces = 0
    ended = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal pieces
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
                pieces += 1
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def conversation(_: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        _reader, writer = await connect()
        writer.write(GET)
        before = -1
        while before != pieces or not pieces:
            before = pieces
            await asyncio.sleep(0.1)
        assert pieces < 1_000
        writer.transport.abort()
        await ended.wait()

    talk(app, conversation)


def test_an_app_that_waits_is_told_when_its_client_leaves() -> None:
    told: asyncio.Queue[Message] = asyncio.Queue()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        for _ in range(2):
            told.put_nowait(await receive())

    async def conversation(_: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        _reader, writer = await connect()
        writer.write(GET)
        assert await told.get() == {"type": "http.request", "body": b"", "more_body": False}
        writer.close()
        assert await told.get() == {"type": "http.disconnect"}

    talk(app, conversation)


def test_what_is_at_hand_is_told_without_waiting() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        at_hand = scope["extensions"][AT_HAND]
        first = at_hand()
        assert first == {"type": "http.request", "body": b"ab", "more_body": True}
        assert at_hand() is None
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        assert await receive() == {"type": "http.request", "body": b"cd", "more_body": False}
        await send({"type": "http.response.body", "body": b"well"})

    async def conversation(_: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        request = post(b"abcd")
        writer.write(request[:-2])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(request[-2:])
        assert await reader.readexactly(9) == b"4\r\nwell\r\n"

    talk(app, conversation)


def test_idle_clients_are_closed_and_working_ones_are_not() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(2.5)
        await answer(send, b"slow")

    async def conversation(_: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        idle, _writer = await connect()
        writer.write(GET)
        assert await idle.read() == b""
        assert await read_answer(reader) == (200, b"slow")
        assert await reader.read() == b""

    talk(app, conversation, keep_alive="2s")


def test_a_stop_ends_idle_clients_at_once_and_the_others_after_their_answer() -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await goes_on.wait()
        await echo(scope, receive, send)

    async def conversation(listener: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        idle, _ = await connect()
        writer.write(GET + GET)
        await begun.wait()
        stopping = asyncio.ensure_future(listener.stop(10.0))
        assert await idle.read() == b""
        goes_on.set()
        assert (await read_answer(reader))[0] == 200
        assert await reader.read() == b""
        assert await stopping

    talk(app, conversation)


def test_what_outlasts_a_stop_is_cut() -> None:
    cancelled = asyncio.Event()
    begun = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def conversation(listener: Listener, connect: Callable[[], Awaitable[Client]]) -> None:
        reader, writer = await connect()
        writer.write(GET)
        await begun.wait()
        assert not await listener.stop(0.05)
        await listener.cut()
        await cancelled.wait()
        with suppress(ConnectionResetError):
            assert await reader.read() == b""

    talk(app, conversation)
