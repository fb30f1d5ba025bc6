from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.errors import RegexError
from logql.label_regex import label_regex
from logql.literals import to_bytes
from logql.regex import compile_regex

CASES = [
    ("a", "a", "a1 xa"),
    ("4..", "400", "4000 x400"),
    ("", "x", ""),
    (".*", "x a\nb", ""),
    (".+", "x a\nb", "''"),
    ("a|b", "a b", "xa bx"),
    ("ab|cd", "ab cd", "xab cdx"),
    ("f.*", "f fx xfx", "abc"),
    (".*s", "s xs sx", "abc"),
    (".*?lab.*", "label xlaby", "la"),
    ("^f.*", "f fx", "xf"),
    ("f.*$", "f fx", "xf"),
    ("err.*|fatal", "err myerrx fatal", "fatalx xfatal"),
    ("error|errors", "error xerrorx errors", "err"),
    ("foobar|foobaz", "foobar foobaz", "xfoobar"),
    ("foo(bar|quux)", "foobar xfooquuxx", "foo"),
    ("foo-a1|foo-b2", "foo-a1 xfoo-b2x", "foo-"),
    ("x(ab|cd)y", "xaby xcdy", "xab xxabyy"),
    ("(ab|cd)e", "abe cde", "xabe"),
    ("(foo).*", "xfoo foo", "fo"),
    ("(fo)o.*", "foo", "xfoo"),
    ("foo.*bar", "foobar fooxbar", "xfoobar"),
    ("(.*)", "a b", ""),
    (".*|foo", "foo", "bar"),
    ("foo|.*", "foo", "bar"),
    (r"a\.b.*", "xa.b", "axb"),
    ("a[.]b.*", "xa.b", "axb"),
    (r"a\db.*", "a1bx", "xa1b"),
    ("(?i)err.*", "Error xERRx", "er"),
    ("(?i)error", "ERROR error", "xerror"),
    ("(?i:err).*", "errx", "xerr"),
    ("kernel|CRON.*", "kernel xCRONx", "xkernel"),
    ("otel-[01]", "otel-0", "xotel-0"),
    ("(?P<x>ab).*", "xab", "b"),
    ("ab{2}", "abb", "xabb"),
    ("a(?:bc)d.*", "abcd", "xbcd"),
    ("a(?:)b|x", "ab x", "xab"),
]


@pytest.mark.parametrize(("pattern", "passing", "failing"), CASES)
def test_a_label_filter_searches_where_loki_rewrites_the_regex(pattern: str, passing: str, failing: str) -> None:
    test = label_regex(pattern)
    assert {value: test(_value(value)) for value in passing.split(" ")} == dict.fromkeys(passing.split(" "), True)
    assert not any(test(_value(value)) for value in failing.split(" ") if value)


def _value(text: str) -> str:
    return "" if text == "''" else text


@given(
    st.from_regex(r"([ab.][*+]?|\(|\)|\||\[ab\]|\\w|\^|\(\?:){0,8}", fullmatch=True),
    st.text("abc", min_size=1, max_size=5),
)
def test_what_the_regex_matches_passes(pattern: str, value: str) -> None:
    try:
        regex = compile_regex(f"^(?:{pattern})$")
        test = label_regex(pattern)
    except RegexError:
        return
    if regex.fullmatch(to_bytes(value)) is not None and ".*" not in pattern:
        assert test(value)


def test_what_is_no_regex_is_named_as_it_was_written() -> None:
    with pytest.raises(RegexError, match=r"^error parsing regexp: missing closing \]: `\[`$"):
        label_regex("[")
