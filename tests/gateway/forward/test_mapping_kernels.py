"""The kernels map any bytes as the plain form does."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.forward_mapping import ForwardMapping
from config.limits import Limits
from gateway.forward import entries as entries_module
from gateway.forward.mapping import Mapped, map_entries
from gateway.forward.mapping_rules import Rules, compile_rules
from tests.gateway.forward.mapping_scalar import Entry, map_scalar

NOW = 1_700_000_000_000_000_000
TENANT = "fake"

RULES = [
    compile_rules(ForwardMapping()),
    compile_rules(ForwardMapping(line_format="json", labels=("job=x", "a=$a|@metadata.a|none", "t=$TAG[0]"))),
    compile_rules(ForwardMapping(line_format="key_value", labels=("b=$a.b",), metadata=("m=$log", "$c"))),
    compile_rules(ForwardMapping(remove_keys=("$a",), tenant_key="$b", keep_label_keys=True, labels=("a=$a",))),
    compile_rules(ForwardMapping(level_keys=("$c",), metadata=("x=@group.a", "*"), preset="docker")),
    compile_rules(
        ForwardMapping(preset="kubernetes"),
        Limits(max_structured_metadata_entries_count=3, max_structured_metadata_size=60, max_label_value_length=5),
    ),
    compile_rules(ForwardMapping(), Limits(allow_structured_metadata=False)),
]


def rows(mapped: Mapped) -> dict[str, list[Entry]]:
    found = {}
    for tenant, batch in mapped.batches.items():
        lines = batch.lines.tolist()
        pairs: list[dict[str, bytes]] = [{} for _ in lines]
        for name, column in batch.metadata.items():
            for row, own in enumerate(pairs):
                value = column[row]
                if value is not None:
                    own[name] = value
        if batch.rest is not None:
            for row, own in enumerate(pairs):
                for at in range(int(batch.rest.offsets[row]), int(batch.rest.offsets[row + 1])):
                    own[batch.rest.names[batch.rest.keys[at]]] = batch.rest.values[at]
        assert len(set(batch.streams)) == len(batch.streams)
        found[tenant] = [
            Entry(tenant, int(ts), batch.streams[stream], line, own)
            for ts, stream, line, own in zip(batch.ts, batch.stream, lines, pairs, strict=True)
        ]
    return found


def by_tenant(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.tenant, []).append(entry)
    return found


def reasons(bad: Counter[str]) -> Counter[str]:
    """What is wrong behind a place where reading ends is told by the two forms in different words; a tenant that is
    none is counted by label set, not by entry."""
    found = Counter(bad)
    unreadable = found.pop("malformed", 0) + found.pop("cut_short", 0) + found.pop("unreadable", 0)
    found["unreadable"] = unreadable
    found["no_tenant"] = bool(found["no_tenant"])
    return +found


def check(tag: bytes, entries: bytes, rules: Rules) -> None:
    mapped = map_entries(tag, {}, entries, rules, NOW, TENANT)
    wanted, bad = map_scalar(tag, entries, rules, NOW, TENANT)
    assert rows(mapped) == by_tenant(wanted)
    assert reasons(Counter(mapped.bad)) == reasons(bad)


NAMES = st.sampled_from(
    ["a", "b", "c", "log", "message", "container_name", "otlp", "attributes", "kubernetes", "labels"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.integers(-40, 300)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["/web-1", "line\n", "line\r\n", 'quo"te\\', "\x00\x1f\x7f", "x=y z"])
    | st.binary(max_size=20)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=9))
)
KEYS = NAMES | st.text(max_size=3) | st.binary(max_size=3) | st.integers(-3, 3) | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)
RECORDS = st.dictionaries(KEYS, VALUES, max_size=6)


def event_time(seconds: int, nanos: int) -> msgpack.ExtType:
    return msgpack.ExtType(0, struct.pack(">II", seconds, nanos))


TIMES = (
    st.builds(event_time, st.sampled_from([0, 1, 1_700_000_000, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF]), st.integers(0, 1))
    | st.builds(event_time, st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.integers(0, 2_000_000_000)
    | st.floats()
    | st.floats(0, 2e9)
    | st.floats(1e11, 1e19)
    | st.none()
    | st.builds(msgpack.ExtType, st.integers(0, 3), st.binary(max_size=12))
    | st.binary(max_size=4)
)


def packed_timestamp(body: bytes) -> bytes:
    return b"\xc7" + bytes([len(body), 0xFF]) + body


def pack(entry: Any) -> bytes:
    return bytes(msgpack.packb(entry, use_bin_type=True, unicode_errors="surrogatepass"))


ENTRIES = (
    st.tuples(TIMES, RECORDS).map(pack)
    | st.tuples(st.tuples(TIMES, RECORDS), RECORDS).map(pack)
    | st.tuples(st.lists(TIMES, max_size=3), VALUES).map(pack)
    | st.tuples(TIMES, RECORDS, VALUES).map(pack)
    | VALUES.map(pack)
    | st.builds(
        lambda body, record: b"\x92" + packed_timestamp(body) + pack(record),
        st.binary(min_size=4, max_size=4) | st.binary(min_size=8, max_size=8) | st.binary(min_size=12, max_size=12),
        RECORDS,
    )
)


@pytest.mark.parametrize("rules", range(len(RULES)))
@given(entries=st.lists(ENTRIES, max_size=6).map(b"".join), tag=st.sampled_from([b"", b"app.web", b"\xff.x"]))
@settings(max_examples=150, deadline=None)
def test_entries(rules: int, entries: bytes, tag: bytes) -> None:
    check(tag, entries, RULES[rules])


@pytest.mark.parametrize("rules", range(3))
@given(entries=st.lists(ENTRIES, min_size=1, max_size=4).map(b"".join), data=st.data())
@settings(max_examples=150, deadline=None)
def test_entries_with_bytes_changed(rules: int, entries: bytes, data: st.DataObject) -> None:
    changed = bytearray(entries)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    check(b"t", bytes(changed[: data.draw(st.integers(0, len(changed)))]), RULES[rules])


@pytest.mark.parametrize("rules", range(3))
@given(entries=st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes(rules: int, entries: bytes) -> None:
    check(b"t", entries, RULES[rules])


@given(entries=st.lists(ENTRIES, min_size=2, max_size=12).map(b"".join))
@settings(max_examples=100, deadline=None)
def test_entries_in_pieces_are_the_same_entries(entries: bytes) -> None:
    whole = map_entries(b"t", {}, entries, RULES[0], NOW, TENANT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries_module, "_MOST_CELLS", 1)
        patch.setattr(entries_module, "_SMALL", 0)
        patch.setattr(entries_module, "_KEPT_ROOM", 0)
        patch.setattr(entries_module, "_kept", type(entries_module._kept)())
        pieces = map_entries(b"t", {}, entries, RULES[0], NOW, TENANT)
    assert rows(pieces) == rows(whole)
    assert Counter(pieces.bad) == Counter(whole.bad)
