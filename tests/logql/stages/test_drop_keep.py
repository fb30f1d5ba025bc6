from __future__ import annotations

import pytest

from logql.ast import DropStage
from logql.errors import RegexError
from logql.source import Matcher, MatchOp
from logql.stages.drop import Drop
from tests.logql.stages.piping import labels, run

STREAM = {"app": "api", "env": "prod"}
LINE = b"level=error n=1"
ALL = {**STREAM, "trace": "t1", "level": "error", "n": "1"}


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in ALL.items() if name not in names}


@pytest.mark.parametrize(
    ("stage", "left"),
    [
        ("| drop level", without("level")),
        ("| drop app, trace, n", without("app", "trace", "n")),
        ("| drop missing", ALL),
        ('| drop level="error", env="dev"', without("level")),
        ('| drop level!="warn"', without("level")),
        ('| drop level=~"err.*"', without("level")),
        ('| drop level=~"rr.*"', ALL),
        ('| drop level!~"err.*", n', without("n")),
        ('| drop missing=""', ALL),
        ("| keep level", without("app", "env", "trace", "n")),
        ('| keep app, trace=~"t.", n="2"', without("env", "level", "n")),
        ('| keep level!="error"', {}),
        ("| keep missing", {}),
        ("| drop level | keep level, env", {"env": "prod"}),
    ],
)
def test_labels_of_any_kind_go_or_stay(stage: str, left: dict[str, str]) -> None:
    assert labels(f"| logfmt {stage}", LINE, STREAM, trace="t1") == left


ERROR = {
    "__error__": "JSONParserErr",
    "__error_details__": "Value looks like object, but can't find closing '}' symbol",
}


@pytest.mark.parametrize(
    ("stage", "left"),
    [
        ("| drop __error__, __error_details__", {"app": "a"}),
        ("| drop __error__", {"app": "a", "__error_details__": ERROR["__error_details__"]}),
        ('| drop __error__="JSONParserErr", __error_details__=~"Value.*"', {"app": "a"}),
        ('| drop __error__="other"', {"app": "a", **ERROR}),
        ("| keep missing", ERROR),
    ],
)
def test_errors_are_dropped_by_name_and_always_kept(stage: str, left: dict[str, str]) -> None:
    assert labels(f"| json {stage}", b"no json", {"app": "a"}) == left


def test_an_error_in_the_line_is_no_error() -> None:
    assert labels("| json | drop __error__", b'{"__error__":"mine"}') == {"__error__": "mine"}
    assert labels("| json | keep x", b'{"__error__":"mine","y":"z"}') == {"__error__": "mine"}


def test_a_dropped_name_is_not_free() -> None:
    assert labels("| drop app | logfmt", b"app=x", {"app": "a"}) == {"app_extracted": "x"}


def test_dropped_labels_are_gone_from_where_they_came() -> None:
    row = run("| logfmt | drop app, trace, level", LINE, STREAM, trace="t1")
    assert row is not None
    assert (row.stream, row.metadata, row.parsed) == ({"env": "prod"}, {}, {"n": "1"})


def test_a_matcher_that_is_no_regex_is_refused() -> None:
    with pytest.raises(RegexError):
        Drop.of(DropStage((Matcher("a", MatchOp.RE, "["),)))
