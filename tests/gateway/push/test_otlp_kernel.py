"""The walk of an OTLP request reads it as the protobuf library does, or leaves it to the library."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.otlp import AttributeRule, OtlpConfig
from gateway.push.errors import PushError
from gateway.push.otlp_exact import decode_exact
from gateway.push.otlp_messages import LogsRequest
from gateway.push.otlp_proto import _walked, decode_otlp
from gateway.push.otlp_rules import Rules, compiled
from storage.batch import MAX_COLUMNS
from tests.gateway.push.decoding import rows
from tests.gateway.push.test_proto_kernel import field, longest, sized, varint

NOW = 1_700_000_000_000_000_000
RULES = compiled(None)
DROPPING = compiled(
    OtlpConfig(
        scope_attributes=(AttributeRule(action="drop", attributes=("a.b",)),),
        log_attributes=(AttributeRule(action="drop", regex="k.*"),),
    )
)

NAMES = st.sampled_from([b"k", b"a.b", b"a_b", b"severity_text", b"trace_id", b"caf\xc3\xa9", b"\xff", b"k8s.pod.name"])
ODD_NAMES = st.sampled_from([b"", b"_", b"...", b"\xc3"])
SHORT = st.binary(max_size=6)
TIMES = st.one_of(
    st.just(b"\0" * 8), st.integers(0, 1 << 62).map(lambda n: struct.pack("<Q", n)), st.binary(min_size=8, max_size=8)
)
DOUBLES = st.one_of(
    st.floats(width=64).map(lambda number: struct.pack("<d", number)), st.binary(min_size=8, max_size=8)
)
INTS = st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-20, 20))
IDS = st.one_of(st.binary(max_size=3), st.sampled_from([b"\0" * 16, b"\0" * 8, b"\xab" * 16, b"\x01" * 8]))


def of(number: int, content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(sized, st.just(number), content, st.sampled_from([0] * 20 + [1, 2]))


def scalar(number: int, value: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    return st.builds(lambda n, extra: field(number, 0, longest(n, extra)), value, st.sampled_from([0, 0, 0, 1, 3]))


def fixed(number: int, kind: int, content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return content.map(lambda raw: field(number, kind, raw))


def joined(*parts: Any, most: int = 4) -> st.SearchStrategy[bytes]:
    return st.lists(st.one_of(*parts), max_size=most).map(b"".join)


UNKNOWN = st.one_of(
    scalar(13, INTS), of(14, SHORT), fixed(15, 1, st.binary(min_size=8, max_size=8)), of(20, SHORT), scalar(9, INTS)
)


def seldom(odd: st.SearchStrategy[bytes], usual: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.integers(1, 40).flatmap(lambda drawn: odd if drawn == 40 else usual)


def value(depth: int = 2) -> st.SearchStrategy[bytes]:
    kinds = [of(1, SHORT), scalar(2, st.integers(0, 2)), scalar(3, INTS), fixed(4, 1, DOUBLES), of(7, SHORT)]
    if depth:
        inner = value(depth - 1)
        kinds.append(of(5, joined(of(1, inner))))
        pair = st.tuples(of(1, NAMES), of(2, inner)).map(b"".join)
        kinds.append(of(6, joined(of(1, pair), most=2)))
    one = st.one_of(*kinds)
    return seldom(st.lists(st.one_of(*kinds, UNKNOWN), max_size=3).map(b"".join), one)


ATTRIBUTE = st.tuples(of(1, seldom(ODD_NAMES, NAMES)), of(2, value())).map(b"".join)
SIMPLE = st.one_of(of(1, SHORT), scalar(3, INTS), scalar(2, st.integers(0, 1)), fixed(4, 1, DOUBLES))
PLAIN_ATTRIBUTE = st.tuples(of(1, NAMES), of(2, SIMPLE)).map(b"".join)
RECORD_FIELDS = (
    fixed(1, 1, TIMES),
    fixed(11, 1, TIMES),
    scalar(2, st.integers(0, 30)),
    of(3, st.sampled_from([b"INFO", b"WARN", b""])),
    of(6, PLAIN_ATTRIBUTE),
    of(6, PLAIN_ATTRIBUTE),
    scalar(7, st.integers(0, 9)),
    fixed(8, 5, st.binary(min_size=4, max_size=4)),
    st.sampled_from([sized(9, b"\xab" * 15 + b"\0"), sized(9, b""), sized(9, b"\0" * 16)]),
    st.sampled_from([sized(10, b"\x01" * 8), sized(10, b"\0" * 8)]),
    of(12, SHORT),
)


def requests(*, wild: bool) -> st.SearchStrategy[bytes]:
    known: list[Any] = list(RECORD_FIELDS)
    if wild:
        known += [
            of(6, ATTRIBUTE),
            of(9, IDS),
            of(10, IDS),
            scalar(2, INTS),
            scalar(7, INTS),
            seldom(UNKNOWN, of(6, ATTRIBUTE)),
        ]
    body = of(5, value() if wild else st.one_of(SIMPLE, of(1, st.binary(max_size=60))))
    record = st.tuples(joined(*known, most=8), body, joined(*known, most=2)).map(b"".join)
    attributes = joined(of(1, ATTRIBUTE if wild else PLAIN_ATTRIBUTE))
    scope = st.tuples(joined(of(1, NAMES), of(2, SHORT), scalar(4, st.integers(0, 3))), joined(of(3, PLAIN_ATTRIBUTE)))
    scope_logs = st.tuples(of(1, scope.map(b"".join)), joined(of(2, record)), of(3, SHORT))
    logs = st.tuples(of(1, attributes), joined(of(2, scope_logs.map(b"".join)), most=3))
    if wild:
        logs = st.tuples(logs.map(b"".join), joined(of(1, attributes), UNKNOWN, most=1))
    return joined(of(1, logs.map(b"".join)), most=3)


def outcome(read: Any, raw: bytes, rules: Rules = RULES) -> Any:
    try:
        return rows(read(raw, rules, NOW))
    except PushError as refused:
        return type(refused), str(refused)


def agree(raw: bytes, rules: Rules = RULES) -> None:
    assert outcome(decode_otlp, raw, rules) == outcome(decode_exact, raw, rules)


def is_sure(raw: bytes) -> bool:
    return _walked(np.frombuffer(raw, np.uint8), NOW) is not None


@settings(max_examples=60, deadline=None)
@given(requests(wild=False))
def test_what_exporters_send_is_read_by_the_kernel(raw: bytes) -> None:
    assert is_sure(raw)
    agree(raw)


@settings(max_examples=120, deadline=None)
@given(requests(wild=True), st.sampled_from([RULES, DROPPING]))
def test_equal_on_any_fields(raw: bytes, rules: Rules) -> None:
    agree(raw, rules)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_equal_on_any_bytes(raw: bytes) -> None:
    agree(raw)


@settings(max_examples=80, deadline=None)
@given(
    requests(wild=False),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=3), st.integers(0, 3)), max_size=3),
)
def test_equal_on_requests_with_bytes_changed(raw: bytes, changes: list[tuple[int, bytes, int]]) -> None:
    changed = bytearray(raw)
    for place, put, over in changes:
        at = place % (len(changed) + 1)
        changed[at : at + over] = put
    agree(bytes(changed))


def one_record(**fields: Any) -> Any:
    request = LogsRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    for name, held in fields.items():
        setattr(record, name, held)
    return request


def test_equal_on_a_request_cut_anywhere() -> None:
    request = one_record(time_unix_nano=5, severity_text=b"INFO", trace_id=b"t" * 16, span_id=b"s" * 8, flags=1)
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    record.body.string_value = b"a line"
    pair = record.attributes.add(key=b"ratio")
    pair.value.double_value = 0.5
    raw = request.SerializeToString()
    for end in range(len(raw) + 1):
        agree(raw[:end])


def test_more_attributes_than_columns_and_shared_ones_that_are_among_them() -> None:
    request = LogsRequest()
    logs = request.resource_logs.add()
    for name in (b"k1", b"k190", b"region"):
        logs.resource.attributes.add(key=name).value.string_value = b"of the resource"
    scoped = logs.scope_logs.add()
    for row in range(400):
        record = scoped.log_records.add(time_unix_nano=1 + row)
        for name in (b"k%d" % (row * 7 % (MAX_COLUMNS * 3)), b"k1", b"k2"):
            record.attributes.add(key=name).value.int_value = row
    raw = request.SerializeToString()
    assert is_sure(raw)
    agree(raw)
    assert decode_otlp(raw, RULES, NOW).rest is not None


def _records(*fields: bytes, times: int = 400) -> bytes:
    return sized(1, sized(2, sized(2, b"".join(fields)) * times))


@pytest.mark.parametrize(
    "raw",
    [
        sized(1, sized(1, b"") + sized(2, sized(2, b""))) * 100,
        sized(1, sized(2, sized(2, b"")) * 100),
        _records(),
        _records(sized(6, b"") * 3),
        _records(sized(6, sized(2, field(2, 0, b"\x01"))), sized(6, sized(2, field(3, 0, varint(-1))))),
        _records(sized(9, b"\xab" * 16), sized(10, b"\x01" * 8), field(2, 0, b"\x09")),
        _records(sized(6, sized(2, sized(7, b"raw"))), sized(5, sized(7, b"raw"))),
        _records(sized(6, sized(2, field(4, 1, struct.pack("<d", 0.1))))),
    ],
    ids=["resources", "scopes", "records", "pairs", "numbers", "ids", "odd values", "doubles"],
)
def test_requests_larger_than_the_first_room(raw: bytes) -> None:
    assert is_sure(raw)
    agree(raw)


@pytest.mark.parametrize(
    "raw",
    [
        sized(1, sized(1, b"") + sized(1, b"")),  # a resource twice
        sized(1, sized(2, sized(2, sized(5, sized(1, b"a")) + sized(5, sized(1, b"b"))))),  # a body twice
        sized(1, sized(2, sized(2, sized(9, b"short")))),  # a trace id of 5 bytes
        sized(1, sized(2, sized(2, sized(6, sized(2, sized(6, b"")))))),  # an attribute that is a map
        sized(1, sized(2, sized(2, field(2, 0, varint(-1))))),  # a negative severity
        field(16, 0, b"\x00"),
        b"\x00",
    ],
)
def test_what_is_odd_is_left_to_the_library(raw: bytes) -> None:
    assert not is_sure(raw)
    agree(raw)
