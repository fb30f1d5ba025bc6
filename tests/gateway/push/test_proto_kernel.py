"""The walk of the wire format reads a message as the protobuf library does, or leaves it to the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.push.errors import PushError
from gateway.push.kernels.protobuf import NOT_SURE, measure
from gateway.push.loki_proto import decode_protobuf
from gateway.push.proto_exact import decode_exact
from gateway.push.push_messages import PushRequest
from storage.batch import MAX_COLUMNS, Batch
from tests.examples import many


def varint(value: int, extra: int = 0) -> bytes:
    """A varint of 64 bits, made longer than it need be by `extra` bytes."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if extra:
        out[-1] |= 0x80
        out += b"\x80" * (extra - 1) + b"\x00"
    return bytes(out)


def longest(value: int, extra: int) -> bytes:
    """A varint with `extra` bytes more than it needs, but no more than ten."""
    return varint(value, min(extra, 10 - len(varint(value))))


def field(number: int, kind: int, payload: bytes) -> bytes:
    return varint(number << 3 | kind) + payload


def sized(number: int, content: bytes, extra: int = 0) -> bytes:
    return field(number, 2, varint(len(content), extra) + content)


# -- messages with everything the wire format allows (tame), or with what it does not besides (wild)

SHORT = st.binary(max_size=5)
NAMES = st.sampled_from([b"", b"k", b"trace", b"caf\xc3\xa9", b"\xff", b"a.b"])
TAME_LABELS = st.sampled_from([b'{a="b"}', b'{a="c", b="d"}', b"{}", b"", b'{a="\xc3\xa9"}'])
SECONDS_AT_EDGES = [-62135596800, 253402300799, 9223372036, 9223372037, -9223372036, -9223372037, -9223372038]
NANOS_AT_EDGES = [0, 999_999_999, 854_775_807, 854_775_808, 145_224_191, 145_224_192]
TAME_SECONDS = st.one_of(st.integers(-(10**10), 10**10), st.sampled_from(SECONDS_AT_EDGES))
TAME_NANOS = st.one_of(st.integers(0, 999_999_999), st.sampled_from(NANOS_AT_EDGES))
WILD_NUMBERS = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([-1, 10**9, (1 << 32) + 7, -62135596801, 253402300800]),
    TAME_SECONDS,
    TAME_NANOS,
)


def odd(numbers: st.SearchStrategy[int], *, wild: bool) -> st.SearchStrategy[bytes]:
    """A field that is unknown; wild: or a group, or of a wire type that is none."""
    kinds = [
        st.builds(lambda n, value: field(n, 0, varint(value)), numbers, WILD_NUMBERS),
        st.builds(lambda n, value: field(n, 1, value), numbers, st.binary(min_size=8, max_size=8)),
        st.builds(sized, numbers, SHORT),
        st.builds(lambda n, value: field(n, 5, value), numbers, st.binary(min_size=4, max_size=4)),
    ]
    if wild:
        kinds.append(st.builds(lambda n, inner: field(n, 3, inner) + field(n, 4, b""), numbers, st.just(b"\x08\x01")))
        kinds.append(st.builds(lambda n, kind: field(n, kind, b""), numbers, st.sampled_from([3, 4, 6, 7])))
    return st.one_of(*kinds)


def seldom(times: int, odd_one: st.SearchStrategy[Any], usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The odd one once in so many times."""
    return st.integers(1, times).flatmap(lambda drawn: odd_one if drawn == times else usual)


def pushes(*, wild: bool) -> st.SearchStrategy[bytes]:
    """Known fields in any order and number, repeated too, unknown ones between them."""
    unknown = odd(st.sampled_from([4, 5, 9, 15]), wild=False)
    if wild:
        unknown = st.one_of(unknown, odd(st.sampled_from([0, 1, 2, 3, 9, 16, 2000, (1 << 29) - 1]), wild=True))
    extra = st.sampled_from([0] * 60 + [1, 2, 3, 8]) if wild else st.sampled_from([0, 0, 0, 1, 2])
    seconds, nanos = TAME_SECONDS, TAME_NANOS
    labels = TAME_LABELS
    if wild:
        seconds, nanos = seldom(30, WILD_NUMBERS, seconds), seldom(30, WILD_NUMBERS, nanos)
        labels = seldom(30, st.sampled_from([b'{a="\xff"}', b'{a="b"']), labels)

    def message(*known: st.SearchStrategy[bytes], most: int = 5) -> st.SearchStrategy[bytes]:
        fields = seldom(60 if wild else 8, unknown, st.one_of(*known))
        return st.lists(fields, min_size=most // 4, max_size=most).map(b"".join)

    def of(number: int, content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
        return st.builds(lambda inner, longer: sized(number, inner, longer), content, extra)

    def scalar(number: int, value: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
        return st.builds(lambda inner, longer: field(number, 0, longest(inner, longer)), value, extra)

    timestamp = message(scalar(1, seconds), scalar(2, nanos), most=4)
    pair = message(of(1, NAMES), of(2, SHORT), most=3)
    entry = message(of(1, timestamp), of(2, st.binary(max_size=200)), of(3, pair))
    stream = message(of(1, labels), of(2, entry), of(2, entry))
    return message(of(1, stream))


def outcome(read: Any, raw: bytes) -> Any:
    try:
        return said(read(raw))
    except PushError as refused:
        return type(refused), str(refused)


def said(batch: Batch) -> Any:
    """All that is in a batch, down to the codes of its columns."""
    rest = batch.rest
    return (
        list(batch.streams),
        batch.stream.tolist(),
        batch.ts.tolist(),
        batch.lines.tolist(),
        {key: (column.codes.tolist(), column.values.tolist()) for key, column in batch.metadata.items()},
        rest and (rest.offsets.tolist(), rest.keys.tolist(), rest.names, rest.values.tolist()),
    )


def streams_of(raw: bytes) -> int:
    return int(measure(np.frombuffer(raw, np.uint8))[0])


@settings(max_examples=250)
@given(pushes(wild=False))
def test_any_order_repetition_and_unknown_fields_are_read_by_the_kernel(raw: bytes) -> None:
    assert streams_of(raw) != NOT_SURE
    assert outcome(decode_protobuf, raw) == outcome(decode_exact, raw)


@settings(max_examples=many(500))
@given(pushes(wild=True))
def test_equal_on_any_fields(raw: bytes) -> None:
    assert outcome(decode_protobuf, raw) == outcome(decode_exact, raw)


@settings(max_examples=500)
@given(st.binary(max_size=300))
def test_equal_on_any_bytes(raw: bytes) -> None:
    assert outcome(decode_protobuf, raw) == outcome(decode_exact, raw)


_pairs = st.lists(st.tuples(NAMES, st.binary(max_size=6)), max_size=4)
_entries = st.tuples(st.one_of(st.none(), st.integers(-(10**18), 10**19)), st.binary(max_size=300), _pairs)
_pushes = st.lists(st.tuples(TAME_LABELS, st.lists(_entries, max_size=6)), max_size=5)


def _written(streams: Any) -> bytes:
    request = PushRequest()
    for labels, entries in streams:
        stream = request.streams.add(labels=labels)
        for ts, line, pairs in entries:
            entry = stream.entries.add(line=line)
            if ts is not None:
                entry.timestamp.seconds, entry.timestamp.nanos = divmod(ts, 10**9)
            for name, value in pairs:
                entry.structured_metadata.add(name=name, value=value)
    return bytes(request.SerializeToString())


@settings(max_examples=many(300))
@given(_pushes)
def test_what_the_library_writes_is_read_without_it(streams: Any) -> None:
    raw = _written(streams)
    assert streams_of(raw) == len(streams)
    assert outcome(decode_protobuf, raw) == outcome(decode_exact, raw)


@settings(max_examples=many(500))
@given(_pushes, st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3), st.integers(0, 3)), max_size=3))
def test_equal_on_messages_with_bytes_changed(streams: Any, changes: list[tuple[int, bytes, int]]) -> None:
    raw = bytearray(_written(streams))
    for place, put, over in changes:
        at = place % (len(raw) + 1)
        raw[at : at + over] = put
    assert outcome(decode_protobuf, bytes(raw)) == outcome(decode_exact, bytes(raw))


def test_equal_on_a_message_cut_anywhere() -> None:
    raw = _written([(b'{a="b"}', [(10**18 + 5, b"a line", [(b"k", b"v")]), (7, b"x" * 200, [])]), (b"{}", [])])
    for end in range(len(raw) + 1):
        assert outcome(decode_protobuf, raw[:end]) == outcome(decode_exact, raw[:end])


def _push(*entry_fields: bytes) -> bytes:
    return sized(1, sized(1, b'{a="b"}') + sized(2, b"".join(entry_fields)))


SECONDS = field(1, 0, varint(5))
NANOS = field(2, 0, varint(7))


@pytest.mark.parametrize(
    "raw",
    [
        _push(sized(1, SECONDS), sized(2, b"one"), sized(1, NANOS), sized(2, b"two")),
        _push(sized(1, SECONDS + NANOS + SECONDS + field(9, 0, varint(-1)))),
        _push(sized(1, field(2, 0, varint(7, 4)))),
        _push(sized(3, sized(1, b"k") + sized(2, b"v") + sized(1, b"K")), sized(3, b"")),
        _push(sized(2, b"line", 2), field(4, 2, varint(3) + b"abc"), field(9, 1, b"8" * 8), field(9, 5, b"4444")),
        sized(1, sized(1, b'{a="c"}') + field(3, 0, varint(1 << 63)) + sized(1, b'{a="b"}')) + sized(2, b"format"),
        sized(1, b""),
        b"",
    ],
)
def test_what_is_allowed_is_read_by_the_kernel(raw: bytes) -> None:
    assert streams_of(raw) >= 0
    assert outcome(decode_protobuf, raw) == outcome(decode_exact, raw)


@pytest.mark.parametrize(
    "raw",
    [
        _push(sized(1, field(2, 0, varint(-1)))),
        _push(sized(1, field(2, 0, varint((1 << 32) + 7)))),
        _push(sized(1, field(1, 0, varint(253402300800)))),
        _push(field(2, 0, varint(5))),
        _push(sized(2, b"line", 4)),
        _push(b"\x92\x00\x01x"),
        _push(field(9, 3, b"") + field(9, 4, b"")),
        _push(sized(1, b"\x08" + b"\xff" * 9 + b"\x02")),
        field(16, 0, b"\x00"),
        b"\x00",
    ],
)
def test_what_is_odd_is_left_to_the_library(raw: bytes) -> None:
    assert streams_of(raw) == NOT_SURE
    assert outcome(decode_protobuf, raw) == outcome(decode_exact, raw)


def test_more_keys_than_columns() -> None:
    rows = [
        (n, b"x", [(b"k%d" % (n * 7 % (MAX_COLUMNS * 3)), b"%d" % (n % 9)), (b"k1", b"v"), (b"k1", b"w")])
        for n in range(1, 600)
    ]
    raw = _written([(b'{a="b"}', rows)])
    assert streams_of(raw) == 1
    assert outcome(decode_protobuf, raw) == outcome(decode_exact, raw)
    assert decode_protobuf(raw).rest is not None
