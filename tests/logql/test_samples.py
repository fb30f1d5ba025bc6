from __future__ import annotations

import pytest

from logql import parse
from logql.ast import Grouping, RangeAggregation, VectorAggregation
from logql.extractor import Extractor, grouping_of
from logql.samples import read_samples
from logql.unit_reader import UnitReader
from storage.batch import Labels
from storage.labels import labels_id
from tests.logql.memory_source import MemorySource, Stored

A: Labels = (("app", "a"), ("pod", "1"))
B: Labels = (("app", "a"), ("pod", "2"))

ENTRIES = [
    Stored(A, 1, b"v=1 k=x", (("m", b"meta"),)),
    Stored(A, 2, b"v=2 k=y"),
    Stored(B, 2, b"v=abc k=x"),
    Stored(B, 3, b"nothing"),
]


def samples(
    query: str, entries: list[Stored] | None = None, unit_size: int = 10
) -> dict[Labels, tuple[list[int], list[float]]]:
    """The samples of a range aggregation, or of the one that a `sum` stands around."""
    expr = parse(query)
    outer = None
    if isinstance(expr, VectorAggregation):
        outer, expr = expr.grouping or Grouping((), without=False), expr.operand
    assert isinstance(expr, RangeAggregation)
    reader = UnitReader(MemorySource(entries or ENTRIES, unit_size), "tenant", lambda: None)
    found = read_samples(reader, expr, Extractor(expr, grouping_of(expr, outer)), 0, 100)
    return {labels: (one.ts.tolist(), one.values.tolist()) for labels, one in found.series().items()}


def test_lines_are_counted_under_all_their_labels() -> None:
    assert samples('count_over_time({app="a"}[1m])') == {
        (("app", "a"), ("m", "meta"), ("pod", "1")): ([1], [1.0]),
        A: ([2], [1.0]),
        B: ([2, 3], [1.0, 1.0]),
    }


def test_bytes_are_those_of_the_line_that_the_pipeline_made() -> None:
    assert samples('bytes_over_time({app="a"} |= "v=" [1m])') == {
        (("app", "a"), ("m", "meta"), ("pod", "1")): ([1], [7.0]),
        A: ([2], [7.0]),
        B: ([2], [9.0]),
    }


def test_the_unwrapped_label_is_no_label_of_the_series() -> None:
    found = samples('sum_over_time({app="a", pod="1"} | logfmt | unwrap v [1m])')
    assert found == {
        (("app", "a"), ("k", "x"), ("m", "meta"), ("pod", "1")): ([1], [1.0]),
        (("app", "a"), ("k", "y"), ("pod", "1")): ([2], [2.0]),
    }
    assert samples('max_over_time({app="a", pod="1"} | logfmt | unwrap v [1m]) without (k, m)') == {
        A: ([1, 2], [1.0, 2.0])
    }
    assert samples('max_over_time({app="a", pod="1"} | logfmt | unwrap v [1m]) by (v)') == {
        (("v", "1"),): ([1], [1.0]),
        (("v", "2"),): ([2], [2.0]),
    }


def test_a_failed_line_keeps_its_labels_and_its_error() -> None:
    found = samples('max_over_time({app="a"} | logfmt | unwrap v [1m]) by (k)')
    assert found.pop((("k", "x"),)) == ([1], [1.0])
    assert found.pop((("k", "y"),)) == ([2], [2.0])
    ((labels, series),) = found.items()
    assert series == ([2], [0.0])
    assert dict(labels) == {
        **dict(B),
        "k": "x",
        "v": "abc",
        "__error__": "SampleExtractionErr",
        "__error_details__": 'strconv.ParseFloat: parsing "abc": invalid syntax',
    }


def test_a_filter_after_unwrap_may_drop_failed_lines() -> None:
    found = samples('max_over_time({app="a"} | logfmt | unwrap v | __error__="" [1m]) by ()')
    assert found == {(): ([1, 2], [1.0, 2.0])}


@pytest.mark.parametrize("unit_size", [1, 2, 10])
def test_samples_of_a_group_come_in_order_of_time_stream_and_arrival(unit_size: int) -> None:
    first, second = sorted([A, B], key=labels_id)
    entries = [
        Stored(second, 5, b"v=3"),
        Stored(first, 5, b"v=1"),
        Stored(first, 5, b"v=2"),
        Stored(second, 4, b"v=0"),
    ]
    found = samples('first_over_time({app="a"} | logfmt | unwrap v [1m]) by (app)', entries, unit_size)
    assert found == {(("app", "a"),): ([4, 5, 5, 5], [0.0, 1.0, 2.0, 3.0])}


def test_a_sum_hands_its_grouping_down() -> None:
    assert samples('sum(count_over_time({app="a"}[1m]))') == {(): ([1, 2, 2, 3], [1.0] * 4)}
    assert samples('sum by (pod) (rate({app="a"}[1m]))') == {
        (("pod", "1"),): ([1, 2], [1.0, 1.0]),
        (("pod", "2"),): ([2, 3], [1.0, 1.0]),
    }


def test_under_a_sum_lines_are_not_parsed_without_need() -> None:
    assert set(samples('sum(count_over_time({app="a"} | json [1m]))')) == {()}
    failed = samples('count_over_time({app="a"} | json [1m])')
    assert all("__error__" in dict(labels) for labels in failed)


BY_APP = Grouping(("app",), without=False)


@pytest.mark.parametrize(
    ("query", "outer", "wanted"),
    [
        ('rate({app="a"}[1m])', None, None),
        ('rate({app="a"}[1m])', BY_APP, BY_APP),
        ('sum_over_time({app="a"} | unwrap v [1m])', BY_APP, BY_APP),
        ('max_over_time({app="a"} | unwrap v [1m])', BY_APP, None),
        ('max_over_time({app="a"} | unwrap v [1m]) by (k)', BY_APP, Grouping(("k",), without=False)),
        ('absent_over_time({app="a"}[1m])', None, Grouping((), without=False)),
    ],
)
def test_which_grouping_samples_are_made_under(query: str, outer: Grouping | None, wanted: Grouping | None) -> None:
    expr = parse(query)
    assert isinstance(expr, RangeAggregation)
    assert grouping_of(expr, outer) == wanted


def test_what_was_read_is_counted() -> None:
    expr = parse('count_over_time({app="a"} |= "k=x" [1m])')
    assert isinstance(expr, RangeAggregation)
    checks: list[None] = []
    reader = UnitReader(MemorySource(ENTRIES, 1, in_blocks=True), "tenant", lambda: checks.append(None))
    found = read_samples(reader, expr, Extractor(expr, None), 1, 3)
    assert len(found.labels) == 2
    stats = reader.stats(2, 0.5)
    assert (stats.lines, stats.memory.units, stats.blocks.units, len(checks)) == (3, 2, 1, 3)
    assert (stats.post_filter_lines, stats.entries_returned, stats.exec_time) == (2, 2, 0.5)
