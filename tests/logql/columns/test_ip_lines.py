"""ip() line filters over whole columns."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logql import LogExpr, parse
from logql.ast import LineFilter
from logql.ip import ip_literal
from logql.stages.line_filter import LineFilterStage
from storage.batch import texts

near = st.sampled_from([0x0A000001, 0x0A0000FF, 0x0A010000, 0x0B000000, 0xC0A80001, 1, 0xFFFFFFFF])
addresses = near.map(IPv4Address) | near.map(IPv6Address) | st.ip_addresses()
blocks = st.builds(lambda address, bits: f"{address}/{bits}", addresses, st.sampled_from([0, 7, 8, 12, 16, 24, 31, 32]))
ranges = st.lists(near, min_size=2, max_size=2).map(
    lambda pair: f"{IPv4Address(min(pair))}-{IPv4Address(max(pair))}",
)
patterns = addresses.map(str) | blocks | ranges
lines = st.lists(
    st.lists(
        addresses.map(lambda address: str(address).encode())
        | addresses.map(lambda address: address.exploded.encode())
        | st.sampled_from([b" ", b".", b"::", b"10.", b"010.0.0.1", b"x", b",", b"\xff", b"::ffff:10.0.0.1"]),
        max_size=4,
    ).map(b"".join),
    max_size=6,
)


@settings(deadline=None, max_examples=400)
@given(pattern=patterns, column=lines, negative=st.booleans())
def test_a_column_is_told_as_its_lines_are(pattern: str, column: list[bytes], negative: bool) -> None:
    expr = parse(f'{{a="b"}} {"!=" if negative else "|="} ip("{pattern}")')
    assert isinstance(expr, LogExpr)
    (node,) = expr.stages
    assert isinstance(node, LineFilter)
    stage = LineFilterStage.of(node)
    assert stage.keeps_each(texts(column)).tolist() == [stage.keeps(line) for line in column]


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("10.0.0.1", b"10.0.0.1"),
        ("10.1.0.0/16", b"10.1."),
        ("10.1.2.3/12", b"10."),
        ("0.0.0.0/0", b"."),
        ("10.0.0.1-10.0.0.9", b"10.0.0."),
        ("::1", b":"),
        ("2001:db8::/32", b":"),
    ],
)
def test_what_lines_must_have(pattern: str, literal: bytes) -> None:
    assert ip_literal(pattern) == literal
