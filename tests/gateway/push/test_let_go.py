"""A body that is refused leaves memory with its answer, not when the garbage collector comes."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import time
import tracemalloc
from collections.abc import Callable

import pytest
import snappy
from anyio import to_thread
from starlette.types import Message

from config import Settings
from storage.errors import StorageUnavailable
from tests.gateway.world import World

SIZE = 2 << 20
LEFT = SIZE // 4
"""Bytes that a few answers and log lines may leave, and that no body fits in."""
JSON, PROTOBUF = {"content-type": "application/json"}, {"content-type": "application/x-protobuf"}
GZIP = {"content-encoding": "gzip"}
PUSH, OTLP, LOG = "/loki/api/v1/push", "/otlp/v1/logs", "/log"


def push_of(line: str, name: str = "app") -> bytes:
    return json.dumps({"streams": [{"stream": {name: "a"}, "values": [[str(time.time_ns()), line]]}]}).encode()


def many(message: str, level: str, count: int) -> bytes:
    return json.dumps([{"message": message, "level": level, "service": "s"}] * count).encode()


def otlp(line: str, count: int) -> bytes:
    record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": line}}
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record] * count}]}]}).encode()


REFUSED: dict[str, tuple[str, dict[str, str], Callable[[], bytes]]] = {
    "no JSON": (PUSH, JSON, lambda: b"[" * SIZE),
    "no JSON in gzip": (PUSH, JSON | GZIP, lambda: gzip.compress(b"[" * SIZE, 1)),
    "a line too long": (PUSH, JSON, lambda: push_of("z" * SIZE)),
    "a name that is none": (PUSH, JSON, lambda: push_of("z" * SIZE, "a b")),
    "no snappy": (PUSH, PROTOBUF, lambda: b"\x80\x80\x80\x02" + b"\xff" * SIZE),
    "no protobuf": (PUSH, PROTOBUF, lambda: snappy.compress(b"\xff" * SIZE)),
    "no OTLP": (OTLP, JSON, lambda: b"[" * SIZE),
    "no OTLP in gzip": (OTLP, PROTOBUF | GZIP, lambda: gzip.compress(b"\xff" * SIZE, 1)),
    "one long entry": (LOG, JSON, lambda: many("z" * SIZE, "info", 1)),
    "entries without a level": (LOG, JSON, lambda: many("z" * 4000, "?", 500)),
    "entries that are none": (LOG, {"content-type": "application/x-ndjson"}, lambda: (b"{" * 4000 + b"\n") * 500),
}
NOT_STORED: dict[str, tuple[str, dict[str, str], Callable[[], bytes]]] = {
    "a push": (PUSH, JSON, lambda: push_of("z" * 200_000)),
    "OTLP": (OTLP, JSON, lambda: otlp("z" * 4000, 500)),
    "entries": (LOG, JSON, lambda: many("z" * 4000, "info", 500)),
}


async def ask(world: World, path: str, headers: dict[str, str], body: bytes) -> int:
    """One POST past httpx, which would keep the body itself."""
    pieces, said = [body], []
    del body

    async def receive() -> Message:
        return {"type": "http.request", "body": pieces.pop(), "more_body": False}

    async def send(message: Message) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "extensions": {},
    }
    await world.app(scope, receive, send)
    status: int = said[0]["status"]
    return status


def left_by(world: World, path: str, headers: dict[str, str], make: Callable[[], bytes]) -> tuple[int, int]:
    """Status of a request, and bytes that three like it leave while no garbage is collected."""

    async def main() -> tuple[int, int]:
        status = await ask(world, path, headers, make())  # what is kept for good is there then
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(3):
                await ask(world, path, headers, make())
            await to_thread.run_sync(str)  # the thread that the last one was read in is done with it
            return status, tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
            gc.enable()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def world() -> World:
    return World(Settings())


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_let_go(world: World, case: str) -> None:
    status, left = left_by(world, *REFUSED[case])
    assert 400 <= status < 500
    assert left < LEFT


@pytest.mark.parametrize("case", NOT_STORED)
def test_what_cannot_be_stored_is_let_go(world: World, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.store, "refusal", StorageUnavailable("no"))
    status, left = left_by(world, *NOT_STORED[case])
    assert status == 503
    assert left < LEFT
