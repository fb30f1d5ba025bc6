from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logql.ast import LineFilter
from logql.columns.fields import FAILED, READ
from logql.columns.pattern_fields import PatternFields
from logql.columns.pattern_shapes import lines_like
from logql.parser import parse_log
from logql.pattern import line_matches, parse_line_pattern, parse_pattern
from logql.stages.line_filter import LineFilterStage
from storage.batch import texts
from tests.logql.columns.extraction import bench_lines, by_columns, recorded_lines, scalar

NGINX = '<ip> - - <_> "<method> <path> <_>" <status> <size>'
NAMES = ["a", "b", "c", "_", "d"]

pieces = st.sampled_from([b" ", b"x", b"xy", b"xyx", b" - ", b'"', b"<", b"aab", b"\xff", b"\x00", "é".encode()])
some_lines = st.lists(st.lists(pieces, max_size=12).map(b"".join) | st.binary(max_size=40), max_size=5)
literals = st.sampled_from(["x", "xy", " ", " - ", "xyx", "aab", "é", '"', "xyxyxyxyx"])


def turns(captures: list[str], between: list[str], *, head: bool, tail: bool) -> str:
    """Captures with literals between them, before the first and behind the last."""
    parts = [literal + capture for capture, literal in zip(captures, between, strict=False)]
    text = "".join(parts) if head else "".join(parts)[len(between[0]) :]
    return text + between[-1] if tail else text


patterns = st.builds(
    turns,
    st.permutations(["<a>", "<b>", "<c>", "<_>", "<_>"]).flatmap(lambda all_: st.integers(3, 5).map(lambda n: all_[:n]))
    | st.sampled_from([["<a>"], ["<b>", "<_>"], ["<_>", "<a>"], ["<c>", "<b>"]]),
    st.lists(literals, min_size=6, max_size=6),
    head=st.booleans(),
    tail=st.booleans(),
)
shapes = st.builds(
    turns,
    st.lists(st.just("<_>"), max_size=4),
    st.lists(literals, min_size=6, max_size=6),
    head=st.booleans(),
    tail=st.booleans(),
)


@settings(deadline=None, max_examples=500)
@given(
    values=some_lines,
    pattern=patterns,
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True),
    needed=st.integers(0, 6),
    everything=st.booleans(),
    skipped=st.integers(0, 2),
)
def test_captures_are_those_of_the_scalar_stage(
    values: list[bytes], pattern: str, names: list[str], needed: int, everything: bool, skipped: int
) -> None:
    stage = f"| pattern `{pattern}`"
    wanted = [scalar(stage, line, names, needed, everything=everything) for line in values]
    columns = PatternFields(parse_pattern(pattern))
    assert by_columns(columns, values, names, needed, everything=everything, skipped=skipped) == wanted


@pytest.mark.parametrize("names", [["status"], ["ip", "size"], ["method", "nothing", "path", "status"]])
@pytest.mark.parametrize("pattern", [NGINX, "<method> <path> <status>", "level=<ip> <_>", "<_>status=<status> "])
def test_recorded_lines_and_those_that_are_measured(pattern: str, names: list[str]) -> None:
    values = [*recorded_lines(), *bench_lines("nginx"), *bench_lines("logfmt")]
    needed = len(names)
    found = by_columns(PatternFields(parse_pattern(pattern)), values, names, needed, everything=False)
    assert found == [scalar(f"| pattern `{pattern}`", line, names, needed, everything=False) for line in values]


def test_only_the_rows_that_are_asked_for_are_read() -> None:
    column = texts([b"", b"1 2", b"3 4", b"5"])
    found = PatternFields(parse_pattern("<a> <b>")).fields(
        column, np.array([2, 3, 0]), ["b", "a"], np.array([1, 1, 1]), everything=False
    )
    assert found.kinds.tolist() == [[1, 0, 0], [1, 1, 0]]
    assert found.states.tolist() == [READ] * 3
    assert FAILED not in found.states


@settings(deadline=None, max_examples=500)
@given(values=some_lines, pattern=shapes | st.sampled_from(["", "<_>", "x", "<_>x", "x<_>"]), skipped=st.integers(0, 2))
def test_a_column_has_the_shapes_that_its_lines_have(values: list[bytes], pattern: str, skipped: int) -> None:
    parts = parse_line_pattern(pattern)
    column = texts([b"x", b"xy"][:skipped] + values + [b"xyx"]).slice(skipped, skipped + len(values))
    assert lines_like(parts, column).tolist() == [line_matches(parts, line) for line in values]


@pytest.mark.parametrize("pattern", ['<_>status=<_> <_>msg="<_>"', "GET <_> HTTP", '"msg":"<_>"}', "<_>error<_>"])
@pytest.mark.parametrize("operator", ["|>", "!>"])
def test_line_filters_of_recorded_lines(operator: str, pattern: str) -> None:
    (node,) = parse_log(f'{{a="b"}} {operator} `{pattern}` or `<_>cache miss<_>`').stages
    assert isinstance(node, LineFilter)
    line_filter = LineFilterStage.of(node)
    values = [*recorded_lines(), *bench_lines("logfmt"), *bench_lines("nginx"), *bench_lines("json")]
    kept = line_filter.keeps_each(texts(values)).tolist()
    assert kept == [line_filter.keeps(line) for line in values]
    assert len(set(kept)) == 2
