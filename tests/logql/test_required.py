from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logql.errors import RegexError
from logql.regex import compile_regex, searches
from logql.required import required_literals


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        ("connection (refused|reset) by", [b"connection re"]),
        ("a.*timeout.+b", [b"timeout"]),
        ("status=50[0-9]", [b"status=50"]),
        ("(foo|bar|bazz)+", [b"bar", b"bazz", b"foo"]),
        ("fo?o bar", [b"fo bar", b"foo bar"]),
        ("x{2,}abc", [b"abc"]),
        ("abc{0}def", [b"def"]),
        (r"\bpanic\b", [b"panic"]),
        (r"a\.b\x2ec:", [b"a.b"]),
        ("x(refused|reset)", [b"xrefused", b"xreset"]),
        ("gr[ae]y", [b"gray", b"grey"]),
        ("^GET /näh", ["GET /näh".encode()]),
        ("(?i)error", []),
        ("(?i:err)or: it", []),
        ("(?P<name>refused)?", []),
        ("a|", []),
        ("[[:alpha:]]+ refused", [b" refused"]),
        (r"\Qa.b\E", []),
        ("\ufffdabc", []),
        (r"\d+ms", []),
    ],
)
def test_what_every_match_contains(pattern: str, literals: list[bytes]) -> None:
    compile_regex(pattern)
    assert list(required_literals(pattern)) == literals


PIECES = [
    "abc",
    "abd",
    "b",
    "c",
    ".",
    ".*",
    "(",
    ")",
    "|",
    "?",
    "*",
    "+",
    "{0}",
    "{1,2}",
    "[ab]",
    "[^a]",
    "\\w",
    "\\.",
    "(?:",
]
PIECES += ["^", "$", "(?s)", "(?i)", "[]a]", "\\x61", "{", "}", "abcd", "\\b", "é"]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.text("abcdé.{} \n", max_size=14))
def test_a_line_without_the_literals_does_not_match(pattern: str, text: str) -> None:
    try:
        regex = compile_regex(pattern)
    except RegexError:
        return
    literals = required_literals(pattern)
    line = text.encode()
    if literals and not any(literal in line for literal in literals):
        assert not searches(regex, line)
