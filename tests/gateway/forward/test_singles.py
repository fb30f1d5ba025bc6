"""Runs of single messages: what the kernels say of them is what reading each with care says."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.forward.kernels.singles import FIELDS, KIND, OTHER, single_heads
from gateway.forward.messages import BadMessage, Mode, parse_message
from gateway.forward.singles import Run, in_runs
from gateway.forward.wire import BadWire, Inbox, Messages

event_times = st.builds(msgpack.ExtType, st.just(0), st.binary())
times = st.integers(0, 1 << 40) | st.floats(0, 1e9) | st.none() | event_times
values = st.integers(-(1 << 63), (1 << 64) - 1) | st.text(max_size=20) | st.lists(st.booleans())
records = st.dictionaries(st.text(max_size=4), values)
chunks = st.text(max_size=40) | st.binary(max_size=300) | st.integers(0, 9) | st.none()
options: st.SearchStrategy[Any] = (
    st.none()
    | st.just({})
    | st.builds(lambda chunk: {"chunk": chunk}, chunks)
    | st.dictionaries(st.sampled_from(["chunk", "size", "chunks", "metadata"]), chunks | records)
)
tags = st.sampled_from(["a", "b", "a" * 40, "", b"\xff", 5])
singles = st.tuples(tags, times, records) | st.tuples(tags, times, records, options)
others = (
    st.none()
    | st.tuples(tags, st.lists(st.tuples(times, records)), options)
    | st.tuples(tags, st.binary(max_size=20))
    | st.tuples(tags, st.tuples(times, records), records, options)
    | st.lists(times | records | tags, max_size=6).map(tuple)
)


def read(wire: bytes) -> Messages:
    inbox = Inbox(1 << 20, 64)
    inbox.feed(wire)
    return inbox.take()


def with_care(message: bytes) -> tuple[Any, ...]:
    if message == b"\xc0":
        return ()
    try:
        found = parse_message(message)
    except BadMessage as bad:
        return bad.reason, bad.chunk
    return found.mode, found.tag, found.entries, found.chunk, dict(found.option)


def told(messages: Messages) -> list[tuple[Any, ...]]:
    """What in_runs makes of messages, in the form of `with_care`."""
    found: list[tuple[Any, ...]] = []
    for run in in_runs(messages):
        if not isinstance(run, Run):
            found.append(with_care(bytes(run)))
            continue
        assert len(run) > 0
        assert sum(run.sizes) == len(run.entries)
        assert len(run.chunks) in (0, len(run))
        at = 0
        for number, size in enumerate(run.sizes):
            chunk = run.chunks[number] if run.chunks else None
            option = {}
            if chunk is not None:
                option = {"chunk": msgpack.unpackb(chunk, raw=False, unicode_errors="surrogateescape")}
            found.append((Mode.MESSAGE, run.tag, run.entries[at : at + size], chunk, option))
            at += size
    return found


@given(st.lists(singles | others, max_size=30))
@settings(max_examples=400, deadline=None)
def test_a_run_is_what_its_messages_are(sent: list[Any]) -> None:
    messages = read(b"".join(msgpack.packb(each) for each in sent))
    assert told(messages) == [with_care(message) for message in messages.tolist()]


@given(st.lists(st.binary(max_size=40), max_size=10))
@settings(max_examples=400, deadline=None)
def test_arbitrary_bytes_are_told_alike(pieces: list[bytes]) -> None:
    for piece in pieces:
        try:
            messages = read(b"\x94" + piece)
        except BadWire:
            continue
        assert told(messages) == [with_care(message) for message in messages.tolist()]


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=10))
@settings(max_examples=400, deadline=None)
def test_bytes_that_are_no_messages_do_no_harm(pieces: list[bytes]) -> None:
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    heads = np.empty((len(pieces), FIELDS), np.int64)
    data = np.frombuffer(b"".join(pieces), np.uint8)
    single_heads(data, ends, heads)
    spans = heads[heads[:, KIND] != OTHER]
    assert (spans[:, :6] <= len(data)).all()
    assert (spans[:, :6] >= 0).all()


def test_neighbours_with_one_tag_are_one_run() -> None:
    alike = msgpack.packb(["a", 1, {"log": "x"}])
    asking = msgpack.packb(["a", 1, {"log": "x"}, {"chunk": "c"}])
    other = msgpack.packb(["b", 1, {"log": "x"}])
    odd = msgpack.packb(["a", 1, {"log": "x"}, {"size": 1}])
    runs = list(in_runs(read(alike * 3 + asking * 2 + other + odd + alike)))
    assert [(run.tag, len(run), len(run.chunks)) for run in runs if isinstance(run, Run)] == [
        (b"a", 3, 0),
        (b"a", 2, 2),
        (b"b", 1, 0),
        (b"a", 1, 0),
    ]
    assert runs[3] == odd
