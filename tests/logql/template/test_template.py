"""Templates give what Go's text/template with Loki's functions gives."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from logql.template import TemplateError, compile_template
from logql.template.evaluate import MAX_STEPS
from logql.template.printer import MAX_OUTPUT

DATA = Path(__file__).parent / "data"
LABELS = {
    "a": "b",
    "n": "42",
    "f": "3.75",
    "empty": "",
    "msg": "Hello, World",
    "u": "日本",
    "json": '{"k":[1,2.5,"x",null,true],"o":{"p":"q"}}',
}
LINE = b"the line"
TS = 1795168800123456789


def cases(name: str) -> list[Any]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def outcome(template: str, labels: dict[str, str], *, name: str, line: bytes, ts: int) -> dict[str, str]:
    try:
        compiled = compile_template(template, name=name, now=lambda: 10**18)
    except TemplateError as error:
        return {"refused": str(error)}
    try:
        return {"output": compiled.render(labels, line=line, ts=ts).decode("utf-8", "logql-go-replace")}
    except TemplateError as error:
        return {"details": str(error)}


@pytest.mark.parametrize("case", cases("recorded.jsonl"), ids=lambda case: case["id"])
def test_recorded_answer_of_loki(case: dict[str, Any]) -> None:
    wanted = {key: case[key] for key in ("refused", "details", "output") if key in case}
    labels, line, ts = case.get("labels", {}), case.get("line", ""), case.get("ts", 0)
    assert outcome(case["template"], labels, name=case["name"], line=line.encode(), ts=ts) == wanted


@pytest.mark.parametrize(
    ("template", "wanted"), cases("language.jsonl") + cases("functions.jsonl"), ids=lambda value: str(value)[:60]
)
def test_as_go_does(template: str, wanted: str | dict[str, str]) -> None:
    expected = {"output": wanted} if isinstance(wanted, str) else wanted
    assert outcome(template, LABELS, name="line", line=LINE, ts=TS) == expected


def test_label_templates_are_called_label_in_messages() -> None:
    assert outcome("{{div 1 0}}", {}, name="label", line=b"", ts=0)["details"].startswith("template: label:1:2: exec")


def test_bytes_that_are_no_utf8_are_kept() -> None:
    template = compile_template("{{.x}}{{__line__}}", name="line")
    assert template.render({"x": "\udcff"}, line=b"\xfe", ts=0) == b"\xff\xfe"


def test_a_template_may_be_used_again() -> None:
    template = compile_template("{{$x := .a}}{{range 2}}{{$x = upper $x}}{{end}}{{$x}}", name="line")
    assert [template.render({"a": value}, line=b"", ts=0) for value in "xyx"] == [b"X", b"Y", b"X"]


@pytest.mark.parametrize(
    "template",
    [
        '{{repeat 9000000000000 "x"}}',
        '{{repeat 1000 "\\n" | indent 1000000}}',
        '{{$x := repeat 4000000 "x"}}{{range 1000000}}{{$x}}{{end}}',
        '{{$x := repeat 4000000 "x"}}{{range 1000000}}{{$y := upper $x}}{{end}}',
        '{{$x := "x"}}{{range 60}}{{$x = print $x $x}}{{end}}',
        '{{$x := repeat 100000 "x"}}{{regexReplaceAll "x" $x $x}}',
        '{{$x := repeat 100000 "x"}}{{replace "x" $x $x}}',
        '{{alignLeft 999999999 ""}}',
        '{{printf "%1000000d%1000000d%1000000d%1000000d%1000000d" 1 2 3 4 5}}',
        '{{printf "%.1000000f" 1.5 | repeat 100}}',
        "{{range 9000000000000000000}}{{end}}",
        '{{define "t"}}{{template "t"}}{{end}}{{template "t"}}',
        '{{define "t"}}{{range 9}}{{template "t"}}{{end}}{{end}}{{template "t"}}',
        '{{define "t"}}{{template "t"}}{{template "t"}}{{end}}{{template "t"}}',
        "{{" + "(" * 3000 + "1" + ")" * 3000 + "}}",
        "{{if 1}}" * 3000 + "{{end}}" * 3000,
        "{{fromJson (repeat 100000 `[`)}}{{repeat 99999999 `x`}}",
    ],
    ids=lambda template: template[:50],
)
def test_bombs_end_soon_with_an_error(template: str) -> None:
    start = time.monotonic()
    found = outcome(template, {}, name="line", line=b"", ts=0)
    assert "output" not in found
    assert time.monotonic() - start < 10


def test_a_long_chain_of_else_if_is_no_bomb() -> None:
    template = "{{if 0}}" + "{{else if 0}}" * 1000 + "{{else}}end{{end}}"
    assert outcome(template, {}, name="line", line=b"", ts=0) == {"output": "end"}


def test_bounds_are_wide_enough_for_use() -> None:
    assert MAX_OUTPUT >= 1 << 20
    assert outcome(f"{{{{range {MAX_STEPS // 3}}}}}x{{{{end}}}}", {}, name="line", line=b"", ts=0)["output"]
