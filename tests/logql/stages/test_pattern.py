from __future__ import annotations

from typing import Any

import pytest

from logql import ast
from logql.errors import StageError
from logql.stages.hints import Hints
from logql.stages.pattern_parser import PatternParser
from tests.logql.stages.parsing import check, new_row, parsed, parser, recorded


@pytest.mark.parametrize("case", recorded("pattern"), ids=lambda case: f"{case['stage']} {case['line'][:40]}")
def test_a_line_has_the_labels_that_loki_gave_it(case: dict[str, Any]) -> None:
    check(case)


LINES = [
    ("<a>", b"", {}),
    ("<a>", b"x", {"a": "x"}),
    ("<a> <b>", b"x", {"a": "x"}),
    ("<a> <b>", b" ", {"a": "", "b": ""}),
    ("<a> <_> <b>", b"x y z w", {"a": "x", "b": "z w"}),
    ("<_> <b>", b"x", {}),
    ("lit <a>", b"a lit x", {}),
    ("lit <a>", b"lit x", {"a": "x"}),
    ("lit <a>", b"lit ", {"a": ""}),
    ("<a>!", b"x!y!z", {"a": "x"}),
    ("<a>-<b>-", b"1-2", {"a": "1", "b": "2"}),
    ("<a>\\xff<b>", b"x\xfe\xffy\xfd", {"a": "x\udcfe", "b": "y\udcfd"}),
    ("<a-b><c>", b"<a-b>x", {"c": "x"}),
]


@pytest.mark.parametrize(("pattern", "line", "labels"), LINES)
def test_captures_hold_what_stands_between_literals(pattern: str, line: bytes, labels: dict[str, str]) -> None:
    assert parsed(f'| pattern "{pattern}"', line) == labels


def test_a_taken_name_gets_a_suffix_and_a_parsed_one_stays() -> None:
    row = new_row(b"1 2 3", {"a": "s"}, {})
    row.set("b", "before")
    parser('| pattern "<a> <b> <c>"').apply(row)
    assert row.labels() == {"a": "s", "a_extracted": "1", "b": "before", "c": "3"}


def test_hints_are_kept() -> None:
    class Never:
        def apply(self, row: Any) -> bool:
            del row
            return False

    assert parsed('| pattern "<a> <b>"', b"1 2", hints=Hints(required=frozenset({"b"}))) == {"b": "2"}
    assert parsed('| pattern "<a> <b>"', b"1 2", hints=Hints(no_labels=True)) == {}
    row = new_row(b"1 2 3", {}, {})
    assert not parser('| pattern "<a> <b> <c>"', Hints(filters={"b": Never()})).apply(row)
    assert row.labels() == {"a": "1", "b": "2"}


BAD = [
    ("", "syntax error: unexpected $end, expecting IDENTIFIER or LITERAL"),
    ("x", "at least one capture is required"),
    ("<_>", "at least one capture is required"),
    ("<_><_>", "at least one capture is required"),
    ("<a-b>", "at least one capture is required"),
    ("<a><b>", "found consecutive capture '<a><b>': invalid expression"),
    ("<a> <b> <a>", "duplicate capture name (a): invalid expression"),
    ("<a><_> <a>", "found consecutive capture '<a><_>': invalid expression"),
]


@pytest.mark.parametrize(("pattern", "message"), BAD)
def test_a_bad_pattern_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(StageError) as refused:
        PatternParser.of(ast.PatternStage(pattern))
    assert str(refused.value) == f"invalid pattern parser: {message}"
