from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.errors import StageError
from logql.stages.hints import Hints
from logql.stages.json_path import parse_logfmt_key
from logql.stages.logfmt_scan import pairs
from tests.logql.stages.parsing import check, new_row, parsed, parser, recorded


@pytest.mark.parametrize("case", recorded("logfmt"), ids=lambda case: f"{case['stage']} {case['line'][:40]}")
def test_a_line_has_the_labels_that_loki_gave_it(case: dict[str, Any]) -> None:
    check(case)


def error(details: str, **found: str) -> dict[str, str]:
    return {**found, "__error__": "LogfmtParserErr", "__error_details__": f"logfmt syntax error at {details}"}


LINES = [
    ("| logfmt", b'a=1 b"c d=2', {"a": "1", "d": "2"}),
    ("| logfmt", b'a="x""y" b=1', {"a": "x", "b": "1"}),
    ("| logfmt", b"a=x\xff\xe2\x82 b=1", {"a": "x   ", "b": "1"}),
    ("| logfmt", b'a="x\xff" b="\xff\\n"', {"a": "x ", "b": " \n"}),
    ("| logfmt", b"a\xff=1 b=2", {"b": "2"}),
    ("| logfmt", b"a\xff b=2", {"b": "2"}),
    ("| logfmt", b'a="\\ud83d\\ude00\\/\\\'"', {"a": "😀/'"}),
    ("| logfmt", b'a="\\ud83d" b="\\ude00\\ud83d"', {"a": " ", "b": "  "}),
    ("| logfmt", b'a="\\u12"', {}),
    ("| logfmt", b"a=1\x00b=2\x1fc=3", {"a": "1", "b": "2", "c": "3"}),
    ("| logfmt", b"1=2 .=3", {"_1": "2", "_": "3"}),
    ("| logfmt", "\u2003a=1".encode(), {"a": "1"}),
    ("| logfmt", "\u2003=1 b=2".encode(), {"b": "2"}),
    ("| logfmt", b"a= a=2 a=3", {"a": "2"}),
    ("| logfmt --keep-empty", b"a= a=2", {"a": ""}),
    ("| logfmt --strict", b"a=1 b\xff=2 c=3", error("pos 7 : invalid key", a="1")),
    ("| logfmt --strict", b"a=1 b\xff c=3", error("pos 7 : invalid key", a="1")),
    ("| logfmt --strict", b"a=1 b\xff", error("pos 7 : invalid key", a="1")),
    ("| logfmt --strict", b'a="\\u12" b=1', error("pos 9 : invalid quoted value")),
    ("| logfmt --strict", b'a="x\\"', error("pos 7 : unterminated quoted value")),
    ("| logfmt --strict", b'a=b"c"', error("pos 4 : unexpected '\"'")),
    ("| logfmt --strict", b"  =", error("pos 3 : unexpected '='")),
    ('| logfmt x="a"', b"a=1 x=2 a=3", {"x": "3"}),
    ('| logfmt x="a"', b"x=1", {"x": "1"}),
    ('| logfmt x="a", y="a"', b"a=1", {"x": "1", "y": ""}),
    ('| logfmt x="a_b"', b"a.b=1", {"x": "1"}),
    ('| logfmt x=`"a.b"`', b"a.b=1", {"x": ""}),
    ('| logfmt x=`"a" "b"`', b"a=1 b=2", {"x": ""}),
    ('| logfmt x="a"', b"a=x\xff", {"x": ""}),
    ('| logfmt x="a"', b"a==b a=1", {"x": "1"}),
    ('| logfmt --strict x="a"', b"a==b a=1", error("pos 3 : unexpected '='", x="")),
    ("| logfmt x", b"", {"x": ""}),
]


@pytest.mark.parametrize(("stage", "line", "labels"), LINES)
def test_pairs_become_labels_and_faults_are_passed_over(stage: str, line: bytes, labels: dict[str, str]) -> None:
    assert parsed(stage, line) == labels


def test_a_taken_name_gets_a_suffix() -> None:
    assert parsed("| logfmt", b"a=1 a=2", {"a": "s"}) == {"a_extracted": "1"}
    assert parsed("| logfmt a, b", b"b=0 a=1 a=2 b=3", {"a": "s"}) == {"a_extracted": "1", "b": "0"}
    assert parsed("| logfmt a", b"b=1", {"a": "s"}) == {}


class Never:
    def apply(self, row: Any) -> bool:
        del row
        return False


def test_a_filter_drops_the_line_as_soon_as_its_label_is_read() -> None:
    row = new_row(b"a=1 b=2 c=3", {}, {})
    assert not parser("| logfmt", Hints(filters={"b": Never()})).apply(row)
    assert row.labels() == {"a": "1", "b": "2"}
    assert not parser("| logfmt --strict", Hints(filters={"__error__": Never()})).apply(new_row(b"=", {}, {}))
    assert parser("| logfmt b", Hints(filters={"b": Never()})).apply(new_row(b"b=2", {}, {}))


def test_only_wanted_labels_are_read_and_no_further_than_the_last() -> None:
    hints = Hints(required=frozenset({"b"}))
    assert parsed("| logfmt --strict", b"a=1 b=2 ==", hints=hints) == {"b": "2"}
    assert parsed("| logfmt --strict", b"==", hints=Hints(no_labels=True)) == {}
    assert parsed('| logfmt b="a"', b"a=1", hints=hints) == {"b": "1"}


def test_an_expression_names_a_key() -> None:
    assert parse_logfmt_key("app") == "app"
    assert parse_logfmt_key(' "with spaces, Ü👌" ') == "with spaces, Ü👌"
    assert parse_logfmt_key('"unclosed') == "unclosed"
    assert parse_logfmt_key('a "b"') is None


BAD_KEYS = [
    ("", "syntax error: unexpected $end, expecting STRING or KEY"),
    ("@at", "syntax error: unexpected $end, expecting STRING or KEY"),
    ("1", "syntax error: unexpected $end, expecting STRING or KEY"),
    ("field with", "syntax error: unexpected KEY"),
    ('"a" b', "syntax error: unexpected KEY"),
    ("a.b", "unexpected char ."),
]


@pytest.mark.parametrize(("text", "message"), BAD_KEYS)
def test_a_bad_expression_is_refused(text: str, message: str) -> None:
    with pytest.raises(StageError) as refused:
        parse_logfmt_key(text)
    assert str(refused.value) == f"cannot parse expression [{text}]: {message}"


keys = st.text(alphabet="abc._", min_size=1, max_size=3)


@given(written=st.lists(st.tuples(keys, st.text(max_size=5)), max_size=5))
def test_quoted_values_come_back(written: list[tuple[str, str]]) -> None:
    line = " ".join(f"{key}={json.dumps(value)}" for key, value in written).encode()
    assert [(pair.key.decode(), pair.value.decode()) for pair in pairs(line)] == written  # type: ignore[union-attr]


@given(line=st.lists(st.sampled_from([b"a", b"=", b'"', b" ", b"\\", b"\xff", b"b=1", b'c="2"', b"\n"])).map(b"".join))
def test_no_line_is_too_broken(line: bytes) -> None:
    parsed("| logfmt", line)
    parsed("| logfmt --strict a, b", line)
    assert len(list(pairs(line))) <= len(line)
