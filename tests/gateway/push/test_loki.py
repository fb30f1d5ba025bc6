"""The push door over HTTP: budget, caps, batch ids, what is counted."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from gateway.push.bodies import READ_STEP
from gateway.push.threads import INLINE_BYTES
from storage import Receipt, Store, open_store
from storage.errors import StorageError, StorageUnavailable
from tests.batch_unit import everything
from tests.gateway.push.decoding import JSON, cases, rows
from tests.gateway.world import World

PUSH = "/loki/api/v1/push"
HEADERS = {"Content-Type": JSON}
UUID = "6f8f4c2e-3b1a-4f0e-9c59-0c8f5a1d2e3f"


def body(*lines: str, labels: dict[str, str] | None = None) -> bytes:
    values = [[str(1_700_000_000_000_000_000 + number), line] for number, line in enumerate(lines)]
    return json.dumps({"streams": [{"stream": labels or {"app": "a"}, "values": values}]}).encode()


def post(world: World, content: Any, path: str = PUSH, **headers: str) -> httpx.Response:
    return world.ask("POST", path, content=content, headers=HEADERS | headers)


def stored(world: World) -> list[bytes]:
    return [row[2] for _, batch in world.store.batches for row in rows(batch)]


@contextmanager
def real_store(world: World, data_dir: Path) -> Iterator[Store]:
    store = open_store(data_dir)  # it calls back from the thread that writes
    world.gateway.opened(store)
    try:
        yield store
    finally:
        store.close()


def test_a_push_is_204_and_stored(world: World) -> None:
    answer = post(world, body("x", "y"))
    assert (answer.status_code, answer.content) == (204, b"")
    assert stored(world) == [b"x", b"y"]


def test_a_big_push_is_decoded_beside_the_loop(world: World) -> None:
    line = "z" * INLINE_BYTES
    for _ in range(2):
        assert post(world, body(line)).status_code == 204
    assert stored(world) == [line.encode()] * 2
    assert post(world, b"[" * INLINE_BYTES).status_code == 400


def test_the_path_decides_the_format(world: World) -> None:
    legacy = next(case for case in cases("decode.jsonl") if case["id"] == "push-127")
    assert post(world, legacy["body"], "/api/prom/push").status_code == 204
    assert stored(world) == [b"old format"]


def test_refusals_have_lokis_status_and_text(world: World) -> None:
    answer = world.ask("POST", PUSH, content=b"x")
    assert (answer.status_code, answer.text) == (400, "mime: no media type\n")
    answer = post(world, b'{"streams":[]}')
    assert (answer.status_code, answer.text) == (422, "error at least one valid stream is required for ingestion\n")
    assert stored(world) == []


def test_valid_entries_of_a_refused_push_are_stored(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_line_size": 5})
    answer = post(world, body("short", "too long"))
    assert answer.status_code == 400
    assert answer.text.startswith("max entry size '5' bytes exceeded for stream")
    assert stored(world) == [b"short"]
    labels = 'format="loki",policy="",reason="line_too_long",retention_hours="",tenant="fake"'
    assert world.metric(f"loki_discarded_samples_total{{{labels}}}") == 1


def read_before_answer(world: World, *headers: tuple[bytes, bytes], piece: bytes) -> tuple[int, bytes, int]:
    """Status and text of an answer to a body without end, and how many pieces were taken before it was given."""
    sent: list[Any] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        if sent:
            return {"type": "http.disconnect"}
        taken += 1
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": PUSH,
        "raw_path": PUSH.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "http_version": "1.1",
        "server": ("weir", 80),
        "client": ("127.0.0.1", 1),
        "headers": [*headers, (b"content-type", JSON.encode())],
    }

    async def main() -> None:
        await world.app(scope, receive, send)

    asyncio.run(main())
    start, body, *_ = sent
    return start["status"], body["body"], taken


def test_an_announced_body_over_the_cap_is_not_read(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_recv_msg_size": 1000})
    status, text, taken = read_before_answer(world, (b"content-length", b"1073741824"), piece=b" ")
    assert (status, taken) == (413, 0)
    assert text == b"request body too large: message size too large than max (1073741824 vs 1000)\n"


def test_a_chunked_body_is_counted_while_it_comes(make_world: Callable[..., World]) -> None:
    world = make_world(limits={"max_recv_msg_size": 3 * READ_STEP})
    status, _, taken = read_before_answer(world, piece=b" " * READ_STEP)
    assert (status, taken) == (413, 4)
    assert world.gateway.ingest.used == 0

    async def small() -> AsyncIterator[bytes]:
        for piece in (body("x")[:20], body("x")[20:]):
            yield piece

    assert post(world, small()).status_code == 204
    assert world.gateway.ingest.used == 0


def test_bytes_in_work_are_held_and_given_back(world: World) -> None:
    seen: list[int] = []
    append = world.store.append

    def watching(*args: Any, **kwargs: Any) -> None:
        seen.append(world.gateway.ingest.used)
        append(*args, **kwargs)

    world.store.append = watching  # type: ignore[method-assign]
    plain = body("x" * 10_000)
    for content, encoding in ((plain, ""), (gzip.compress(plain), "gzip")):
        assert post(world, content, **{"Content-Encoding": encoding}).status_code == 204
    assert seen == [len(plain), len(plain)]
    assert world.gateway.ingest.used == 0


def test_what_storage_refuses_is_told(world: World) -> None:
    world.store.refusal = StorageUnavailable("no room", retry_after=7)
    answer = post(world, body("x"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert world.gateway.ingest.used == 0


def test_an_answer_from_another_thread_arrives(world: World) -> None:
    def append(_tenant: str, _batch: Any, done: Callable[[Receipt | StorageError], None], **_: Any) -> None:
        Thread(target=done, args=(Receipt(),)).start()

    world.store.append = append  # type: ignore[assignment, method-assign]
    assert post(world, body("x")).status_code == 204


def test_a_batch_id_is_stored_once(world: World, tmp_path: Path) -> None:
    with real_store(world, tmp_path) as store:
        first, again = (post(world, body("x"), **{"X-Weir-Batch-Id": UUID}) for _ in range(2))
        other = post(world, body("y"), **{"X-Weir-Batch-Id": UUID})
        units = store.scan("fake", [], 0, 1 << 62, "forward")
        assert [line for unit in units for line in everything(unit).lines.tolist()] == [b"x"]
    assert first.status_code == 204
    assert (again.status_code, again.json()) == (200, {"deduplicated": True})
    assert other.status_code == 409


def test_a_batch_that_a_rate_kept_out_in_part_comes_again_under_its_id(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    world = make_world(limits={"per_stream_rate_limit": 50, "per_stream_rate_limit_burst": 50})

    def both(size: int) -> bytes:
        pushes = [json.loads(body("x", labels={"app": "a"})), json.loads(body("y" * size, labels={"app": "b"}))]
        return json.dumps({"streams": [stream for each in pushes for stream in each["streams"]]}).encode()

    with real_store(world, tmp_path) as store:
        answers = [post(world, both(size), **{"X-Weir-Batch-Id": UUID}) for size in (60, 20, 20)]
        units = store.scan("fake", [], 0, 1 << 62, "forward")
        assert sorted(line for unit in units for line in everything(unit).lines.tolist()) == [b"x", b"y" * 20]
    # Had the first been taken for stored, the second would be a conflict.
    assert [answer.status_code for answer in answers] == [429, 204, 200]


def test_a_batch_id_that_is_none_is_refused(world: World) -> None:
    answer = post(world, body("x"), **{"X-Weir-Batch-Id": "7"})
    assert (answer.status_code, answer.text) == (400, "X-Weir-Batch-Id is not a UUID\n")
    assert stored(world) == []


def test_fluent_bit_may_send_names_that_are_none(world: World) -> None:
    content = body("x", labels={"bad-name": "v"})
    assert post(world, content, **{"User-Agent": "curl/8"}).status_code == 400
    assert post(world, content, **{"User-Agent": "Fluent-Bit"}).status_code == 204
    assert ("bad_name", "v") in world.store.batches[0][1].streams[0]


@pytest.mark.parametrize("lines", [1, 3])
def test_what_comes_is_counted(world: World, lines: int) -> None:
    assert post(world, body(*["x" * 10] * lines)).status_code == 204
    assert world.metric('loki_distributor_received_lines_total{tenant="fake"}') == lines
