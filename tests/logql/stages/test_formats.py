from __future__ import annotations

import pytest

from logql.ast import LabelFormat, LabelFormatStage, LineFormatStage
from logql.errors import StageError
from logql.stages.label_format import LabelFormatter
from logql.stages.line_format import LineFormat
from tests.logql.stages.piping import labels, run

STREAM = {"app": "api", "env": "prod"}


@pytest.mark.parametrize(
    ("stage", "changed"),
    [
        ("new=app", {"new": "api", "app": None}),
        ("new=trace", {"new": "t1", "trace": None}),
        ("new=missing", {}),
        ("app=env", {"app": "prod", "env": None}),
        ("app=app", {"app": None}),
        ("app=env, env=app", {"app": None, "env": "prod"}),
        ('new="{{.app}}-{{.trace}}"', {"new": "api-t1"}),
        ('a="{{.app}}", b="{{.a}}|{{.app}}"', {"a": "api", "b": "|api"}),
        ('new=app, x="{{.app}}{{.new}}"', {"new": "api", "app": None, "x": "api"}),
        ('empty=""', {"empty": ""}),
        ('app=""', {"app": ""}),
        ('x="{{ __line__ }}"', {"x": "the line"}),
        ("x=__error__", {}),
    ],
)
def test_labels_are_renamed_and_made(stage: str, changed: dict[str, str | None]) -> None:
    wanted = {**STREAM, "trace": "t1", **changed}
    found = labels(f"| label_format {stage}", b"the line", STREAM, trace="t1")
    assert found == {name: value for name, value in wanted.items() if value is not None}


def test_what_is_made_is_a_parsed_label() -> None:
    row = run('| label_format tid=trace, app="{{.app}}2"', b"", STREAM, trace="t1")
    assert row is not None
    assert (row.stream, row.metadata, row.parsed) == ({"env": "prod"}, {}, {"tid": "t1", "app": "api2"})


def test_a_template_that_fails_leaves_the_label_and_goes_on() -> None:
    found = labels('| label_format a="{{ div 1 0 }}", b="{{ .app }}"', b"", STREAM)
    assert found == {
        **STREAM,
        "b": "api",
        "__error__": "TemplateFormatErr",
        "__error_details__": 'template: label:1:3: executing "label" at <div 1 0>: error calling div: '
        "runtime error: integer divide by zero",
    }


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{{.app}} {{.missing}}|{{.trace}}", b"api |t1"),
        ("{{ __line__ }}!", b"bytes \xff!"),
        ("{{.missing}}", b""),
        ("", b""),
    ],
)
def test_the_line_is_what_the_template_prints(template: str, line: bytes) -> None:
    row = run(f'| line_format "{template}"', b"bytes \xff", STREAM, trace="t1")
    assert row is not None
    assert row.line == line


def test_a_template_that_fails_leaves_the_line() -> None:
    row = run('| line_format "{{ div 1 0 }}"', b"as it was", STREAM)
    assert row is not None
    assert (row.line, row.error) == (b"as it was", "TemplateFormatErr")


def test_templates_see_errors() -> None:
    row = run('| json | line_format "{{.__error__}}"', b"no json")
    assert row is not None
    assert row.line == b"JSONParserErr"


@pytest.mark.parametrize(
    ("formats", "error"),
    [
        ((LabelFormat("__error__", "x", rename=False),), "__error__ cannot be formatted"),
        (
            (LabelFormat("a", "b", rename=True), LabelFormat("a", "c", rename=True)),
            "multiple label name 'a' not allowed in a single format operation",
        ),
        (
            (LabelFormat("a", "{{", rename=False),),
            "invalid template for label 'a': template: label:1: unclosed action",
        ),
    ],
)
def test_a_label_format_that_cannot_be_built_says_why(formats: tuple[LabelFormat, ...], error: str) -> None:
    with pytest.raises(StageError) as caught:
        LabelFormatter.of(LabelFormatStage(formats))
    assert str(caught.value) == error


def test_a_line_format_that_cannot_be_built_says_why() -> None:
    with pytest.raises(StageError, match=r"^invalid line template: template: line:1: unclosed action$"):
        LineFormat.of(LineFormatStage("{{"))
