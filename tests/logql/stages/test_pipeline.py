from __future__ import annotations

import pytest

from logql.ast import LineFilter
from logql.stages.hints import Wanted
from logql.stages.pipeline import Pipeline, reordered, stages_of, without_unused_line_formats
from tests.logql.stages.parsing import new_row
from tests.logql.stages.piping import labels, nodes, run

LINE = b'{"app":"b","a":"1","b":"2","n":{"c":"3"}}'


def texts(stages: str) -> str:
    return " ".join(map(str, reordered(nodes(stages))))


@pytest.mark.parametrize(
    ("written", "run"),
    [
        ('| json |= "x"', '|= "x" | json'),
        ('| json != "x" | drop a | keep b |~ "y"', '!= "x" |~ "y" | json | drop a | keep b'),
        ('| decolorize |= "x"', '|= "x" | decolorize'),
        ('| label_format a=b |= "x"', '|= "x" | label_format a=b'),
        ('| logfmt | line_format "x" |= "x"', '| logfmt | line_format "x" |= "x"'),
        ('| unpack |= "x"', '| unpack |= "x"'),
        ('| decolorize | a="b" | json |= "x"', '| decolorize | a="b" |= "x" | json'),
    ],
)
def test_line_filters_move_ahead_of_what_leaves_the_line(written: str, run: str) -> None:
    assert texts(written) == run


def test_line_filters_in_front_are_apart() -> None:
    pipeline = Pipeline.of(nodes('| json |= "x" | a="b" |= "y"'))
    assert len(pipeline.line_filters) == 1
    assert len(pipeline.stages) == 3
    assert isinstance(reordered(nodes('| json |= "x"'))[0], LineFilter)


def test_a_filter_that_stands_later_drops_a_line_as_soon_as_its_label_is_parsed() -> None:
    assert run('| json | label_format a="2" | a="2"', LINE) is None
    assert labels('| json | label_format a="2" | a="2" or a="3"', LINE)["a"] == "2"
    assert run("| json | a>0 | a>1", LINE) is None
    assert run("| json | drop a | a>5", LINE) is None


def test_a_filter_on_a_stream_label_is_not_asked_about_parsed_ones() -> None:
    assert labels('| json | app="a"', LINE, {"app": "a"})["app_extracted"] == "b"
    assert run('| json | app_extracted="c"', LINE, {"app": "a"}) is None


def parsed(stages: str, wanted: Wanted) -> dict[str, str] | None:
    row = new_row(LINE, {"app": "a"}, {})
    return dict(row.parsed) if Pipeline.of(nodes(stages), wanted).run(row) else None


@pytest.mark.parametrize(
    ("stages", "wanted", "found"),
    [
        ("| json", Wanted(), {"app_extracted": "b", "a": "1", "b": "2", "n_c": "3"}),
        ("| json", Wanted(("a",), without=True), {"app_extracted": "b", "a": "1", "b": "2", "n_c": "3"}),
        ("| json", Wanted(("a",)), {"a": "1"}),
        ('| json | b="2"', Wanted(("a",)), {"a": "1", "b": "2"}),
        ("| json", Wanted(("app_extracted",)), {"app_extracted": "b"}),
        ("| json", Wanted(no_labels=True), {}),
        ("| json", Wanted(no_labels=True, names=("n_c",)), {"n_c": "3"}),
        ('| json | a="1" or b="9"', Wanted(no_labels=True), {"a": "1", "b": "2"}),
        ('| json | a="9"', Wanted(no_labels=True), None),
        ("| json | label_format x=b", Wanted(no_labels=True), {"x": "2"}),
        ('| json | label_format x="{{.n_c}}"', Wanted(("x",)), {"n_c": "3", "x": "3"}),
    ],
)
def test_a_metric_query_parses_what_it_wants(stages: str, wanted: Wanted, found: dict[str, str] | None) -> None:
    assert parsed(stages, wanted) == found


@pytest.mark.parametrize(("groups", "preserved"), [(("__error__",), True), (("a",), False)])
def test_a_query_that_asks_for_errors_has_them_marked(groups: tuple[str, ...], preserved: bool) -> None:
    row = new_row(b"no json", {}, {})
    Pipeline.of(nodes("| json"), Wanted(groups)).run(row)
    assert (row.error, row.preserve_error) == ("JSONParserErr", preserved)


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ('| line_format "x"', ""),
        ('| line_format "x" | logfmt | line_format "y"', '| line_format "x" | logfmt'),
        ('| line_format "x" |= "x" | drop a', '| line_format "x" |= "x" | drop a'),
        ('|= "x" | a="b" | line_format "x" | label_format a=b', '|= "x" | a="b" | label_format a=b'),
    ],
)
def test_a_line_that_nobody_reads_is_not_formatted(written: str, left: str) -> None:
    assert " ".join(map(str, without_unused_line_formats(nodes(written)))) == left


def test_no_stages_are_a_pipeline_too() -> None:
    assert stages_of(()) == []
    assert labels("", b"x", {"app": "a"}) == {"app": "a"}
