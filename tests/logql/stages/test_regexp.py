from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql import ast
from logql.errors import StageError
from logql.stages.hints import Hints
from logql.stages.regexp import RegexpParser
from tests.logql.stages.parsing import check, new_row, parsed, parser, recorded


@pytest.mark.parametrize("case", recorded("regexp"), ids=lambda case: f"{case['stage']} {case['line'][:40]}")
def test_a_line_has_the_labels_that_loki_gave_it(case: dict[str, Any]) -> None:
    check(case)


LINES = [
    ("(?P<a>x)|(?P<b>y)", b"-y", {"a": "", "b": "y"}),
    ("(?P<a>x)", b"y", {}),
    ("(?P<a>x*)", b"", {"a": ""}),
    ("(?<a>x)", b"x", {"a": "x"}),
    ("(?P<1a>x)", b"x", {"_1a": "x"}),
    ("(?P<a>a.c)", b"a\xffc", {"a": "a\udcffc"}),
    ("^(?P<a>.)(?P<b>.{2})(?P<c>.*)$", b"\xff\xe2\x82x", {"a": "\udcff", "b": "\udce2\udc82", "c": "x"}),
    ("(?P<a>\ufffd)(?P<b>.)", "x\ufffd".encode() + b"\xff", {"a": "\ufffd", "b": "\udcff"}),
    ("(?P<a>b$)", b"ab\n", {}),
    ("(?P<a>b(?:\\n|$))", b"ab\n", {"a": "b\n"}),
]


@pytest.mark.parametrize(("pattern", "line", "labels"), LINES)
def test_groups_become_labels(pattern: str, line: bytes, labels: dict[str, str]) -> None:
    row = new_row(line, {}, {})
    assert RegexpParser.of(ast.RegexpStage(pattern)).apply(row)
    assert row.labels() == labels


def test_a_taken_name_gets_a_suffix_and_a_parsed_one_stays() -> None:
    row = new_row(b"12", {"a": "s"}, {})
    row.set("b", "before")
    parser('| regexp "(?P<a>.)(?P<b>.)"').apply(row)
    assert row.labels() == {"a": "s", "a_extracted": "1", "b": "before"}


def test_hints_are_kept() -> None:
    class Never:
        def apply(self, row: Any) -> bool:
            del row
            return False

    stage = '| regexp "(?P<a>.)(?P<b>.)"'
    assert parsed(stage, b"12", hints=Hints(required=frozenset({"b"}))) == {"b": "2"}
    row = new_row(b"12", {}, {})
    assert not parser(stage, Hints(filters={"a": Never()})).apply(row)
    assert row.labels() == {"a": "1"}


BAD = [
    ("(", "error parsing regexp: missing closing ): `(`"),
    ("(?P<a-b>x)", "error parsing regexp: invalid named capture: `(?P<a-b>`"),
    ("(?P<é>x)", "error parsing regexp: invalid named capture: `(?P<é>`"),
    ("abc", "at least one named capture must be supplied"),
    ("(a)", "at least one named capture must be supplied"),
    (r"\(?P<a>x", "at least one named capture must be supplied"),
    ("[(?P<a>]", "at least one named capture must be supplied"),
    (r"\Q(?P<a>x)\E", "at least one named capture must be supplied"),
    ("(?P<a>x)(?P<b>y)(?<a>z)", "duplicate extracted label name 'a'"),
]


@pytest.mark.parametrize(("pattern", "message"), BAD)
def test_a_bad_regex_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(StageError) as refused:
        RegexpParser.of(ast.RegexpStage(pattern))
    assert str(refused.value) == f"invalid regexp parser: {message}"


@given(line=st.binary(max_size=12) | st.text(max_size=6).map(str.encode))
def test_groups_that_take_all_of_a_line_put_it_together_again(line: bytes) -> None:
    row = new_row(line, {}, {})
    RegexpParser.of(ast.RegexpStage("(?s)^(?P<a>.?)(?P<b>.?)(?P<c>.*)$")).apply(row)
    assert "".join(row.labels()[name] for name in "abc").encode("utf-8", "surrogateescape") == line
