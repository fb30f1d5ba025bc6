from __future__ import annotations

import pytest

from logql.ast import IpLabelFilter, StringFilter
from logql.errors import RegexError, StageError
from logql.source import Matcher, MatchOp
from logql.stages.label_filter import label_test
from tests.logql.stages.piping import labels, run

STREAM = {"app": "api"}


@pytest.mark.parametrize(
    ("stage", "passes"),
    [
        ('| app="api"', True),
        ('| app!="api"', False),
        ('| app=~"a.."', True),
        ('| app=~"p"', False),
        ('| app=~"p.*"', True),
        ('| app!~"p.*"', False),
        ('| level="error"', True),
        ('| missing=""', True),
        ('| missing!="x"', True),
        ('| missing="x"', False),
        ('| missing=~".*"', True),
        ('| missing!~".+"', True),
        ('| __error__=""', True),
        ('| __error_details__=""', True),
    ],
)
def test_strings_are_compared_with_labels_of_any_kind(stage: str, passes: bool) -> None:
    assert (run(stage, b"", STREAM, level="error") is not None) == passes


@pytest.mark.parametrize(
    ("stage", "passes"),
    [
        ("| n=5", True),
        ("| n==5.0", True),
        ("| n!=5", False),
        ("| n>4.9", True),
        ("| n>=5", True),
        ("| n<5", False),
        ("| n<=4", False),
        ("| missing>1", False),
        ("| missing!=1", False),
        ("| took>1s", True),
        ("| took=1500ms", True),
        ("| took>1d", False),
        ("| took>-5s", True),
        ("| missing<1s", False),
        ("| size>1KB", True),
        ("| size=5kB", True),
        ("| size<5KiB", True),
        ("| missing<1KB", False),
        ('| ip=ip("10.0.0.0/8")', True),
        ('| ip!=ip("10.0.0.0/8")', False),
        ('| ip=ip("11.0.0.1")', False),
        ('| missing=ip("10.0.0.0/8")', False),
        ('| missing!=ip("10.0.0.0/8")', False),
        ("| n>4 and took<1s", False),
        ("| n>4, took<1m", True),
        ("| n>4 took<1m", True),
        ("| n>5 or took<1m", True),
        ("| n>5 or took>1m", False),
        ("| n>5 or (took<1m and size>1KB)", True),
    ],
)
def test_values_are_compared_by_what_they_mean(stage: str, passes: bool) -> None:
    row = run(stage, b"", {"n": "5", "took": "1.5s", "size": "5 KB", "ip": "from 10.1.2.3:80"})
    assert (row is not None) == passes
    assert row is None or row.error == ""


def test_a_size_is_rounded_as_loki_prints_it() -> None:
    assert run("| size>=1KiB", b"", {"size": "1000"}) is not None


@pytest.mark.parametrize(
    ("stage", "details"),
    [
        ("| app>1", 'strconv.ParseFloat: parsing "api": invalid syntax'),
        ("| app>1s", 'time: invalid duration "api"'),
        ("| app>1KB", 'strconv.ParseFloat: parsing "": invalid syntax'),
        ("| app>1 and app>1s", 'strconv.ParseFloat: parsing "api": invalid syntax'),
        ("| app>1 or app>1s", 'strconv.ParseFloat: parsing "api": invalid syntax'),
        ("| missing>1 or app>1s", 'time: invalid duration "api"'),
    ],
)
def test_a_value_that_is_none_sets_an_error_and_goes_on(stage: str, details: str) -> None:
    found = labels(stage, b"", STREAM)
    assert found == {**STREAM, "__error__": "LabelFilterErr", "__error_details__": details}


def test_and_makes_both_tests() -> None:
    assert run("| missing>1 and app>1s", b"", STREAM) is None
    row = run('| (missing>1 and app>1s) or app="api"', b"", STREAM)
    assert row is not None
    assert row.error == "LabelFilterErr"


def test_an_error_is_seen_by_string_filters_and_its_details_by_none() -> None:
    assert run('| app>1 | __error__="LabelFilterErr"', b"", STREAM) is not None
    assert run('| app>1 | __error__=""', b"", STREAM) is None
    assert run('| app>1 | __error_details__=~".+"', b"", STREAM) is None
    assert run('| json | __error_details__=~".+"', b'{"__error_details__":"d"}') is not None
    assert run('| json | __error__!=""', b'{"__error__":"mine"}') is None


def test_an_address_filter_lets_rows_with_an_error_through() -> None:
    assert run('| app>1 | app=ip("10.0.0.1")', b"", STREAM) is not None


def test_a_row_that_came_with_an_error_has_it() -> None:
    assert run('| __error__="theirs"', b"", STREAM, __error__="theirs") is not None


def test_a_filter_that_cannot_be_built_says_why() -> None:
    with pytest.raises(StageError, match=r'^ip: invalid pattern: "x"$'):
        label_test(IpLabelFilter("a", negative=False, pattern="x"))
    with pytest.raises(RegexError, match=r"^error parsing regexp: missing closing \): `\(`$"):
        label_test(StringFilter(Matcher("a", MatchOp.RE, "(")))
