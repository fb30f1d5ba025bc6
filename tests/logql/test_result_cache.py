"""Results of blocks that are kept from query to query: answers are those without them, whatever is stored meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logql import LogExpr, MetricLimits, parse, run_range
from logql.counts import NONE, Changes, Steps
from logql.errors import LimitError, PipelineError
from logql.metric_result import Matrix
from logql.result_cache import KeptCounts, KeptSamples, ResultCache
from storage import Store
from storage.batch import Labels
from tests.storage.entries import Entry, quiet, send, start

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
BEGIN = 20_000 * DAY - 30 * SECOND
"""Half a minute before a day ends: blocks are of one day."""

QUERIES = (
    'count_over_time({app=~".+"}[10s])',
    'sum by (app) (rate({app=~"a|b"} |= "x" [7s]))',
    'sum(bytes_over_time({app=~".+"}[20s]))',
    'sum by (app) (bytes_rate({app="a"} != "x" [10s] offset 3s))',
    'sum by (key) (count_over_time({app=~".+"}[10s]))',
    'sum by (level) (count_over_time({app=~".+"} | logfmt [10s]))',
    'sum(count_over_time({app=~".+"} | regexp "n=(?P<n>[0-9]+)" | n > 3 [10s]))',
    'quantile_over_time(0.7, {app=~".+"} | logfmt | unwrap n [10s]) by (level)',
    'sum by (app) (sum_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [15s]))',
    'first_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [15s]) by (app)',
    'absent_over_time({app="b"}[4s])',
    'sum by (app) (rate({app=~".+"} | logfmt | n > 3 [9s])) / sum by (app) (count_over_time({app="a"}[10s]))',
)

STREAMS: tuple[Labels, ...] = ((("app", "a"), ("pod", "1")), (("app", "a"), ("pod", "2")), (("app", "b"),))
LINES = (b"x n=1 level=info", b"n=7 level=warn", b"level=info", b"x n=4", b"n=5 level=error x")
METADATA = ((), (("key", b"v"),), (("key", b"w"), ("other", b"1")))

entries = st.builds(
    lambda stream, at, line, metadata: (stream, BEGIN + at * SECOND // 2, line, metadata),
    st.sampled_from(STREAMS),
    st.integers(0, 160),
    st.sampled_from(LINES),
    st.sampled_from(METADATA),
)
pushes = st.lists(entries, min_size=1, max_size=30)
ranges = st.tuples(st.integers(-20, 90), st.integers(0, 90), st.sampled_from([1, 5, 10, 30]))
asked = st.tuples(st.sampled_from(QUERIES), ranges)
actions = st.lists(
    st.one_of(
        pushes.map(lambda some: ("push", some)),
        st.just(("again", None)),
        st.just(("flush", None)),
        asked.map(lambda some: ("ask", some)),
        asked.map(lambda some: ("ask", some)),
    ),
    min_size=3,
    max_size=14,
)


@contextmanager
def opened(row_group_rows: int = 8) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = start(Path(folder), quiet(row_group_rows=row_group_rows))
        try:
            yield store
        finally:
            store.close()


def answer(store: Store, query: str, begin: int, end: int, step: int, cache: ResultCache | None) -> object:
    """The series of an answer, or the text of the error."""
    expr = parse(query)
    assert not isinstance(expr, LogExpr)
    try:
        found = run_range(store, "t", expr, begin, end, step, limits=MetricLimits(), cache=cache)
    except (PipelineError, LimitError) as error:
        return str(error)
    return series_of(found)


def series_of(found: Matrix) -> object:
    return [(one.labels, *one.ts, *map(repr, one.values)) for one in found.series]


def check(store: Store, cache: ResultCache, query: str, place: tuple[int, int, int]) -> None:
    first, length, step = place
    begin = BEGIN + first * SECOND
    whole = (begin, begin + length * SECOND, step * SECOND)
    assert answer(store, query, *whole, cache) == answer(store, query, *whole, None)


def push(store: Store, some: list[Entry]) -> None:
    send(store, some).get()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions, st.sampled_from([1 << 20, 6_000]))
def test_answers_are_those_without(doing: list[tuple[str, object]], capacity: int) -> None:
    cache = ResultCache(capacity)
    before: list[Entry] = []
    with opened() as store:
        for what, of in doing:
            if what == "push":
                assert isinstance(of, list)
                push(store, before := of)
            elif what == "again" and before:
                push(store, before)
            elif what == "flush":
                store.flush()
            elif what == "ask":
                assert isinstance(of, tuple)
                check(store, cache, *of)
        store.flush()
        for query in QUERIES:
            for first in (-10, -9, 5, 20):  # the same range, moving on
                check(store, cache, query, (first, 40, 5))
        assert cache.used <= capacity


@pytest.mark.parametrize("query", QUERIES)
def test_a_range_that_moves_on_reads_no_block_again(query: str) -> None:
    with opened() as store:
        push(store, [(STREAMS[at % 3], BEGIN + at * SECOND, LINES[at % 5], METADATA[at % 3]) for at in range(25)])
        store.flush()
        push(store, [(STREAMS[at % 3], BEGIN + at * SECOND, LINES[at % 5], METADATA[at % 3]) for at in range(31, 55)])
        store.flush()
        cache = ResultCache(1 << 20)
        whole = (BEGIN - 60 * SECOND, BEGIN + 120 * SECOND, 5 * SECOND)
        first = answer(store, query, *whole, cache)
        assert first == answer(store, query, *whole, None)
        assert cache.hits == 0
        assert cache.misses > 1
        missed = cache.misses
        for steps in range(1, 30):
            moved = (whole[0] + steps * whole[2], whole[1] + steps * whole[2], whole[2])
            assert answer(store, query, *moved, cache) == answer(store, query, *moved, None)
        assert cache.misses == missed
        assert cache.hits > missed


def test_what_comes_twice_over_a_flush_is_counted_once() -> None:
    some: list[Entry] = [(STREAMS[0], BEGIN + at * SECOND, LINES[0], ()) for at in range(10)]
    whole = (BEGIN, BEGIN + 60 * SECOND, 10 * SECOND)
    cache = ResultCache(1 << 20)
    with opened() as store:
        for _ in range(2):
            push(store, some)
            store.flush()
            push(store, [*some, (STREAMS[0], BEGIN + 3 * SECOND, b"late", ())])
            for query in QUERIES:
                assert answer(store, query, *whole, cache) == answer(store, query, *whole, None)


def test_a_unit_of_which_little_is_asked_is_not_read_whole() -> None:
    with opened(row_group_rows=1000) as store:
        push(store, [(STREAMS[2], BEGIN + at * SECOND // 10, LINES[0], ()) for at in range(200)])
        store.flush()
        cache = ResultCache(1 << 20)
        place = (BEGIN, BEGIN + 4 * SECOND, SECOND)
        query = 'count_over_time({app="b"} |= "x" [1s])'
        assert answer(store, query, *place, cache) == answer(store, query, *place, None)
        assert (cache.misses, cache.used) == (1, 0)
        most = (BEGIN, BEGIN + 15 * SECOND, SECOND)
        assert answer(store, query, *most, cache) == answer(store, query, *most, None)
        assert cache.used > 0
        assert answer(store, query, *place, cache) == answer(store, query, *place, None)
        assert cache.hits == 1


def test_label_sets_outside_the_range_are_no_series_too_many() -> None:
    with opened(row_group_rows=1000) as store:
        push(store, [(STREAMS[2], BEGIN + at * SECOND // 10, b"n=%d" % (at % 150), ()) for at in range(200)])
        store.flush()
        expr = parse('sum by (n) (count_over_time({app="b"} | logfmt [1s]))')
        assert not isinstance(expr, LogExpr)
        limits = MetricLimits(max_series=140)
        cache = ResultCache(1 << 20)
        begin, end = BEGIN + SECOND, BEGIN + 12 * SECOND
        found = run_range(store, "t", expr, begin, end, SECOND, limits=limits, cache=cache)
        assert series_of(found) == series_of(run_range(store, "t", expr, begin, end, SECOND, limits=limits))
        with pytest.raises(LimitError):
            run_range(store, "t", expr, BEGIN, BEGIN + 20 * SECOND, SECOND, limits=limits, cache=cache)


def test_a_template_that_asks_for_the_time_is_run_each_time() -> None:
    with opened() as store:
        push(store, [(STREAMS[0], BEGIN + SECOND, LINES[0], ())])
        store.flush()
        cache = ResultCache(1 << 20)
        query = 'sum by (t) (count_over_time({app="a"} | label_format t=`{{ now | unixEpochNanos }}` [5s]))'
        place = (BEGIN, BEGIN + 10 * SECOND, 5 * SECOND)
        assert answer(store, query, *place, cache) != answer(store, query, *place, cache)
        assert cache.hits == 0


def changes(size: int) -> KeptCounts:
    ones = np.ones(size, np.int64)
    return KeptCounts(((),), np.zeros(size, np.int32), np.arange(size, dtype=np.int64), ones, NONE)


def test_the_cache_is_bounded_and_drops_what_was_not_asked_for_longest() -> None:
    one = changes(10).size
    cache = ResultCache(10 * one)
    for key in range(10):
        cache.put(key, changes(10))
    assert cache.used == 10 * one
    assert cache.get(0) is not None
    cache.put("new", changes(10))
    assert (cache.get(1), cache.used) == (None, 10 * one)
    assert cache.get(0) is not None
    cache.put("new", changes(10))
    assert cache.used == 10 * one
    cache.put("large", changes(1000))
    assert cache.get("large") is None
    assert (cache.hits, cache.misses) == (2, 2)


def test_changes_before_a_query_are_added_up_and_those_after_it_left_out() -> None:
    steps = Steps(50, 10, 4, 10)
    made = Changes(*(np.array(column, np.int64) for column in ([1, 3, 14, 15], [2, -1, 5, -5], [20, -10, 50, -50])))
    kept = KeptCounts.of(made, Steps(30, 10, 12, 10), lambda group: (("group", str(group)),))
    assert kept.labels == ((("group", "0"),), (("group", "1"),))
    assert kept.step.tolist() == [4, 6, 4, 5]
    names: list[Labels] = []

    def number(labels: Labels) -> int:
        names.append(labels)
        return len(names) - 1

    found = kept.within(steps, number)
    # Both of group 1 fall on the first step, where they come to nothing.
    assert found.keys.tolist() == [0, 1]
    assert (found.counts.tolist(), found.sums.tolist()) == ([2, -1], [20, -10])
    assert names == [(("group", "0"),)]


def test_samples_outside_the_range_bring_no_label_sets() -> None:
    kept = KeptSamples(
        ((("n", "1"),), (("n", "2"),)),
        np.array([0, 1, 0], np.int32),
        np.array([1, 2, 3], np.int64),
        np.zeros(3, np.uint64),
        np.array([1.0, 2.0, 3.0]),
    )
    inside = kept.within(3, 9)
    seen: list[Labels] = []

    def number(labels: Labels) -> int:
        seen.append(labels)
        return 7

    assert inside.numbers(number).tolist() == [7]
    assert (inside.ts.tolist(), inside.values.tolist(), seen) == ([3], [3.0], [(("n", "1"),)])
