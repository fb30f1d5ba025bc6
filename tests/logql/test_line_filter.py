from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logql import parse_log
from logql.ast import LineFilter
from logql.stages.line_filter import LineFilterStage
from storage.batch import Batch, Texts, texts


def stage(text: str) -> LineFilterStage:
    (node,) = parse_log('{a="b"} ' + text).stages
    assert isinstance(node, LineFilter)
    return LineFilterStage.of(node)


KEEPS = [
    ('|= "err"', b"an error", True),
    ('|= "err"', b"an ERROR", False),
    ('|= ""', b"", True),
    ('!= ""', b"x", False),
    ('!= "" or "y"', b"x", False),
    ('|= "a" or "b"', b"xbx", True),
    ('!= "a" or "b"', b"xbx", False),
    ('!= "a" or "b"', b"xcx", True),
    ('|= "\\xff"', b"\xff", True),
    ('|= "\\xff"', "ÿ".encode(), False),
    ('|~ "a.c"', b"a\nc", False),
    ('|~ "(?s)a.c"', b"a\nc", True),
    ('|~ "^c"', b"a\nc", False),
    ('|~ "(?m)^c"', b"a\nc", True),
    ('|~ "a$"', b"a\n", False),
    ('|~ "^.{3}$"', b"a\xffc", True),
    ('|~ "^.{4}$"', b"a\xe2\x82c", True),
    ('|~ "^.$"', "é".encode(), True),
    ('|~ ""', b"", True),
    ('!~ ""', b"x", False),
    ('|~ ".+"', b"", False),
    ('!~ ".+"', b"", True),
    ('|~ "(?i)istanbul"', "İSTANBUL".encode(), True),
    ('|~ "(?i)us"', "u\u017f".encode(), False),
    ('|~ "(?i)[u]s"', "u\u017f".encode(), True),
    ('|~ "(?i)k"', "\u212a".encode(), True),
    ('|> "foo <_>"', b"xx foo bar", True),
    ('|> "foo <_>"', b"foo ", False),
    ('|> "<_>x<_>"', b"xy", False),
    ('|> "<_>x<_>"', b"axb", True),
    ('|> "<_>x"', b"ax", True),
    ('|> "<_>x"', b"axxb", False),
    ('|> "x"', b"ax", True),
    ('|> ""', b"", True),
    ('|> ""', b"x", False),
    ('|> "<_>"', b"", False),
    ('|> "<a-b>"', b"<a-b>", True),
    ('!> "a<_>" or "b<_>"', b"bx", False),
    ('|= ip("10.0.0.0/8")', b"src=10.1.2.3:80", True),
    ('|= ip("10.0.0.0/8")', b"src=10.1.2.3.4", False),
    ('|= ip("10.0.0.1")', b"::ffff:10.0.0.1", False),
    ('|= ip("::ffff:10.0.0.1")', b"peer [::ffff:10.0.0.1] closed", True),
    ('!= ip("10.0.0.0/8")', b"from 10.1.2.3", False),
    ('|= ip("fe80::/10") or "x"', b"fe80::1", True),
    ('|= ip("1.1.1.1-1.1.1.9")', b"at 12:34:56 1.1.1.9", True),
    ('|= ip("1.1.1.1-1.1.1.9")', b"at 12:34:56 1.1.1.10", False),
]


@pytest.mark.parametrize(("text", "line", "kept"), KEEPS)
def test_a_line_is_kept_or_dropped(text: str, line: bytes, kept: bool) -> None:
    assert stage(text).keeps(line) is kept


REGEXES = [
    "a",
    "a.b",
    "^.$",
    "^.{2,3}$",
    r"\x{ff}",
    r"(?i)K\b",
    "(?i)is",
    r"[^a]+$",
    "(?s)^.*b.$",
    "a|é|^$",
    r"\pL{2}",
    "(?i)[\\pL\\pN_]{9}|z",
]
OPERANDS = [
    *(f"{op} `{regex}`" for op in ("|~", "!~") for regex in REGEXES),
    '|~ "a" or "^.$" or `\\x00`',
    '!~ "a" or "^.$"',
    '|= "a"',
    '!= "a"',
    '|= ""',
    '!= ""',
    '|= "\\xff"',
    '!= "\\xff\\xc3" or "ab"',
    '|= "é" or ip("::1")',
    '|= "k\\n" or "\\x00"',
    '|> "a<_>"',
    '!> "<_>a<_>" or ""',
    '!= ip("0.0.0.0/0")',
]
pieces = st.sampled_from([b"a", b"b", b"K", b"k", b"\n", b"\x00", b"\xff", b"\xe2\x82", b"1.2.3.4", b"::1", b" "]) | (
    st.sampled_from(["é", "ÿ", "\u212a", "İ", "\u017f", "i", "s", "\ufffd", "😀"]).map(str.encode)
    | st.binary(max_size=2)
)
lines = st.lists(st.lists(pieces, max_size=6).map(b"".join), max_size=12)


@pytest.mark.parametrize("text", OPERANDS)
@settings(deadline=None, max_examples=60)
@given(values=lines, skipped=st.integers(0, 2))
def test_the_column_form_decides_as_the_scalar_form(text: str, values: list[bytes], skipped: int) -> None:
    column = texts([b"\xffa"] * skipped + values + [b"a\xff"]).slice(skipped, skipped + len(values))
    line_filter = stage(text)
    assert line_filter.keeps_each(column).tolist() == [line_filter.keeps(line) for line in values]


def test_a_regex_too_large_for_arrow_still_decides() -> None:
    large = stage(r"|~ `^[\pL]{1000}$`")
    column = texts([("é" * 1000).encode(), ("é" * 999).encode(), b"\xff"])
    assert large.keeps_each(column).tolist() == [True, False, False]


@pytest.mark.parametrize("length", [300, 30_000])
def test_a_long_text_is_found(length: int) -> None:
    needle = "aé." * (length // 4)
    raw = needle.encode()
    column = texts([raw, b"x" + raw + b"\xff", raw[1:], raw[:-1]])
    assert stage(f'|= "{needle}"').keeps_each(column).tolist() == [True, True, False, False]


def batch(column: Texts, selection: list[int] | None) -> Batch:
    n = len(column)
    rows = None if selection is None else np.array(selection, np.int64)
    return Batch([()], np.zeros(n, np.int32), np.arange(n, dtype=np.int64), column, selection=rows)


@pytest.mark.parametrize("selection", [None, [], [1], [0, 3, 8], list(range(9))])
def test_a_stage_narrows_what_is_selected(selection: list[int] | None) -> None:
    column = texts([b"a", b"ab", b"b", b"a", b"", b"ba", b"c", b"b", b"a"])
    wanted = [row for row in (range(9) if selection is None else selection) if b"a" in column[row]]
    narrowed = stage('|= "a"').narrow(batch(column, selection))
    assert narrowed.selection is not None
    assert narrowed.selection.tolist() == wanted
    assert narrowed.lines is column
