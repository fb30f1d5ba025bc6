"""Protobuf pushes, and what Loki says to malformed ones."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
import snappy
from hypothesis import given
from hypothesis import strategies as st

from gateway.push.decode import decode_push
from gateway.push.errors import MalformedPush
from gateway.push.loki_proto import decode_protobuf
from gateway.push.push_messages import PushRequest
from gateway.push.times import LAST, ZERO_TIME
from gateway.push.wire import refusal
from storage.batch import Batch
from tests.gateway.push.decoding import LIMITS, PROTOBUF, rows

_pairs = st.dictionaries(st.binary(max_size=6), st.binary(max_size=6), max_size=3)
_entries = st.tuples(st.integers(0, (1 << 63) - 1), st.binary(max_size=40), _pairs)
_streams = st.tuples(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "ü"])), st.lists(_entries, max_size=4)
)


def _message(streams: Any) -> bytes:
    request = PushRequest()
    for labels, entries in streams:
        stream = request.streams.add()
        stream.labels = ("{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}").encode()
        for ts, line, pairs in entries:
            entry = stream.entries.add()
            entry.timestamp.seconds, entry.timestamp.nanos = divmod(ts, 10**9)
            entry.line = line
            for name, value in pairs.items():
                entry.structured_metadata.add(name=name, value=value)
    return bytes(request.SerializeToString())


@given(st.lists(_streams, max_size=4))
def test_what_is_sent_is_read(streams: Any) -> None:
    expected = [
        (
            tuple(sorted(labels.items())),
            ts,
            line,
            {name.decode("utf-8", "surrogateescape"): value for name, value in pairs.items()},
        )
        for labels, entries in streams
        for ts, line, pairs in entries
    ]
    batch = decode_protobuf(_message(streams))
    assert rows(batch) == expected
    assert len(batch.streams) == len(streams)


def test_bodies_come_as_snappy_blocks() -> None:
    raw = _message([({"a": "x"}, [(5, b"\xff", {})])])
    for encoding in ("", "snappy"):
        assert rows(decode_push(snappy.compress(raw), PROTOBUF, encoding, False, LIMITS))[0][2] == b"\xff"


def _many(line: bytes, **pairs: bytes) -> bytes:
    entries = [(n, b"%d: %b" % (n, line), {key.encode(): value for key, value in pairs.items()}) for n in range(1000)]
    return bytes(snappy.compress(_message([({"a": "x"}, entries[:400]), ({"b": "x"}, entries[400:])])))


def _decoded(body: bytes) -> Batch:
    return decode_push(body, PROTOBUF, "", False, LIMITS)


def test_lines_refer_to_the_block_that_they_came_in() -> None:
    body = _many(b"a line that is long enough for the block to be kept " + b"so" * 90)
    batch = _decoded(body)
    packed = batch.lines.packed
    assert packed is not None
    assert packed.block is body
    message = snappy.uncompress(body)
    assert packed.size == len(message)
    ends = np.cumsum(packed.gaps + batch.lines.lengths)
    spans = zip((ends - batch.lines.lengths).tolist(), ends.tolist(), strict=True)
    assert [message[start:end] for start, end in spans] == batch.lines.tolist()


@pytest.mark.parametrize(
    "body",
    [
        _many(Random(1).randbytes(200)[:1]),  # small
        snappy.compress(
            _message([({"a": "x"}, [(n, Random(n).randbytes(500), {}) for n in range(100)])])
        ),  # not packed
        _many(b"a line that is long enough " * 8, key=b"and metadata, which would be there twice"),
    ],
)
def test_lines_that_the_log_does_better_refer_to_nothing(body: bytes) -> None:
    assert _decoded(body).lines.packed is None


def test_a_batch_is_not_changed_by_the_next_body() -> None:
    body = _many(b"this body", key=b"value")
    batch = _decoded(body)
    before = rows(batch)
    _decoded(_many(b"that body", yek=b"eulav"))
    assert rows(batch) == before


def _entry(**stamp: int) -> bytes:
    request = PushRequest()
    entry = request.streams.add().entries.add()
    if stamp:
        entry.timestamp.SetInParent()
        for name, value in stamp.items():
            setattr(entry.timestamp, name, value)
    return bytes(request.SerializeToString())


def test_times_are_nanoseconds_within_int64() -> None:
    assert decode_protobuf(_entry(seconds=5, nanos=7)).ts.tolist() == [5_000_000_007]
    assert decode_protobuf(_entry(seconds=0)).ts.tolist() == [0]
    assert decode_protobuf(_entry(seconds=9223372036, nanos=854_775_807)).ts.tolist() == [LAST]
    assert decode_protobuf(_entry(seconds=253402300799)).ts.tolist() == [-4852116232933722624]
    assert decode_protobuf(_entry(seconds=-62135596800)).ts.tolist() == [ZERO_TIME]
    assert decode_protobuf(_entry()).ts.tolist() == [ZERO_TIME]


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        ({"seconds": -62135596801}, "timestamp: seconds:-62135596801  before 0001-01-01"),
        ({"seconds": 253402300800}, "timestamp: seconds:253402300800  after 10000-01-01"),
        ({"nanos": -1}, "timestamp: nanos:-1 : nanos not in range [0, 1e9)"),
    ],
)
def test_times_outside_of_the_calendar_are_refused(stamp: dict[str, int], text: str) -> None:
    with pytest.raises(MalformedPush) as refused:
        decode_protobuf(_entry(**stamp))
    assert str(refused.value) == text


def test_a_message_cut_anywhere_inside_is_refused() -> None:
    raw = _message([({"a": "x"}, [(10**18 + 1, b"line", {b"k": b"v"})])])
    for end in range(1, len(raw)):
        with pytest.raises(MalformedPush, match=r"^unexpected EOF$"):
            decode_protobuf(raw[:end])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x00", "proto: PushRequest: illegal tag 0 (wire type 0)"),
        (b"\x0c", "proto: PushRequest: wiretype end group for non-group"),
        (b"\x0f", "proto: wrong wireType = 7 for field Streams"),
        (b"\x7f", "proto: illegal wireType 7"),
        (b"\xff" * 11, "proto: integer overflow"),
        (b"\x7b\x08", "unexpected EOF"),
        (b"\x0a\x02\x12\x05", "unexpected EOF"),
    ],
)
def test_malformed_messages_are_refused_in_lokis_words(raw: bytes, text: str) -> None:
    with pytest.raises(MalformedPush) as refused:
        decode_protobuf(raw)
    assert str(refused.value) == text


def test_unknown_fields_are_passed_over() -> None:
    raw = _message([({"a": "x"}, [(5, b"line", {})])])
    unknown = b"\x78\x05" + b"\x79" + b"8" * 8 + b"\x7a\x01x" + b"\x7b\x78\x05\x7c" + b"\x7d" + b"4" * 4
    assert refusal(unknown + raw) is None
    assert rows(decode_protobuf(unknown + raw)) == rows(decode_protobuf(raw))
