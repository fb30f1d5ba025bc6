from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logql.columns.fields import FAILED, NOT_SET, READ
from logql.columns.logfmt_fields import LogfmtExpressionFields, LogfmtFields
from logql.stages.logfmt_expressions import LogfmtExpressions
from storage.batch import texts
from tests.logql.columns.extraction import bench_lines, by_columns, recorded_lines, scalar
from tests.logql.stages.parsing import parser

FLAGS = [(strict, keep_empty) for strict in (False, True) for keep_empty in (False, True)]


def stage(strict: bool, keep_empty: bool) -> str:
    return "| logfmt" + " --strict" * strict + " --keep-empty" * keep_empty


NAMES = ["a", "b", "_1", "a_b", "a_b_extracted", "level", "msg", "__error__", "x" * 70, "y" * 70, "a.b", "é", ""]

keys = st.sampled_from(
    [b"a", b"b", b"1", b"_1", b"a.b", b"a-b", b"a_b", b"level", b"msg", b"x" * 70, b"caller", b"\x7f"]
)
escapes = st.sampled_from(
    [
        rb"\"",
        rb"\\",
        rb"\/",
        rb"\b",
        rb"\n",
        rb"\'",
        rb"\u0041",
        rb"\ud83d\ude00",
        rb"\ud83d",
        rb"\ude00",
        rb"\u12",
        rb"\x",
    ]
)
texts_of_values = st.sampled_from([b"1", b"x", b"info", b"12.5ms", b"/a/b", "é".encode(), b"\xff", b"\\", b"=", b'"'])
bare = st.lists(texts_of_values, max_size=4).map(b"".join)
quoted = st.lists(texts_of_values | escapes | st.just(b" "), max_size=6).map(
    lambda parts: b'"' + b"".join(parts) + b'"'
)
pairs = st.builds(
    lambda key, mark, value: key + mark + value, keys, st.sampled_from([b"=", b"=", b"=", b"==", b""]), bare | quoted
)
odd = st.sampled_from(
    [b"=", b'"', b"\t", b"\x00", b"\xff", "é=1".encode(), "é".encode(), b"\xe2\x82=1", b'a="', b"alone", b"\\"]
)
logfmt = st.lists(pairs | pairs | pairs | odd, max_size=8).flatmap(
    lambda parts: st.sampled_from([b" ", b"  ", b"\t", b""]).map(lambda blank: blank.join(parts))
)
lines = st.lists(logfmt | st.binary(max_size=40), max_size=5)
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=len(NAMES), unique=True)


@pytest.mark.parametrize(("strict", "keep_empty"), FLAGS)
@settings(deadline=None, max_examples=250)
@given(
    values=lines,
    names=names,
    needed=st.integers(0, len(NAMES) + 1),
    everything=st.booleans(),
    skipped=st.integers(0, 2),
)
def test_values_are_those_of_the_scalar_stage(
    strict: bool,
    keep_empty: bool,
    values: list[bytes],
    names: list[str],
    needed: int,
    everything: bool,
    skipped: int,
) -> None:
    columns = LogfmtFields(strict, keep_empty)
    found = by_columns(columns, values, names, needed, everything=everything, skipped=skipped)
    for line, answer in zip(values, found, strict=True):
        if answer is None:
            assert not line.isascii()
        else:
            assert answer == scalar(stage(strict, keep_empty), line, names, needed, everything=everything)


@pytest.mark.parametrize(("strict", "keep_empty"), FLAGS)
@pytest.mark.parametrize("names", [["level"], ["level", "duration", "msg"], ["err", "user_name", "none"]])
@pytest.mark.parametrize("early", [True, False])
def test_recorded_lines_and_those_that_are_measured(
    strict: bool, keep_empty: bool, names: list[str], early: bool
) -> None:
    values = [*recorded_lines(), *bench_lines("logfmt"), *bench_lines("nginx")]
    needed = len(names) + (not early)
    found = by_columns(LogfmtFields(strict, keep_empty), values, names, needed, everything=not early)
    wanted = [scalar(stage(strict, keep_empty), line, names, needed, everything=not early) for line in values]
    sure = [row for row, answer in enumerate(found) if answer is not None]
    assert [found[row] for row in sure] == [wanted[row] for row in sure]
    assert all(not values[row].isascii() for row in set(range(len(values))) - set(sure))
    assert len(sure) > 0.9 * len(values)


def test_only_the_rows_that_are_asked_for_are_read() -> None:
    column = texts([b"=", b"a=0", b"a=1", b"a=2 b=3", b""])
    found = LogfmtFields(strict=True, keep_empty=False).fields(
        column, np.array([3, 0, 1]), ["b", "a"], np.array([1, 2, 2]), everything=False
    )
    assert found.kinds.tolist() == [[NOT_SET, NOT_SET, NOT_SET], [1, NOT_SET, 1]]
    assert found.states.tolist() == [READ, FAILED, READ]


def test_a_key_alone_in_another_alphabet_is_no_matter() -> None:
    line = "запрос завершён status=200".encode()
    assert by_columns(LogfmtFields(strict=False, keep_empty=False), [line], ["status"], 1, everything=False) == [
        ("", {"status": "200"})
    ]


EXPRESSIONS = ["a", 'a="b"', 'a="b", b="a"', 'a="b", level="b", c="a_b"', f'a="{"x" * 70}", _1', 'b=`"a.b"`, a="_"']


def expressions(stage: str) -> LogfmtExpressionFields:
    made = parser(stage)
    assert isinstance(made, LogfmtExpressions)
    return LogfmtExpressionFields(made.sources, made.strict)


@settings(deadline=None, max_examples=500)
@given(
    values=lines,
    flag=st.sampled_from(["", "--strict "]),
    chosen=st.sampled_from(EXPRESSIONS),
    names=st.lists(st.sampled_from(["a", "b", "c", "level", "_1", "msg"]), min_size=1, max_size=6, unique=True),
    needed=st.integers(0, 7),
    everything=st.booleans(),
    skipped=st.integers(0, 2),
)
def test_expressions_give_what_the_scalar_stage_gives(
    values: list[bytes], flag: str, chosen: str, names: list[str], needed: int, everything: bool, skipped: int
) -> None:
    stage = f"| logfmt {flag}{chosen}"
    found = by_columns(expressions(stage), values, names, needed, everything=everything, skipped=skipped)
    for line, answer in zip(values, found, strict=True):
        if answer is None:
            assert not line.isascii()
        else:
            assert answer == scalar(stage, line, names, needed, everything=everything)


def test_expressions_over_recorded_lines() -> None:
    stage = '| logfmt lvl="level", took="duration", msg, err="error", status'
    names = ["msg", "lvl", "took", "none", "err"]
    values = [*recorded_lines(), *bench_lines("logfmt"), *bench_lines("json")]
    found = by_columns(expressions(stage), values, names, 6, everything=True)
    for line, answer in zip(values, found, strict=True):
        assert (answer is None and not line.isascii()) or answer == scalar(stage, line, names, 6, everything=True)
