"""Every tree prints as a query that parses to it, on one line and formatted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logql import ParseError, parse_unbuilt
from logql.ast import Expr
from logql.format import format_query
from tests.logql.dataset import json_lines
from tests.logql.trees import exprs

DATA = Path(__file__).parent / "data"
RECORDED = json_lines(DATA / "queries_recorded.jsonl")

ROUNDED_SIZES = {
    '{app="gateway"} | logfmt | bytes>=1MiB': "bytes>=1.0MB",
    '{app="units"} | logfmt | size>=1KiB': "size>=1.0kB",
}
"""Queries that Loki's printer changes (to two digits of a size) and what it makes of it."""


@settings(max_examples=300)
@given(exprs)
def test_a_printed_tree_parses_to_itself(expr: Expr) -> None:
    assert parse_unbuilt(str(expr)) == expr


@settings(max_examples=300)
@given(exprs)
def test_a_formatted_tree_parses_to_itself(expr: Expr) -> None:
    assert parse_unbuilt(format_query(expr)) == expr


@pytest.mark.parametrize("query", RECORDED)
def test_a_recorded_query_prints_and_parses_back(query: str) -> None:
    expr = parse_unbuilt(query)
    printed = str(expr)
    if query in ROUNDED_SIZES:
        assert ROUNDED_SIZES[query] in printed
    elif "NaN" not in printed:
        assert parse_unbuilt(printed) == expr
        assert parse_unbuilt(format_query(expr)) == expr


fragments = st.sampled_from(
    [
        *"{}=~!|>\"`'\\()[],.#/*-+%^<5mxé\n_ ",
        "or",
        "and",
        "|=",
        'a="b"',
        '{a="b"}',
        "ip(",
        "sum(",
        "rate(",
        "[5m]",
        " by (",
        "| json ",
        "| logfmt --strict ",
        "| unwrap ",
        "| drop ",
        "topk(2,",
        "vector(1)",
        " on(",
        " group_left ",
        "| a>1KB ",
    ]
)


@settings(max_examples=300)
@given(st.lists(fragments, max_size=30).map("".join))
def test_any_text_is_a_query_or_a_parse_error(text: str) -> None:
    try:
        expr = parse_unbuilt(text)
    except ParseError:
        return
    printed = str(expr)
    assert str(parse_unbuilt(printed)) == printed
