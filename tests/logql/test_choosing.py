"""What a query chooses of a batch is what its scalar stages let through, row by row."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logql import LogQueryExpected, ParseError, choice, parse_log
from logql.choosing import _passing
from logql.rows import ROWS_AT_ONCE, rows_of
from logql.stages.pipeline import Pipeline
from storage.batch import Batch
from storage.build import BatchBuilder

QUERIES = [
    '{a="b"} |= "x"',
    '{a="b"} != "x" |~ "[0-9]+"',
    '{a="b"} | json | level="error"',
    '{a="b"} |= "e" | json | n > 3 or level=~"inf.*"',
    '{a="b"} | logfmt | n <= 3 | level!="error"',
    '{a="b"} | trace="7"',
    '{a="b"} | json | trace!="7" |= "error"',
    '{a="b"} | line_format "{{.trace}}-{{__line__}}" |= "7-"',
    '{a="b"} | json | label_format level=trace | level="7"',
    '{a="b"} | pattern "<_>=<word>" | word="x"',
    '{a="b"} | json | drop level | level=""',
    '{a="b"} | app="web"',
    '{a="b"} | json | __error__="JSONParserErr"',
    '{a="b"} | decolorize |= "red"',
    '{a="b"} |> "<_>=<_>"',
    '{a="b"} | regexp "(?P<word>[a-z]+)=" | word="level"',
]
lines = st.one_of(
    st.sampled_from(
        [
            b'{"level":"error","n":5}',
            b'{"level":"info","n":2}',
            b'{"level":"x","trace":"7"}',
            b'{"level":',
            b"level=error n=5",
            b"level=info n=1 trace=7",
            b"\x1b[31mred\x1b[0m error",
            b"a=x",
            b"",
            b"\xff x 7",
        ]
    ),
    st.binary(max_size=12),
)
rows = st.tuples(
    st.integers(0, 2), lines, st.sampled_from([(), (("trace", b"7"),), (("level", b"error"), ("n", b"4"))])
)


def batch_of(some: Sequence[tuple[int, bytes, tuple[tuple[str, bytes], ...]]]) -> Batch:
    builder = BatchBuilder()
    streams = [builder.add_stream((("app", app),)) for app in ("web", "db", "error")]
    for ts, (stream, line, metadata) in enumerate(some):
        builder.add(streams[stream], ts, line, metadata)
    return builder.build()


def expected(query: str, batch: Batch) -> list[bool]:
    pipeline = Pipeline.of(parse_log(query).stages)
    return [pipeline.run(row) for row, _ in rows_of(batch)]


@pytest.mark.parametrize("query", QUERIES)
@settings(max_examples=40)
@given(some=st.lists(rows, min_size=1, max_size=25))
def test_it_is_what_the_scalar_stages_let_through(
    query: str, some: list[tuple[int, bytes, tuple[tuple[str, bytes], ...]]]
) -> None:
    batch = batch_of(some)
    _, chooses = choice(query)
    assert chooses is not None
    assert chooses(batch).tolist() == expected(query, batch)


@pytest.mark.parametrize("query", QUERIES)
def test_of_a_long_batch_too(query: str) -> None:
    some = [(n % 3, b'{"level":"error","n":%d} n=%d level=x' % (n % 7, n), ()) for n in range(ROWS_AT_ONCE + 200)]
    batch = batch_of(some)
    assert _passing(Pipeline.of(parse_log(query).stages), batch).tolist() == expected(query, batch)


@pytest.mark.parametrize(
    "query", ["{}", '{a="b"}', '{a=~".*"}', '{a="b"} | json', '{a="b"} | line_format "x" | drop a']
)
def test_without_a_filter_it_chooses_all(query: str) -> None:
    matchers, chooses = choice(query)
    assert chooses is None
    assert len(matchers) == (query != "{}")


@pytest.mark.parametrize(
    "query", ["", "{", "web", '{a=~"("}', '{a="b"} |~ "("', '{a="b"} | json x=', '{a="b"} | pattern "none"']
)
def test_what_is_no_query_is_refused(query: str) -> None:
    with pytest.raises(ParseError):
        choice(query)


def test_a_metric_query_is_refused() -> None:
    with pytest.raises(LogQueryExpected):
        choice('rate({a="b"}[5m])')
