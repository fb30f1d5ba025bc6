"""The sinks `stdout` and `blackhole`."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.emit import stdout
from gateway.emit.blackhole import BlackholeSink
from gateway.emit.stdout import StdoutSink
from gateway.relay.sink import Archived, Failed, Outcome
from tests.gateway.emit.batches import FIRST, outgoing


def with_sink(fd: int, body: Callable[[StdoutSink], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        sink = StdoutSink(fd=fd, **options)
        try:
            return await body(sink)
        finally:
            await sink.close()

    return asyncio.run(main())


def test_text_has_an_entry_a_line(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        batch = outgoing(["hello", "two\nlines\r", b"raw \xff", ""], metadata=[("trace", b"abc")])
        with_sink(out.fileno(), lambda sink: sink.send(batch), form="text")
    labels = b'{app="shop", trace="abc"}'
    assert (tmp_path / "out").read_bytes() == b"".join(
        b"2023-11-14T22:13:20.00000000%dZ %s %s\n" % (number, labels, line)
        for number, line in enumerate([b"hello", b"two\\nlines\\r", b"raw \xff", b""])
    )


def test_json_says_whose_a_line_is_where_there_are_tenants(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        with_sink(out.fileno(), lambda sink: sink.send(outgoing(["a"], tenant="acme")), show_tenant=True)
    record = json.loads((tmp_path / "out").read_bytes())
    assert record == {"ts": str(FIRST), "labels": {"__tenant_id__": "acme", "app": "shop"}, "line": "a"}


def test_a_pipe_that_is_read_slowly_gets_everything() -> None:
    reading, writing = os.pipe()
    got = bytearray()

    def read() -> None:
        while piece := os.read(reading, 1000):
            got.extend(piece)

    reader = threading.Thread(target=read)

    async def body(sink: StdoutSink) -> Outcome:
        sending = asyncio.ensure_future(sink.send(outgoing(["x" * 1000] * 500)))
        while sink._written < 65_536:  # noqa: ASYNC110 - the pipe is full: nothing tells
            await asyncio.sleep(0.001)
        reader.start()
        return await sending

    assert with_sink(writing, body) == Archived()
    os.close(writing)
    reader.join()
    os.close(reading)
    assert [json.loads(line)["line"] for line in got.splitlines()] == ["x" * 1000] * 500


def test_a_pipe_that_nobody_reads_fails_and_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdout, "PATIENCE", 0.05)
    reading, writing = os.pipe()
    batch = outgoing(["x" * 1000] * 200)
    got = bytearray()

    async def body(sink: StdoutSink) -> list[Outcome]:
        first = await sink.send(batch)
        monkeypatch.setattr(stdout, "PATIENCE", 60.0)
        sending = asyncio.ensure_future(sink.send(batch))
        while not sending.done():
            got.extend(await asyncio.to_thread(os.read, reading, 4096))
        return [first, await sending]

    first, second = with_sink(writing, body)
    os.close(writing)
    while piece := os.read(reading, 65_536):
        got.extend(piece)
    os.close(reading)
    assert first == Failed("nobody reads standard output")
    assert second == Archived()
    assert [json.loads(line)["line"] for line in got.splitlines()] == ["x" * 1000] * 200


def test_a_pipe_whose_reader_is_gone_is_a_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert with_sink(writing, lambda sink: sink.send(outgoing(["a"]))) == Failed("standard output: Broken pipe")
    os.close(writing)


def test_a_stop_does_not_wait_for_a_reader() -> None:
    reading, writing = os.pipe()

    async def body(sink: StdoutSink) -> None:
        sending = asyncio.ensure_future(sink.send(outgoing(["x" * 1000] * 200)))
        while sink._written < 65_536:  # noqa: ASYNC110 - the pipe is full: nothing tells
            await asyncio.sleep(0.001)
        await asyncio.wait_for(sink.close(), 10)
        assert await sending == Failed("nobody reads standard output")

    with_sink(writing, body)
    os.close(reading)
    os.close(writing)


def test_a_blackhole_takes_everything() -> None:
    async def main() -> Outcome:
        sink = BlackholeSink()
        try:
            return await sink.send(outgoing(["a"]))
        finally:
            await sink.close()

    assert asyncio.run(main()) == Archived()
