"""Pushes taken together are stored as each alone would be; one with anything of its own is left out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import numpy as np
import pytest
import snappy
from hypothesis import given
from hypothesis import strategies as st

from config.limits import Limits
from gateway.push.decode import decode_push
from gateway.push.errors import PushError
from gateway.push.push_messages import PushRequest
from gateway.push.streams import TenantStreams
from gateway.push.together import can_be_together, take_together
from gateway.push.validate import Verdict, validate
from storage.errors import StorageUnavailable
from tests.gateway.push.decoding import rows
from tests.gateway.push.pushes import HOUR, NOW, SECOND, entries_of
from tests.gateway.world import World

PUSH = "/loki/api/v1/push"
PROTOBUF = "application/x-protobuf"
ROOM = 1 << 30
LIMITS = Limits.model_validate({"reject_old_samples": True, "reject_old_samples_max_age": "1h", "max_line_size": 40})

Stream = tuple[str, list[tuple[int, bytes]]]

LABELS = ['{a="b"}', '{a="c"}', '{a="b", level="warn"}', '{service_name="s"}']
GOOD_LINES = st.sampled_from([b"", b"x", b"level=error y", b'{"level":"info"}', b"a b c", b"\xff"])
GOOD_TIMES = st.integers(NOW - HOUR, NOW + SECOND)
GOOD_ENTRIES = st.lists(st.tuples(GOOD_TIMES, GOOD_LINES), min_size=1, max_size=4)
GOOD = st.lists(st.sampled_from(LABELS), min_size=1, max_size=3, unique=True).flatmap(
    lambda labels: st.tuples(*[st.tuples(st.just(text), GOOD_ENTRIES) for text in labels]).map(list)
)
ODD_STREAMS = st.sampled_from(
    [
        ('{a="b"}', []),
        ('{a="b"}', [(NOW - 2 * HOUR, b"old")]),
        ('{a="b"}', [(NOW + HOUR, b"new")]),
        ('{a="b"}', [(NOW, b"long" * 11)]),
        ("{}", [(NOW, b"no labels")]),
        ('{a="b"', [(NOW, b"malformed")]),
    ]
)


def body_of(streams: list[Stream], *, metadata: bool = False) -> bytes:
    request = PushRequest()
    for labels, entries in streams:
        stream = request.streams.add(labels=labels.encode())
        for ts, line in entries:
            entry = stream.entries.add(line=line)
            entry.timestamp.seconds, entry.timestamp.nanos = divmod(ts, SECOND)
            if metadata:
                entry.structured_metadata.add(name=b"k", value=b"v")
    return bytes(snappy.compress(request.SerializeToString()))


GOOD_BODIES = GOOD.map(body_of)
ODD_BODIES = st.one_of(
    st.binary(max_size=20),
    st.binary(max_size=20).map(snappy.compress),
    st.tuples(GOOD, ODD_STREAMS).map(lambda found: body_of([*found[0], found[1]])),
    GOOD.map(lambda streams: body_of([*streams, streams[0]])),
    GOOD.map(lambda streams: body_of(streams, metadata=True)),
    # The last field says it has bytes that are the next body's.
    GOOD.map(lambda streams: snappy.compress(snappy.uncompress(body_of(streams)) + b"\x0a\x10")),
    st.just(snappy.compress(b"")),
)


def alone(body: bytes, limits: Limits) -> Verdict | None:
    try:
        batch = decode_push(body, PROTOBUF, "", False, limits)
    except PushError:
        return None
    return validate(batch, "fake", limits, NOW, TenantStreams())


@given(st.lists(st.one_of(GOOD_BODIES.map(lambda body: (True, body)), ODD_BODIES.map(lambda body: (False, body)))))
def test_they_are_stored_as_each_alone_would_be(pushed: list[tuple[bool, bytes]]) -> None:
    bodies = [body for _, body in pushed]
    found = take_together(bodies, LIMITS, NOW, ROOM)
    members = [] if found is None else found.members
    assert set(members) >= {place for place, (is_good, _) in enumerate(pushed) if is_good}
    verdicts = [alone(bodies[place], LIMITS) for place in members]
    expected: list[Any] = []
    for verdict in verdicts:
        assert verdict is not None
        assert (verdict.error, verdict.discarded, verdict.mutated, verdict.sanitised) == (None, (), (), 0)
        expected += entries_of(verdict.batch)
    if found is not None:
        assert entries_of(found.batch) == expected
        assert found.newest == [verdict.received.newest for verdict in verdicts if verdict is not None]
        assert found.lengths.tolist() == [len(line) for _, _, line, _ in expected]
        assert len(set(found.batch.streams)) == len(found.batch.streams)
        assert set(found.batch.stream.tolist()) == set(range(len(found.batch.streams)))
        assert found.batch.stream.dtype == np.int32


@pytest.mark.parametrize(
    "limits",
    [
        {"max_line_size_truncate": True},
        {"enforced_labels": ["a"]},
        {"increment_duplicate_timestamp": True},
        {"ingestion_rate_mb": 1.0},
        {"out_of_order_window": "1h"},
        {"max_streams_per_user": 1},
        {"per_stream_rate_limit": "1KB"},
        {"block_ingestion_until": "2100-01-01T00:00:00Z"},
    ],
)
def test_limits_that_look_at_each_push_are_left_to_the_ordinary_way(limits: dict[str, Any]) -> None:
    assert can_be_together("fake", Limits(), NOW)
    assert not can_be_together("fake", Limits.model_validate(limits), NOW)


def test_a_body_over_the_limits_is_left_out() -> None:
    small, big = body_of([('{a="b"}', [(NOW, b"x")])]), body_of([('{a="b"}', [(NOW, b"x" * 30)] * 100)])
    raw = len(snappy.uncompress(big))
    for limits, room in (({"max_decompressed_size": raw - 1}, ROOM), ({}, raw - 1), ({"max_recv_msg_size": 40}, ROOM)):
        found = take_together([small, big, small], Limits.model_validate(limits), NOW, room)
        assert found is not None
        assert found.members == [0, 2]


def push_at_once(world: World, bodies: list[bytes]) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://weir") as client:
            headers = {"Content-Type": PROTOBUF}
            return list(await asyncio.gather(*[client.post(PUSH, content=body, headers=headers) for body in bodies]))

    return asyncio.run(main())


def test_each_push_of_a_turn_has_its_own_answer(world: World) -> None:
    now = time.time_ns()
    good = [body_of([('{a="b"}', [(now + n, b"good %d" % n)])]) for n in range(3)]
    late = body_of([('{a="b"}', [(now + 3 * HOUR, b"too new"), (now, b"beside it")])])
    answers = push_at_once(world, [good[0], late, good[1], b"no snappy", good[2]])
    assert [answer.status_code for answer in answers] == [204, 400, 204, 400, 204]
    assert "has timestamp too new" in answers[1].text
    assert "snappy: corrupt input" in answers[3].text
    stored = sorted(row[2] for _, batch in world.store.batches for row in rows(batch))
    assert stored == [b"beside it", b"good 0", b"good 1", b"good 2"]
    assert len(world.store.batches) == 2, "the good ones are one batch"


def test_pushes_taken_together_are_counted_one_by_one(world: World) -> None:
    now = time.time_ns()
    push_at_once(world, [body_of([('{a="b"}', [(now, b"abc"), (now, b"de")])])] * 3)
    assert len(world.store.batches) == 1
    text = world.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("loki_distributor_lines_received_total{")]
    assert [float(line.rpartition(" ")[2]) for line in lines] == [6.0]
    stats = [line for line in text.splitlines() if line.startswith("loki_distributor_push_stats_count{")]
    assert [float(line.rpartition(" ")[2]) for line in stats] == [3.0]


def test_all_are_told_when_the_store_refuses(world: World) -> None:
    world.store.refusal = StorageUnavailable("the disk is full")
    now = time.time_ns()
    answers = push_at_once(world, [body_of([('{a="b"}', [(now, b"x")])])] * 3)
    assert {answer.status_code for answer in answers} == {503}
    assert world.store.batches == []
