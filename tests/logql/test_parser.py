from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from logql import (
    LogQueryExpected,
    Matcher,
    MatchOp,
    ParseError,
    SelectorExpected,
    parse,
    parse_log,
    parse_selector,
    parse_unbuilt,
)
from logql.ast import BinaryOperation, LabelFilterStage, LogExpr, RangeAggregation, VectorAggregation
from logql.parser import MAX_BYTES
from logql.validate import MAX_DEPTH
from tests.logql.dataset import json_lines

DATA = Path(__file__).parent / "data"


def cases(name: str) -> list[tuple[str, str]]:
    lines = (DATA / name).read_text(encoding="utf-8").split("\n")
    pairs = [line.rsplit(" => ", 1) for line in lines if " => " in line and not line.startswith("# query")]
    return [(query, wanted) for query, wanted in pairs]


def error_of(act: Callable[[], object]) -> str:
    with pytest.raises(ParseError) as caught:
        act()
    return str(caught.value)


@pytest.mark.parametrize(("query", "printed"), cases("print.txt"))
def test_a_query_prints_as_loki_prints_it(query: str, printed: str) -> None:
    expr = parse(query)
    assert str(expr) == printed
    if printed != "NaN":
        assert str(parse(printed)) == printed


@pytest.mark.parametrize("query", json_lines(DATA / "queries_recorded.jsonl"))
def test_a_query_that_loki_answers_is_taken(query: str) -> None:
    parse(query)


@pytest.mark.parametrize(("query", "text"), cases("errors.txt"))
def test_a_faulty_query_has_lokis_error(query: str, text: str) -> None:
    assert error_of(lambda: parse(query)) == text


@pytest.mark.parametrize(("query", "text"), json_lines(DATA / "errors_recorded.jsonl"))
def test_a_faulty_query_has_the_error_that_loki_gave(query: str, text: str) -> None:
    assert error_of(lambda: parse(query)) == text


def test_nodes_know_where_they_stand() -> None:
    expr = parse_log('\n {a="b"}\n  |= "é" or "x" != "y" | json | c="d" and e>1')
    first, second, json, label_filter = expr.stages
    assert expr.selector.at == expr.at == (2, 2)
    assert [operand.at for operand in first.operands] == [(3, 6), (3, 13)]  # type: ignore[union-attr]
    assert (second.at, second.operands[0].at) == ((0, 17), (3, 20))  # type: ignore[union-attr]
    assert json.at == (3, 24)
    assert isinstance(label_filter, LabelFilterStage)
    assert label_filter.filter.at == (3, 33)
    assert label_filter.filter.right.at == (3, 43)  # type: ignore[union-attr]


def test_nodes_of_metric_queries_know_where_they_stand() -> None:
    expr = parse('sum by (a) (rate({b="c"}[5m])) * on (d)\n 2')
    assert isinstance(expr, BinaryOperation)
    left = expr.left
    assert isinstance(left, VectorAggregation)
    assert isinstance(left.operand, RangeAggregation)
    assert left.grouping is not None
    assert (left.at, left.grouping.at, left.operand.at, left.operand.range.at) == ((1, 1), (1, 5), (1, 13), (1, 18))
    assert (expr.at, expr.matching.at, expr.right.at) == ((1, 1), (1, 34), (2, 2))


def test_a_query_that_is_only_looked_at_may_have_faulty_stages() -> None:
    assert str(parse_unbuilt('{a="b"} |~ "(" | c=ip("x")')) == '{a="b"} |~ "(" | c=ip("x")'


def test_a_selector_alone_gives_its_matchers() -> None:
    assert parse_selector('{a="b", c!~"d"}') == (Matcher("a", MatchOp.EQ, "b"), Matcher("c", MatchOp.NRE, "d"))


@pytest.mark.parametrize("query", ['{a="b"} |= "x"', '{a="b"} | json', 'rate({a="b"}[5m])', "1"])
def test_anything_but_a_selector_is_refused_where_one_is_wanted(query: str) -> None:
    with pytest.raises(SelectorExpected, match=r"^only label matchers are supported$"):
        parse_selector(query)


def test_a_selector_that_may_match_only_missing_labels_is_refused() -> None:
    assert "queries require at least one" in error_of(lambda: parse_selector('{a=""}'))


def test_a_metric_query_is_refused_where_a_log_query_is_wanted() -> None:
    assert str(parse_log('{a="b"} | json')) == '{a="b"} | json'
    with pytest.raises(LogQueryExpected, match=r"^only log selector is supported$"):
        parse_log('rate({a="b"}[5m])')


def test_a_text_too_long_is_refused_unread() -> None:
    query = '{a="' + "é" * (MAX_BYTES // 2) + '"}'
    assert error_of(lambda: parse(query)) == f"parse error : input size too long ({len(query.encode())} > {MAX_BYTES})"


@pytest.mark.parametrize(
    "query",
    [
        "(" * (MAX_BYTES - 1),
        "{" * (MAX_BYTES - 1),
        '{a="b"}' + '|="x"' * 26_000,
        '{a="b"}|="x"' + ' or "x"' * 18_000,
        "{" + ",".join(['a="b"'] * 21_000) + "}",
        "/*" + "*" * (MAX_BYTES - 10),
        '{a=~"' + "(" * 1000 + "a{1000}" * 1000 + '"}',
        "1" + "+1" * 65_000,
        "1" + "^1" * 65_000,
        "vector(1)" + "+vector(1)" * 13_000,
        "sum(" * 32_000,
        '{a="b"}|a=1' + " or a=1" * 18_000,
        '{a="b"}|a=1' + ",a=1" * 32_000,
        '{a="b"}|drop a' + ",a" * 65_000,
        'sum_over_time({a="b"}|unwrap a' + "|a=1" * 32_000 + "[5m])",
        "1" * (MAX_BYTES - 1),
        "9" * 60_000 + "m",
        "topk(" + "1" * 60_000 + ",vector(1))",
        "-" * (MAX_BYTES - 1),
        "[" + "1" * (MAX_BYTES - 3) + "]",
    ],
    ids=[
        "parentheses",
        "braces",
        "filters",
        "operands",
        "matchers",
        "comment",
        "regex",
        "sum",
        "power",
        "vectors",
        "calls",
        "or",
        "commas",
        "drop",
        "unwrap",
        "number",
        "duration",
        "parameter",
        "minus",
        "range",
    ],
)
def test_the_longest_texts_are_done_with_soon(query: str) -> None:
    began = time.process_time()
    with contextlib.suppress(ParseError):
        parse(query)
    assert time.process_time() - began < 20


def deep(query: str) -> bool:
    try:
        return not str(parse(query))
    except ParseError as error:
        return str(error) == f"parse error : query nests too deeply (more than {MAX_DEPTH} levels)"


@pytest.mark.parametrize(
    "of_depth",
    [
        lambda depth: "(" * depth + '{a="b"}' + ")" * depth,
        lambda depth: "(" * depth + "1" + ")" * depth,
        lambda depth: "sum(" * (depth - 1) + "vector(1)" + ")" * (depth - 1),
        lambda depth: "vector(1)" + "+vector(1)" * (depth - 1),
        lambda depth: "vector(1)" + "^vector(1)" * (depth - 1),
        lambda depth: '{a="b"}|a=1' + " or a=1" * (depth - 2),
        lambda depth: '{a="b"}|a=1' + ",a=1" * (depth - 2),
        lambda depth: 'rate({a="b"}|unwrap a|a=1' + ",a=1" * (depth - 2) + "[5m])",
    ],
)
def test_depth_is_bounded(of_depth: Callable[[int], str]) -> None:
    assert not deep(of_depth(MAX_DEPTH))
    assert deep(of_depth(MAX_DEPTH + 1))


def test_a_log_query_may_be_read_from_a_deep_tree() -> None:
    query = '{a="b"}' + '|="x"' * 10_000
    expr = parse(query)
    assert isinstance(expr, LogExpr)
    assert len(expr.stages) == 10_000
