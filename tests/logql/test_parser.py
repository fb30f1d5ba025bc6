from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql import Matcher, MatchOp, ParseError, SelectorExpected, UnsupportedQuery, parse, parse_selector
from logql.ast import LineFilter, LineFilterOp, LineFilterOperand, LogExpr, Selector
from logql.parser import MAX_BYTES, MAX_DEPTH
from logql.tokens import KEYWORDS, Position
from tests.logql.dataset import json_lines

DATA = Path(__file__).parent / "data"
NOWHERE = Position(0, 0)


def cases(name: str) -> list[tuple[str, str]]:
    lines = (DATA / name).read_text(encoding="utf-8").split("\n")
    pairs = [line.rsplit(" => ", 1) for line in lines if " => " in line and not line.startswith("# query")]
    return [(query, wanted) for query, wanted in pairs]


def error_of(act: Callable[[], object]) -> str:
    with pytest.raises(ParseError) as caught:
        act()
    return str(caught.value)


@pytest.mark.parametrize(("query", "printed"), cases("print.txt"))
def test_a_query_prints_as_loki_prints_it_and_parses_back(query: str, printed: str) -> None:
    expr = parse(query)
    assert str(expr) == printed
    assert parse(printed) == expr


@pytest.mark.parametrize(("query", "text"), cases("errors.txt"))
def test_a_faulty_query_has_lokis_error(query: str, text: str) -> None:
    assert error_of(lambda: parse(query)) == text


@pytest.mark.parametrize(("query", "text"), json_lines(DATA / "errors_recorded.jsonl"))
def test_a_faulty_query_has_the_error_that_loki_gave(query: str, text: str) -> None:
    assert error_of(lambda: parse(query)) == text


@pytest.mark.parametrize(("query", "text"), cases("beyond.txt"))
def test_a_query_of_a_later_version_is_refused_by_name(query: str, text: str) -> None:
    with pytest.raises(UnsupportedQuery) as caught:
        parse(query)
    assert str(caught.value) == text


def test_nodes_know_where_they_stand() -> None:
    expr = parse('\n {a="b"}\n  |= "é" or "x" != "y"')
    first, second = expr.stages
    assert expr.selector.at == (2, 2)
    assert [operand.at for operand in first.operands] == [(3, 6), (3, 13)]
    assert (second.at, second.operands[0].at) == ((0, 17), (3, 20))


names = st.from_regex(r"\A[a-zA-Z_][a-zA-Z0-9_]{0,8}\Z").filter(lambda name: name.lower() not in KEYWORDS)
values = st.binary(max_size=8).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\.+*?()|[]{}^$"), max_size=8)
matchers = st.one_of(
    st.builds(Matcher, names, st.sampled_from([MatchOp.EQ, MatchOp.NE]), values),
    st.builds(Matcher, names, st.sampled_from([MatchOp.RE, MatchOp.NRE]), plain),
)
sure = st.builds(Matcher, names, st.just(MatchOp.EQ), values.filter(bool))
literal_filters = st.builds(
    LineFilter,
    st.sampled_from([LineFilterOp.CONTAINS, LineFilterOp.NOT_CONTAINS]),
    st.lists(
        st.one_of(
            st.builds(LineFilterOperand, values, st.just(False), st.just(NOWHERE)),
            st.builds(LineFilterOperand, st.ip_addresses().map(str), st.just(True), st.just(NOWHERE)),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    st.just(NOWHERE),
)
other_filters = st.builds(
    LineFilter,
    st.sampled_from([LineFilterOp.MATCHES, LineFilterOp.NOT_MATCHES, LineFilterOp.PATTERN, LineFilterOp.NOT_PATTERN]),
    st.lists(st.builds(LineFilterOperand, plain, st.just(False), st.just(NOWHERE)), min_size=1, max_size=3).map(tuple),
    st.just(NOWHERE),
)
expressions = st.builds(
    lambda one, more, stages: LogExpr(Selector((*more, one), NOWHERE), tuple(stages)),
    sure,
    st.lists(matchers, max_size=3),
    st.lists(literal_filters | other_filters, max_size=4),
)


@given(expressions)
def test_every_tree_prints_as_a_query_that_parses_to_it(expr: LogExpr) -> None:
    if any("<" in operand.text for stage in expr.stages for operand in stage.operands):
        return  # may be a pattern with captures in wrong places
    assert parse(str(expr)) == expr


fragments = st.sampled_from([*"{}=~!|>\"`'\\()[],.#/*-5mxé\n_ ", "or", "|=", 'a="b"', "ip(", "sum("])


@given(st.lists(fragments, max_size=30).map("".join))
def test_any_text_is_a_query_or_a_parse_error(text: str) -> None:
    try:
        expr = parse(text)
    except ParseError:
        return
    assert parse(str(expr)) == expr


def test_a_selector_alone_gives_its_matchers() -> None:
    assert parse_selector('{a="b", c!~"d"}') == (Matcher("a", MatchOp.EQ, "b"), Matcher("c", MatchOp.NRE, "d"))


@pytest.mark.parametrize("query", ['{a="b"} |= "x"', '{a="b"} | json', 'rate({a="b"}[5m])'])
def test_anything_but_a_selector_is_refused_where_one_is_wanted(query: str) -> None:
    with pytest.raises(SelectorExpected, match=r"^only label matchers are supported$"):
        parse_selector(query)


def test_a_selector_that_may_match_only_missing_labels_is_refused() -> None:
    assert "queries require at least one" in error_of(lambda: parse_selector('{a=""}'))


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
    ],
    ids=["parentheses", "braces", "filters", "operands", "matchers", "comment", "regex"],
)
def test_the_longest_texts_are_done_with_soon(query: str) -> None:
    began = time.process_time()
    with contextlib.suppress(ParseError):
        parse(query)
    assert time.process_time() - began < 5


def test_depth_is_bounded() -> None:
    assert str(parse("(" * MAX_DEPTH + '{a="b"}' + ")" * MAX_DEPTH)) == '{a="b"}'
    assert "nests too deeply" in error_of(lambda: parse("(" * 251 + '{a="b"}' + ")" * 251))
