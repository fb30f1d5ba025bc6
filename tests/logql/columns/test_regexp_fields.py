from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logql.columns.fields import READ, UNSURE
from logql.columns.regexp_fields import RegexpFields
from logql.stages.regexp import RegexpParser
from storage.batch import texts
from tests.logql.columns.extraction import bench_lines, by_columns, recorded_lines, scalar
from tests.logql.stages.parsing import parser

NAMES = ["a", "b", "_1", "lang", "none"]
REGEXES = (
    "(?P<a>[a-z]+)=(?P<b>[^ ]*)",
    "^(?P<a>GET|POST)? ?(?P<b>.*)$",
    "(x|(y))(?P<a>z?)(?:q)(?P<b>w)?",
    r"\((?P<a>\w+)\)[(](?P<b>.)",
    r"\Q(\E(?P<a>a|é)",
    "(?P<1>x)(?P<_1>y)",
    "(?P<_1>x?)(?P<1>y)",
    "(?i)LANG=(?P<lang>É|e)",
    "(?<a>a*)(?<b>b*?)",
    "error: (?P<a>.+?)(?: at (?P<b>[0-9.]+))?$",
    "(?s)(?P<a>.)(?P<b>\\n)",
    "(?P<a>é.)",
    "(?P<a>[^)(]+)[[:alpha:](](?P<b>)",
)
words = st.sampled_from(
    ["a", "b", "=", " ", "x", "y", "z", "q", "w", "(", ")", "é", "lang=é", "LANG=e", "GET", "error: ", " at 1.2", "\n"]
)
some_lines = st.lists(
    st.lists(words, max_size=6).map(lambda parts: "".join(parts).encode())
    | st.lists(words.map(str.encode) | st.binary(max_size=2), max_size=5).map(b"".join),
    max_size=6,
)


def columns_of(regex: str) -> RegexpFields:
    stage = parser(f"| regexp `{regex}`")
    assert isinstance(stage, RegexpParser)
    return RegexpFields.of(stage)


@settings(deadline=None, max_examples=600)
@given(
    lines=some_lines,
    regex=st.sampled_from(REGEXES),
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True),
    everything=st.booleans(),
    skipped=st.integers(0, 2),
)
@example(lines=[b"xy", b"y", b"x"], regex="(?P<_1>x?)(?P<1>y)", names=["_1"], everything=False, skipped=1)
def test_labels_are_those_of_the_scalar_stage(
    lines: list[bytes], regex: str, names: list[str], everything: bool, skipped: int
) -> None:
    stage, needed = f"| regexp `{regex}`", len(names) + 1
    found = by_columns(columns_of(regex), lines, names, needed, everything=everything, skipped=skipped)
    for line, answer in zip(lines, found, strict=True):
        if answer is not None:
            assert answer == scalar(stage, line, names, needed, everything=everything)


@pytest.mark.parametrize("regex", REGEXES)
def test_all_but_broken_text_is_sure(regex: str) -> None:
    lines = [*recorded_lines(), *bench_lines("nginx"), b"(a)(b x=xq=yqw", b"xy", "(é a".encode()]
    utf8 = [line == line.decode("utf-8", "ignore").encode() for line in lines]
    names = ["a", "b", "_1"]
    found = by_columns(columns_of(regex), lines, names, 4, everything=True)
    assert all(answer is not None for answer, good in zip(found, utf8, strict=True) if good)
    expected = [scalar(f"| regexp `{regex}`", line, names, 4, everything=True) for line in lines]
    assert [one if one is not None else two for one, two in zip(found, expected, strict=True)] == expected


def test_some_rows_in_any_order() -> None:
    lines = texts([b"a=1", b"b=2", b"\xff=3", b"a=4"])
    found = columns_of("a=(?P<v>.)").fields(lines, np.array([3, 1, 3]), ["v"], np.full(3, 2), everything=True)
    values = [found.data[first:last].tobytes() for first, last in zip(found.starts[0], found.stops[0], strict=True)]
    assert (values, found.kinds[0].tolist()) == ([b"4", b"", b"4"], [1, 0, 1])
    found = columns_of("(?P<v>a?)").fields(lines, np.array([3, 2]), ["v"], np.full(2, 2), everything=True)
    assert found.states.tolist() == [READ, UNSURE]


def test_a_regex_that_is_too_large_for_arrow_is_unsure() -> None:
    regex = r"(?P<a>(?:\pL{900}|\pN{999}|\pS{800}){1})"
    found = columns_of(regex).fields(texts([b"a", b""]), np.arange(2), ["a"], np.full(2, 2), everything=True)
    assert UNSURE in found.states.tolist()
