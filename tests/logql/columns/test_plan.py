"""Pipelines by columns answer as the scalar stages do: random queries over lines that no parser likes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from logql import Direction, LogExpr, MetricLimits, parse, run_log_query, run_range
from logql.ast import Grouping, RangeAggregation, VectorAggregation
from logql.columns.plan import plan_of
from logql.errors import PipelineError
from logql.extractor import Extractor
from logql.stages.pipeline import Pipeline
from tests.logql.memory_source import MemorySource, Stored

SECOND = 1_000_000_000
NAMES = ("level", "status", "took", "size", "ip", "a_b", "app", "level_extracted", "__error__", "trace", "_9")
JSON = (
    '{"level":"error","status":500,"took":"12ms","a":{"b":"x"},"ip":"10.0.0.1"}',
    '{"level":"info","status":200.0,"took":"1.5s","size":"10KB","app":"inner","trace":"t1"}',
    '{"status":"500","level":"err\\u006fr"}',
    '{"level":"warn","level":"error","a":{"b":1,"c":[1,2]},"a.b":"late"}',
    '{"level":null,"status":true,"9":"nine","took":"soon"}',
    '{"level":"error","broken',
    '{"broken":x,"level":"error"}',
    '{"level" : "error" , "status":-5e2}',
    '{"__error__":"mine","level":"error"}',
    '{"l\\u0065vel":"error","leve\u0142":"x","status":""}',
    '{"level":"Z\u00fcrich \ufffd","ip":"::1","size":"1KiB"}',
    "[1,2]", "plain text error", "", '"level":"error"', '{"level_extracted":"error"}',
    '{"nested":{"level":"error"},"took":5}',
)  # fmt: skip
LOGFMT = (
    "level=error status=500 took=12ms size=10KB ip=10.0.0.1",
    'level="error" status="200" took=1.5s app=inner',
    "level= status=abc trace=t1",
    'level="err\\u006fr" a.b=x',
    'level="open status=500',
    "=x level=error level=info status=1_000",
    'level=error "q" status=404 9=nine',
    "Z\u00fcrich=1 level=warn took=100h",
    "level_extracted=error __error__=mine",
)  # fmt: skip
PACKED = (
    '{"level":"error","_entry":"status=500 level=error"}',
    '{"_entry":"{\\"level\\":\\"error\\"}","app":"inner","trace":"t1"}',
    '{"level":"info","level":"error","_entry":"5.. error"}',
    '{"a.b":"x","9":"nine","_entry":"GET /x 500 12","took":"5ms"}',
    '{"level":"error","took":5,"_entry":"error"}',
    '{"level":"error","status":"500"}',
    '{"_entry":"caf\\u00e9 error","level":"err\\u006fr","status":"404"}',
)
ACCESS = (
    "GET /x 500 12",
    "POST /y 200 7 more",
    "GET",
    "",
    "GET /z  9",
    "PUT a b c d",
    "\x1b[31mGET\x1b[0m error",
    "\x1b[1mlevel=error\x1b[m x",
)
PARSERS = (
    "| json",
    "| json",
    "| logfmt",
    "| logfmt --strict",
    "| logfmt --keep-empty",
    "| pattern `<level> <a_b> <status> <took>`",
    "| unpack",
    r'| regexp `level[":= ]+(?P<level>\w+)(?:.*status[":= ]+(?P<status>[^ ,"]*))?`',
    "| regexp `^(?P<level>[A-Z]+) (?P<a_b>[^ ]*)( (?P<app>.*))?$`",
    '| json level, status, x="a.b"',
    '| logfmt level, took="status"',
)
TESTS = (
    'level="error"', 'level!="error"', 'level=~"err.*"', 'level!~"info|warn"', 'level=""', "status>=400", "status=500",
    "status<1e3", "took>1s", "took<=12ms", "size>9KB", 'ip=ip("10.0.0.0/8")', 'ip!=ip("10.0.0.1")', 'a_b="x"',
    'app="inner"', 'app="web"', 'level_extracted="error"', '__error__=""', '__error__!=""', '_9="nine"',
    '__error__="JSONParserErr"', 'app_extracted="inner"', 'trace="t1"', '__error_details__=""',
    'level="error" or status>=500', 'level="error", status=500', '(level="error" and took>1ms) or a_b=""',
)  # fmt: skip
OTHERS = (
    "| drop level", "| drop __error__, __error_details__", "| keep level, status", '| drop level="error"', '|= "error"',
    "!~ `5..`", "| line_format `{{.level}}`", "| label_format level=status", "| drop app", "| keep app", "| decolorize",
    '| drop level="error", status', '| drop level!="error", level=~"e.*"', '| drop app="web"',
    '| keep app!="web", level',
    '| drop __error__="JSONParserErr"', '| drop __error__=~".*", __error_details__', '| drop level=""',
    '| drop trace="t1"',
    '| keep level=~"e.*", level="info", status, app', '| keep level_extracted=~".+", __error__=""',
    '| drop level_extracted="error"', '| drop __error_details__="x"', '|= "1b"', "|~ `(?i)E.?R`",
    "| label_format level=a_b, status=level", '| label_format app=level, level=app, x="{{.app}}"',
    '| label_format level="{{.status}}-{{.app}}"', '| label_format status="{{if .level}}4{{else}}{{.took}}{{end}}0"',
    '| label_format level=`{{.level | ToUpper | trunc 3}}`, a_b="error"', '| label_format level_extracted="{{.level}}"',
    '| label_format took="{{.status | int | div 0}}"', '| label_format level="{{__line__}}"',
    "| label_format trace=trace",
    '| label_format level="x", a_b="{{.level}}"', '| label_format level="{{.__error__}}"', "| label_format app=trace",
    "| label_format took=`{{substr 1 2 .level}}`", "| line_format `{{.level}} error {{.status}}`",
    "| line_format `{{.status | int | div 0}}`", '| line_format `{"level":"{{.app}}","status":"{{.level}}"}`',
    "| label_format level=level", "| line_format `{{__line__}}`", "| line_format `{{.level}} {{__line__ | trunc 9}}`",
    '| line_format `{{ __timestamp__ | date "05" }} {{.status}} error`', '| label_format level="{{__line__ | len}}"',
    '| label_format status="{{ __timestamp__ | unixEpoch }}", took="{{ (__timestamp__).Second }}s"',
    "| line_format `{{with .level}}level={{.}} {{else}}{{.a_b}}{{end}}{{range 2}}status={{.}} {{end}}`",
    '| line_format `{{with $x := .status}}{"level":"{{$x}}"}{{end}}`', "| line_format `{{with .level}}{{.no}}{{end}}`",
    "| line_format `{{range $i, $e := .level}}x{{end}}`", "| line_format `{{$.level}} {{.status | default __line__}}`",
)  # fmt: skip
FORMATS = (
    "| line_format `{{.level}}`", "| line_format `{{.app}}`", "| line_format `{{.took}}`",
    "| line_format `{{__line__}}`",
    '| line_format `{"level":"{{.status}}","a":{"b":"{{.app}}"},"status":{{.status}}}`', "| decolorize",
    "| line_format `level={{.status}} took={{.took}} x={{__line__ | trunc 30}}`", '|= "e"', '| level!="info"',
    "| line_format `{{if .level}}GET {{.level}} {{.status}} x{{else}}{{__line__}}{{end}}`", "| status>200 or level!=``",
    "| line_format `{{ __timestamp__ | unixEpoch }} GET`", '| __error__=""', '| __error__!="JSONParserErr"',
)  # fmt: skip
SECOND_PARSERS = (
    *PARSERS,
    '| json level="status", x="a.b"',
    '| json status, a_b="a.b"',
    '| logfmt --strict x="level"',
)
GROUPINGS = (
    "by (level)",
    "by (level, app)",
    "by ()",
    "without (took)",
    "",
    "by (level_extracted, trace)",
    "by (status, a_b)",
    "by (__error_details__, level)",
)
UNWRAPS = (
    "| unwrap status",
    "| unwrap duration(took)",
    "| unwrap bytes(size)",
    '| unwrap status | __error__=""',
    "| unwrap _9",
)


def entries(rng: random.Random) -> list[Stored]:
    made = []
    taken = rng.random() < 0.5  # whether entries come with labels that lines have too
    for number in range(120):
        stream = {"env": "x", "app": rng.choice(("web", "db"))}
        if taken and rng.random() < 0.3:
            stream["level"] = rng.choice(("error", "info"))
        metadata = [("trace", rng.choice((b"t1", b"t2")))] if rng.random() < 0.5 else []
        if taken and rng.random() < 0.2:
            metadata.append(("level", b"error"))
        if rng.random() < 0.02:
            metadata.append(("__error__", b"came so"))
        line = rng.choice(rng.choice((JSON, JSON, LOGFMT, LOGFMT, PACKED, ACCESS))).encode()
        if rng.random() < 0.1:
            line = line[: rng.randrange(len(line) + 1)] + rng.choice((b"", b"\xff", b"}", b'"'))
        made.append(Stored(tuple(sorted(stream.items())), (number // 3) * SECOND, line, tuple(metadata)))
    return made


def pipeline(rng: random.Random) -> str:
    parts = [rng.choice(PARSERS)] if rng.random() < 0.9 else []
    parts += [f"| {rng.choice(TESTS)}" for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(OTHERS))
    if rng.random() < 0.1:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(PARSERS))
    return " ".join(parts)


def two_parsers(rng: random.Random) -> str:
    """Two parsers or three, with what may stand between them."""
    parts = [rng.choice(SECOND_PARSERS)]
    for _ in range(rng.choice((1, 1, 1, 2))):
        parts += rng.sample(FORMATS, rng.choice((0, 0, 1, 2)))
        parts.append(rng.choice(SECOND_PARSERS))
    parts += [f"| {rng.choice(TESTS)}" for _ in range(rng.choice((0, 1, 1, 2)))]
    if rng.random() < 0.3:
        parts.append(rng.choice(OTHERS))
    return " ".join(parts)


def metric(rng: random.Random, pipeline: Callable[[random.Random], str] = pipeline) -> str:
    grouping = rng.choice(GROUPINGS)
    unwrap = rng.choice(UNWRAPS) if rng.random() < 0.4 else ""
    log = f'{{env="x"}} {pipeline(rng)} {unwrap} [{rng.choice(("5s", "20s"))}]'
    if unwrap and rng.random() < 0.6:
        return f"{rng.choice(('max_over_time', 'avg_over_time', 'last_over_time'))}({log}) {grouping}"
    op = "sum_over_time" if unwrap else rng.choice(("count_over_time", "rate", "bytes_over_time", "bytes_rate"))
    return f"sum {grouping} ({op}({log}))" if rng.random() < 0.8 else f"{op}({log})"


def outcome(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except PipelineError as error:
        return str(error)


def log_answer(source: MemorySource, text: str, direction: Direction) -> object:
    expr = parse(text)
    assert isinstance(expr, LogExpr)
    found = run_log_query(source, "t", expr, 0, 10**12, 15, direction)
    return found.entries


def metric_answer(source: MemorySource, text: str) -> object:
    expr = parse(text)
    assert not isinstance(expr, LogExpr)
    found = run_range(source, "t", expr, 0, 45 * SECOND, 7 * SECOND, limits=MetricLimits())
    return [
        (one.labels, one.ts, [None if math.isnan(value) else value for value in one.values]) for one in found.series
    ]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("made", [pipeline, two_parsers])
def test_answers_are_those_of_the_scalar_stages(
    made: Callable[[random.Random], str], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    source = MemorySource(entries(rng), unit_size=rng.choice((17, 50, 1000)))
    asked: list[tuple[str, Callable[[], object]]] = []
    for _ in range(12):
        text, direction = f'{{env="x"}} {made(rng)}', rng.choice(list(Direction))
        asked.append((text, lambda text=text, direction=direction: log_answer(source, text, direction)))  # type: ignore[misc]
        text = metric(rng, made)
        asked.append((text, lambda text=text: metric_answer(source, text)))  # type: ignore[misc]
    by_columns = [outcome(ask) for _, ask in asked]
    with monkeypatch.context() as patched:
        patched.setattr("logql.engine.plan_of", lambda _pipeline: None)
        patched.setattr("logql.extractor.plan_of", lambda _pipeline, _names: None)
        for (text, ask), found in zip(asked, by_columns, strict=True):
            assert found == outcome(ask), text


def test_a_label_that_an_entry_came_with_ends_a_line_of_logfmt_expressions() -> None:
    line = b"level=error status=500"
    with_level = Stored((("env", "x"), ("level", "info")), 4 * SECOND, line, ())
    source = MemorySource([with_level, Stored((("env", "x"),), 5 * SECOND, line, ())], unit_size=9)
    found = metric_answer(source, 'sum by (took) (count_over_time({env="x"} | logfmt level, took="status" [20s]))')
    assert isinstance(found, list)
    assert [labels for labels, _, _ in found] == [(("took", ""),), (("took", "500"),)]


def test_no_filter_drops_a_row_for_a_label_that_an_earlier_parser_has_set() -> None:
    source = MemorySource([Stored((("env", "x"),), 4 * SECOND, b'{"level":"warn"}', ())], unit_size=9)
    found = log_answer(source, '{env="x"} | json level="status" | json | level=""', Direction.FORWARD)
    assert isinstance(found, tuple)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ('sum by (level) (count_over_time({a="b"} | json [1m]))', True),
        ('sum(count_over_time({a="b"} | json | took > 1s [1m]))', True),
        ('sum by (level) (rate({a="b"} | logfmt | drop __error__ | status=~"5.." [1m]))', True),
        ('quantile_over_time(0.9, {a="b"} | json | unwrap took [1m]) by (svc)', True),
        ('sum by (level) (count_over_time({a="b"} | json | level="y" | line_format "{{.x}}" |= "x" [1m]))', True),
        (
            'sum by (level) (count_over_time({a="b"} | json | level="y" | line_format "{{__line__}}" |= "x" [1m]))',
            True,
        ),
        ('sum by (level) (count_over_time({a="b"} | json | level="y" | line_format "{{now}}" |= "x" [1m]))', False),
        ('sum by (level) (count_over_time({a="b"} | json | line_format "{{.msg}}" | logfmt [1m]))', True),
        ('sum by (level) (count_over_time({a="b"} | logfmt | json | __error__="" | unpack [1m]))', True),
        ('sum by (c) (count_over_time({a="b"} | pattern "<a> <_>" | regexp "(?P<b>.*)" | json c="x" [1m]))', True),
        ('sum by (level) (count_over_time({a="b"} | json | drop x | logfmt [1m]))', None),
        ('sum by (a) (count_over_time({a="b"} | json | label_format a=level, b="{{.x}}" | b="" [1m]))', True),
        ('sum by (a) (count_over_time({a="b"} | json | label_format b="{{.x}}", a="{{.b}}" [1m]))', None),
        ('sum by (a) (count_over_time({a="b"} | regexp "(?P<a>.*)" | decolorize | drop a="x" [1m]))', True),
        ('count_over_time({a="b"} | json | level="error" [1m])', False),
    ],
)
def test_what_runs_by_columns_alone(text: str, whole: bool | None) -> None:
    """`whole` is None where there is no plan."""
    expr = parse(text)
    if isinstance(expr, VectorAggregation):
        assert isinstance(expr.operand, RangeAggregation)
        extractor = Extractor(expr.operand, expr.grouping or Grouping((), without=False))
    else:
        assert isinstance(expr, RangeAggregation)
        extractor = Extractor(expr, expr.grouping)
    assert extractor.by_columns is bool(whole)
    assert (extractor.plan is None) is (whole is None)


def test_a_pipeline_that_drops_nothing_has_no_plan() -> None:
    expr = parse('{a="b"} | json | line_format "{{.x}}"')
    assert isinstance(expr, LogExpr)
    assert plan_of(Pipeline.of(expr.stages)) is None
