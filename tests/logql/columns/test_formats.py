"""Formats by columns: what templates read, and that they run once a distinct input."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from logql.ast import LabelFormatStage
from logql.columns.formats import decolorize, format_labels, format_line, names_read
from logql.columns.frame import Frame
from logql.columns.values import LabelValues
from logql.parser import parse
from logql.stages.label_format import LabelFormatter
from logql.template import Template, compile_template
from storage.batch import Batch, texts


@pytest.mark.parametrize(
    ("template", "read"),
    [
        ("{{.a}} {{.b}}", {"a", "b"}),
        ("plain", set()),
        ("{{if and .a (eq .b `x`)}}{{.c | ToUpper}}{{else}}{{printf `%s` .d}}{{end}}", {"a", "b", "c", "d"}),
        ("{{$x := .a}}{{$x}}", {"a"}),
        ("{{__line__}}", {"__line__"}),
        ("{{.a}}{{ __timestamp__ | date `15` }}", {"a", "__timestamp__"}),
        ("{{ (__timestamp__).Unix }}{{ __line__ | len }}", {"__line__", "__timestamp__"}),
        ("{{now}}", None),
        ("{{.a}}{{if .b}}{{now}}{{end}}", None),
        ("{{.}}", None),
        ("{{$}}", None),
        ("{{$.a}}", {"a"}),
        ("{{.a.b}}", {"a"}),
        ("{{range .a}}x{{else}}{{.b}}{{end}}", {"a", "b"}),
        ("{{range .a}}x{{else}}{{.}}{{end}}", None),
        ("{{range 3}}{{.}}{{if .x}}{{$.y}}{{break}}{{else}}{{.z}}{{continue}}{{end}}{{end}}", {"y"}),
        ("{{with .a}}{{.}}{{.b}}{{end}}", {"a"}),
        ("{{with $x := .a}}{{$x}}{{else with .b}}{{. | ToUpper}}{{else}}{{.c}}{{end}}", {"a", "b", "c"}),
        ("{{with .}}{{.b}}{{end}}", None),
        ("{{with $}}{{.b}}{{end}}", None),
        ('{{define "t"}}{{__line__}}{{end}}{{template "t" .}}', None),
        ('{{index . "a"}}', None),
    ],
)
def test_labels_that_decide_a_templates_output(template: str, read: set[str] | None) -> None:
    """`read` has the functions that tell of the entry, too."""
    found = compile_template(template, name="line").reads
    if found is None:
        assert read is None
        return
    assert read is not None
    assert found.labels == read - {"__line__", "__timestamp__"}
    assert found.line is ("__line__" in read)
    assert found.time is ("__timestamp__" in read)


def formatter(text: str) -> LabelFormatter:
    expr = parse(f'{{a="b"}} | label_format {text}')
    (node,) = expr.stages  # type: ignore[union-attr]
    assert isinstance(node, LabelFormatStage)
    return LabelFormatter.of(node)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a=b", {"b"}),
        ('a=b, c="{{.a}}"', {"a", "b"}),
        ('a="{{.x}}", b="{{.y}}"', {"x", "y"}),
        ('a="{{.x}}", b="{{.a}}"', None),
        ('a="{{.x}}", b=c, d="{{.c}}"', None),
        ('a="{{.__error__}}"', None),
        ("a=__error_details__", None),
    ],
)
def test_labels_that_a_stage_reads(text: str, read: set[str] | None) -> None:
    assert names_read(formatter(text)) == read


def frame_of(lines: list[bytes], labels: Mapping[str, list[str]]) -> Frame:
    batch = Batch(
        [(("s", "x"),)], np.zeros(len(lines), np.int32), np.arange(len(lines), dtype=np.int64), texts(lines), {}
    )
    frame = Frame(batch, np.arange(len(lines), dtype=np.int64))
    for name, values in labels.items():
        frame.put(name, LabelValues(np.arange(len(lines), dtype=np.int32) % len(values), values))
    return frame


def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    calls: list[object] = []
    render = Template.render

    def counting(self: Template, data: Mapping[str, str], *, line: bytes, ts: int) -> bytes:
        calls.append(data)
        return render(self, data, line=line, ts=ts)

    monkeypatch.setattr(Template, "render", counting)
    return calls


def test_a_template_runs_once_a_distinct_input(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch)
    frame = frame_of([b""] * 60, {"a": ["1", "2"], "b": ["x", "y", "z"]})
    format_labels(frame, formatter('c="{{.a}}{{.b}}{{.s}}", d="{{.a}}"'))
    made = frame.values("c")
    assert [made.texts[code] for code in made.codes[:4]] == ["1xx", "2yx", "1zx", "2xx"]
    assert len(calls) == 6 + 2
    format_line(frame, compile_template("<{{.c}}>", name="line"))
    assert [frame.lines[int(place)] for place in frame.at[:2]] == [b"<1xx>", b"<2yx>"]
    assert len(calls) == 6 + 2 + 6


def test_rows_on_which_a_template_fails_are_unsure() -> None:
    frame = frame_of([b"x"] * 4, {"a": ["1", "0"]})
    format_line(frame, compile_template("{{div 6 (int .a)}}", name="line"))
    assert frame.unsure.tolist() == [False, True, False, True]
    assert [frame.lines[int(place)] for place in frame.at[::2]] == [b"6", b"6"]


def test_colours_go_from_all_lines_but_those_that_are_no_text() -> None:
    frame = frame_of([b"a", b"\x1b[31mred\x1b[0m", b"\x1b[1m\xff", b"\xff", "\x9b1mx".encode()], {})
    decolorize(frame)
    assert frame.unsure.tolist() == [False, False, True, False, False]
    assert [frame.lines[int(frame.at[row])] for row in (0, 1, 3, 4)] == [b"a", b"red", b"\xff", b"x"]
