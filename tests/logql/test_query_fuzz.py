"""Fifty random queries over a random store: the engine's answers are those of a plain loop over the entries.

Asked in memory, in blocks, half and half, and with entries pushed twice on both sides of a flush.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from logql import Direction, LogExpr, Matrix, MetricExpr, MetricLimits, parse, run_log_query, run_range
from storage import Store
from storage.labels import quote
from tests.logql.plain_answers import MS, SECOND, Points, Pushed, log_answer, range_answer
from tests.storage.entries import Entry, quiet, start, stored

QUERIES = 50
SEEDS = (1, 2)
T0 = 1_700_000_000 * SECOND
SPAN = 120 * SECOND
STATES = ("memory", "blocks", "half and half", "pushed twice")

APPS = ("web", "db", "Zürich", "js", "fmt")
WORDS = (
    "error", "ERROR", "Error", "warn", "ok", "Zürich", "zürich", "ÄÖ", "500ms", "12ms", "status=500", "{", '"q"', "a.b",
    "timeout", "time", "\t", "日本",
)  # fmt: skip
LITERALS = ("error", "ERR", "Zürich", "", "ms", "a.b", "日", '"q"', "time", "nothing has this", "\\")
REGEXES = (
    "error", "(?i)error", "(?i)ZÜRICH", "err|warn", "^ok", "ok$", r"\d+ms", "z(ü|u)rich", "status=[45]00", "", "a.b",
    "timeouts?", "(?i)äö|warn", "time.*error", "[^a-z ]", "(error|ok) (warn|ok)",
)  # fmt: skip
SELECTORS = (
    '{env="x"}', '{env=~".+"}', '{app="web"}', '{app!="web", env="x"}', '{app=~"web|db"}', '{env="x", app!~"z.*|web"}',
    '{app="Zürich"}', '{env="x", host=""}', '{env="x", host=~"h[12]"}', '{app="nobody"}',
)  # fmt: skip
AFTER = (
    "", "", "", "", ' | trace="t1"', ' | level="info" or trace="t2"', ' | host!="h1"', " | drop trace",
    " | keep app, level", ' | label_format who="{{.app}}-{{.level}}"', ' | line_format "{{.app}}: {{__line__}}"',
)  # fmt: skip
PARSED = {
    "js": ("| json", '| json took="took", code="code"', '| json | code="500"', "| json | took > 50", '| json |= "5"'),
    "fmt": ("| logfmt", '| logfmt took, code="code"', '| logfmt | code!="500"', "| logfmt | took <= 50"),
}
COUNTS = ("count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time")
NUMBERS = (
    "sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "first_over_time", "last_over_time",
    "stdvar_over_time", "stddev_over_time", "quantile_over_time", "rate",
)  # fmt: skip
TAKE_GROUPINGS = frozenset(NUMBERS) - {"sum_over_time", "rate"}
LABELS = ("app", "host", "level", "trace", "code", "none")


@dataclass(frozen=True, slots=True)
class Asked:
    """A query with its times in ns; `step` is 0 for a log query."""

    text: str
    start: int
    end: int
    step: int = 0
    limit: int = 0
    direction: Direction = Direction.FORWARD


def some_entries(rng: random.Random) -> list[Pushed]:
    """Entries in order of arrival: some times, and some entries, are there more than once."""
    times = [T0 + rng.randrange(SPAN) for _ in range(150)] + [T0 + second * SECOND for second in range(0, 120, 10)]
    made: list[Pushed] = []
    for _ in range(400):
        app = rng.choice(APPS)
        labels = {"app": app, "env": rng.choice(("x", "x", "y"))}
        if rng.random() < 0.6:
            labels["host"] = rng.choice(("h1", "h2", "h3"))
        metadata = {"level": rng.choice(("info", "error"))} if rng.random() < 0.8 else {}
        if rng.random() < 0.4:
            metadata["trace"] = f"t{rng.randrange(4)}"
        pairs = tuple(sorted(metadata.items()))
        made.append(Pushed(tuple(sorted(labels.items())), rng.choice(times), some_line(rng, app), pairs))
    return made + rng.sample(made, 40)


def some_line(rng: random.Random, app: str) -> bytes:
    took, code = rng.choice(("7", "50", "120.5", "99")), rng.choice(("200", "500"))
    if app == "js":
        return f'{{"took": {took}, "code": "{code}", "msg": "{rng.choice(("ok", "error", "Zürich"))}"}}'.encode()
    if app == "fmt":
        return f'took={took} code={code} msg="{rng.choice(("ok", "time error", "ERROR"))}"'.encode()
    line = " ".join(rng.choices(WORDS, k=rng.randrange(6))).encode()
    return line + b"\xff\xfe" if rng.random() < 0.1 else line


def some_query(rng: random.Random) -> Asked:
    first = T0 + rng.randrange(-10 * SECOND, SPAN)
    last = first + rng.randrange(1, SPAN)
    if rng.random() < 0.4:
        limit, direction = rng.choice((1, 7, 50, 5000)), rng.choice(list(Direction))
        return Asked(some_pipeline(rng), first, last, limit=limit, direction=direction)
    step = rng.choice((5 * SECOND, 7 * SECOND, 30 * SECOND, 1500 * MS))
    return Asked(some_metric(rng), first, min(last, first + 20 * step), step)


def some_pipeline(rng: random.Random) -> str:
    app = rng.choice(list(PARSED))
    if rng.random() < 0.3:
        return f'{{app="{app}"}}{some_filters(rng)} {rng.choice(PARSED[app])}'
    return rng.choice(SELECTORS) + some_filters(rng) + rng.choice(AFTER)


def some_filters(rng: random.Random) -> str:
    filters = ""
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        op = rng.choice(("|=", "!=", "|~", "!~"))
        operands = rng.sample(REGEXES if "~" in op else LITERALS, rng.choice((1, 1, 1, 2, 3)))
        filters += f" {op} {' or '.join(map(quote, operands))}"
    return filters


def some_metric(rng: random.Random) -> str:
    window = f"[{rng.choice(('1s', '5s', '10s', '30s', '2m'))}]" + rng.choice(("", "", " offset 7s"))
    if rng.random() < 0.35:
        app, op = rng.choice(list(PARSED)), rng.choice(NUMBERS)
        rank = "0.9, " if op == "quantile_over_time" else ""
        query = f'{op}({rank}{{app="{app}"}}{some_filters(rng)} {rng.choice(PARSED[app])} | unwrap took {window})'
        if op in TAKE_GROUPINGS and rng.random() < 0.5:
            query += some_grouping(rng)
    else:
        query = f"{rng.choice(COUNTS)}({some_pipeline(rng)} {window})"
    if rng.random() < 0.6:
        grouping = some_grouping(rng) if rng.random() < 0.8 else ""
        query = f"{rng.choice(('sum', 'sum', 'min', 'max', 'avg', 'count'))}{grouping} ({query})"
    return query


def some_grouping(rng: random.Random) -> str:
    return f" {rng.choice(('by', 'by', 'without'))} ({', '.join(rng.sample(LABELS, rng.randrange(4)))})"


def as_stored(entry: Pushed) -> Entry:
    return entry.stream, entry.ts, entry.line, tuple((name, value.encode()) for name, value in entry.metadata)


def filled(folder: Path, state: str, pushed: list[Pushed]) -> Store:
    """A store of small row groups."""
    store = start(folder, quiet(row_group_rows=64))
    entries = list(map(as_stored, pushed))
    half = len(entries) // 2
    for place in range(0, half, 100):
        stored(store, entries[place : min(half, place + 100)])
    if state != "memory":
        store.flush()
    stored(store, entries[half:])
    if state == "blocks":
        store.flush()
    if state == "pushed twice":
        stored(store, entries[half // 2 : half + half // 2])
    return store


@pytest.fixture(scope="module", params=SEEDS)
def seed(request: pytest.FixtureRequest) -> int:
    chosen: int = request.param
    return chosen


@pytest.fixture(scope="module")
def pushed(seed: int) -> list[Pushed]:
    return some_entries(random.Random(seed))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, pushed: list[Pushed]) -> Iterator[dict[str, Store]]:
    made = {state: filled(tmp_path_factory.mktemp("store") / "data", state, pushed) for state in STATES}
    yield made
    for store in made.values():
        store.close()


@pytest.mark.parametrize("number", range(QUERIES))
def test_an_answer_is_that_of_a_plain_loop(
    seed: int, number: int, pushed: list[Pushed], stores: dict[str, Store]
) -> None:
    asked = some_query(random.Random(f"{seed} {number}"))
    expr = parse(asked.text)
    shown = f"seed {seed}, number {number}: {asked}"
    if isinstance(expr, LogExpr):
        wanted = log_answer(pushed, expr, asked.start, asked.end, asked.limit, asked.direction)
        for state, store in stores.items():
            answer = run_log_query(store, "t", expr, asked.start, asked.end, asked.limit, asked.direction)
            assert list(answer.entries) == wanted, f"{state}: {shown}"
        return
    points = range_answer(pushed, expr, asked.start, asked.end, asked.step)
    for state, store in stores.items():
        assert_alike(ask_range(store, expr, asked), points, f"{state}: {shown}")


def ask_range(store: Store, expr: MetricExpr, asked: Asked) -> Matrix:
    return run_range(
        store, "t", expr, asked.start, asked.end, asked.step, limits=MetricLimits(100_000, 0, partial=False)
    )


def assert_alike(answer: Matrix, wanted: Points, shown: str) -> None:
    """The same series at the same times; values may differ in what the order of additions makes of them."""
    found: Points = {series.labels: dict(zip(series.ts, series.values, strict=True)) for series in answer.series}
    assert {labels: list(points) for labels, points in found.items()} == {
        labels: list(points) for labels, points in wanted.items()
    }, shown
    for labels, points in found.items():
        for ts, value in points.items():
            other = wanted[labels][ts]
            assert math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-9), (
                f"{shown}: {labels} at {ts}: {value}, {other}"
            )


def test_most_of_the_queries_find_something(pushed: list[Pushed], seed: int) -> None:
    full = 0
    for number in range(QUERIES):
        asked = some_query(random.Random(f"{seed} {number}"))
        expr = parse(asked.text)
        if isinstance(expr, LogExpr):
            full += bool(log_answer(pushed, expr, asked.start, asked.end, asked.limit, asked.direction))
        else:
            full += bool(range_answer(pushed, expr, asked.start, asked.end, asked.step))
    assert full > QUERIES / 2
