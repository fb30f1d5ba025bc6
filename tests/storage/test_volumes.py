"""Volumes are what Loki's rule makes of the rows, wherever these are, and no line is read for them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import DeleteOptions, Grouping, IndexStats, Store, VolumeSeriesLimit
from storage.batch import Labels
from storage.cells import Cells, cells_of
from storage.pages import BlockPages
from storage.scan import Window
from storage.shards import LAST_ID, shards_of
from storage.streams import StreamTable
from storage.volumes import MS, SECOND, Bucket, buckets, covered, merged, volumes, whole
from tests.storage.entries import (
    DAY,
    HOUR,
    NOON,
    Entry,
    entry,
    entry_lists,
    quiet,
    start,
    stored,
    without_repeats,
)
from tests.storage.test_deletes import compiler

LAST = (1 << 62) // MS * MS
EVERYTHING = Grouping(limit=10_000)
Sums = dict[int, dict[Labels, int]]


def in_memory(store: Store, rows: list[Entry]) -> None:
    stored(store, rows)


def in_blocks(store: Store, rows: list[Entry]) -> None:
    in_memory(store, rows)
    store.flush()


def half_and_half(store: Store, rows: list[Entry]) -> None:
    in_blocks(store, rows[::2])
    in_memory(store, rows[1::2])


def compacted(store: Store, rows: list[Entry]) -> None:
    for part in (rows[::3], rows[1::3], rows[2::3]):
        in_blocks(store, part)
    store.compact()


def sent_again(store: Store, rows: list[Entry]) -> None:
    """Rows that stand in two or three blocks, in a block and in memory, and in memory alone."""
    in_blocks(store, rows[: len(rows) * 2 // 3])
    in_blocks(store, rows[::2])
    in_blocks(store, rows[: len(rows) // 2])
    in_memory(store, rows[len(rows) // 3 :])


STATES: list[Callable[[Store, list[Entry]], None]] = [in_memory, in_blocks, half_and_half, compacted]
EVERY_STATE = [*STATES, sent_again]


def size_of(rows: Iterable[Entry]) -> int:
    """Bytes of a chunk as Loki counts them."""
    texts: set[bytes] = set()
    size = 0
    for _, _, line, metadata in rows:
        size += len(line) + 8 * len(metadata)
        texts |= {text for key, value in metadata for text in (key.encode(), value)}
    return size + sum(map(len, texts))


def by_rule(rows: Iterable[Entry], parts: Iterable[Bucket]) -> Sums:
    """Bytes of each stream in each bucket."""
    cells: dict[tuple[Labels, int], list[Entry]] = defaultdict(list)
    for row in rows:
        cells[row[0], row[1] // HOUR].append(row)
    found: Sums = {}
    for part in parts:
        sums: dict[Labels, float] = {}
        for (labels, _), members in cells.items():
            low, high = min(row[1] for row in members), max(row[1] for row in members)
            inside = min(high, part.end) - max(low, part.start)
            if inside >= 0:
                share = 1.0 if inside == high - low else inside / (high - low)
                sums[labels] = sums.get(labels, 0) + size_of(members) * share
        if sums:
            found[part.stamp] = {labels: math.floor(size) for labels, size in sums.items()}
    return found


def asked(store: Store, start: int, end: int, step: int = 0, grouping: Grouping = EVERYTHING) -> Sums:
    return {one.stamp: dict(one.series) for one in store.volumes("t", (), start, end, step, grouping)}


def filled(folder: Path, state: Callable[[Store, list[Entry]], None], rows: list[Entry]) -> Store:
    store = start(folder, quiet(row_group_rows=4))
    state(store, rows)
    return store


@given(
    rows=entry_lists.map(without_repeats),
    first=st.sampled_from([-LAST, NOON - 1, NOON + 2, NOON + HOUR]),
    length=st.sampled_from([0, 1, 3, HOUR, DAY, 2 * LAST]),
    state=st.sampled_from(EVERY_STATE),
)
@settings(max_examples=40)
def test_volumes_are_what_the_rule_makes_of_the_rows_wherever_they_are(
    rows: list[Entry], first: int, length: int, state: Callable[[Store, list[Entry]], None]
) -> None:
    # Three keys a row, so that all have a column: of rarer ones each value counts.
    rows = without_repeats([(labels, ts, line, metadata[:3]) for labels, ts, line, metadata in rows])
    last = min(first + length, LAST)
    with TemporaryDirectory() as folder:
        store = filled(Path(folder), state, rows)
        found = asked(store, first, last)
        store.close()
    assert found == by_rule(rows, whole(first, last))


MIXED = [
    entry(app, NOON + hour * HOUR + n * SECOND, "x" * (7 + n), level=("info", "warn", "info")[n % 3], web="info")
    for hour in range(3)
    for n in range(50)
    for app in ("web", "info", "db")[: 3 - hour]
]
"""Texts that are a key and a value, or values of two keys, count once."""


@pytest.fixture(scope="module", params=STATES, ids=lambda state: state.__name__)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = filled(tmp_path_factory.mktemp("volumes"), request.param, MIXED)
    yield opened
    opened.close()


@pytest.mark.parametrize("step", [7 * SECOND, 60 * SECOND, HOUR, 5 * HOUR, 500 * MS])
def test_buckets_are_what_the_rule_makes_of_them(store: Store, step: int) -> None:
    end = NOON + 3 * HOUR if step >= 60 * SECOND else NOON + 90 * SECOND
    found = asked(store, NOON + 3 * SECOND, end, step)
    assert found == by_rule(MIXED, buckets(NOON + 3 * SECOND, end, step))
    assert len(found) > (step < HOUR)


def test_no_line_and_no_page_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a page was asked for")

    for name in ("lines", "timestamps", "lengths"):
        monkeypatch.setattr(BlockPages, name, never)
    monkeypatch.setattr("storage.scan.read_rows", never)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.read_row_group", never)
    assert len(asked(store, NOON, NOON + 3 * HOUR)) == 1
    assert len(asked(store, NOON + 1, NOON + HOUR, SECOND)) > 1
    assert len(store.shards("t", (), NOON + 1, NOON + HOUR, 100)) > 1
    assert len(store.series("t", (), NOON, NOON + HOUR)) == 3
    assert store.label_names("t", (), NOON, NOON + HOUR) == ["app"]
    assert store.label_values("t", "app", (), NOON, NOON + HOUR) == ["db", "info", "web"]
    assert store.index_stats("t", (), NOON, NOON + 3 * HOUR).entries == len(MIXED)


def test_what_stands_twice_counts_once_and_is_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, sent_again, MIXED)
    asked_before = asked(store, NOON, NOON + 3 * HOUR), store.index_stats("t", (), NOON, NOON + 3 * HOUR)
    assert asked_before[0] == by_rule(MIXED, whole(NOON, NOON + 3 * HOUR))
    assert asked_before[1].entries == len(MIXED)
    assert asked(store, NOON + 1, NOON + HOUR, 7 * SECOND) == by_rule(MIXED, buckets(NOON + 1, NOON + HOUR, 7 * SECOND))

    def never(*_: object) -> None:
        raise AssertionError("it was looked for again")

    for name in ("lines", "timestamps", "lengths"):
        monkeypatch.setattr(BlockPages, name, never)
    monkeypatch.setattr("storage.doubled.read_rows", never)
    assert asked(store, NOON, NOON + 3 * HOUR) == asked_before[0]
    monkeypatch.undo()
    store.flush()
    store.compact()
    assert asked(store, NOON, NOON + 3 * HOUR) == asked_before[0]
    after = store.index_stats("t", (), NOON, NOON + 3 * HOUR)
    assert (after.streams, after.bytes, after.entries) == (3, asked_before[1].bytes, len(MIXED))
    store.close()


def test_index_stats_of_a_part_read_times_and_no_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a line was asked for")

    monkeypatch.setattr(BlockPages, "lines", never)
    monkeypatch.setattr("storage.scan.read_rows", never)
    assert store.index_stats("t", (), NOON + SECOND, NOON + 3 * SECOND).entries == 2 * 3


@pytest.mark.parametrize("state", EVERY_STATE)
def test_of_a_key_with_very_many_values_each_value_counts(
    tmp_path: Path, state: Callable[[Store, list[Entry]], None]
) -> None:
    rows = [entry("a", NOON + n, "line", trace=f"t{n % 200:03}") for n in range(600)]
    store = filled(tmp_path, state, rows)
    ((_, size),) = asked(store, NOON, NOON + HOUR)[NOON + HOUR].items()
    # Lines, pairs, the key once, the values.
    assert size == 600 * 4 + 600 * 8 + 5 + 600 * 4
    store.close()


@pytest.mark.parametrize("state", EVERY_STATE)
def test_of_keys_beyond_those_that_have_columns_each_text_counts(
    tmp_path: Path, state: Callable[[Store, list[Entry]], None]
) -> None:
    rows = [entry("a", NOON, "line", **{f"k{n:03}": "v" for n in range(100)})]
    store = filled(tmp_path, state, rows)
    ((_, size),) = asked(store, NOON, NOON + HOUR)[NOON + HOUR].items()
    # 64 keys and one value once; of the other 36 each key and each value.
    assert size == 4 + 100 * 8 + 64 * 4 + 1 + 36 * 5
    store.close()


def test_what_is_deleted_does_not_count(tmp_path: Path) -> None:
    store = start(tmp_path, replace(quiet(row_group_rows=16), deletes=DeleteOptions(compiler, 1e6)))
    rows = [entry(app, NOON + n * SECOND, "x" * 10) for app in ("a", "b") for n in range(101)]
    stored(store, rows)
    store.delete("t", "a", NOON, NOON + 25 * SECOND, "a test")
    ((a, b),) = [list(sums.items()) for sums in asked(store, NOON, NOON + HOUR).values()]
    (labels, left), (_, whole_size) = sorted((a, b), key=lambda item: item[1])
    assert (labels, whole_size) == ((("app", "a"),), 1010)
    # What is deleted of a stretch is taken to be its share of the time.
    assert abs(left - 750) <= 20
    store.delete("t", "a", NOON, NOON + HOUR, "a test")
    assert asked(store, NOON, NOON + HOUR) == {NOON + HOUR: {(("app", "b"),): 1010}}
    store.delete("t", "*/0", NOON, NOON + HOUR, "by a filter")
    assert asked(store, NOON, NOON + HOUR) == {NOON + HOUR: {(("app", "b"),): 1010}}
    store.close()


def test_what_was_deleted_and_sent_again_counts(tmp_path: Path) -> None:
    store = start(tmp_path, replace(quiet(row_group_rows=16), deletes=DeleteOptions(compiler, 1e6)))
    rows = [entry("a", NOON + n * SECOND, "x" * 10, level="info") for n in range(40)]
    in_blocks(store, rows)
    store.delete("t", "a", NOON, NOON + HOUR, "a test")
    assert asked(store, NOON, NOON + HOUR) == {}
    in_memory(store, rows)
    for _ in range(2):  # in memory, in a block
        assert asked(store, NOON, NOON + HOUR) == by_rule(rows, whole(NOON, NOON + HOUR))
        assert store.index_stats("t", (), NOON, NOON + HOUR).entries == 40
        store.flush()
    store.close()


def test_how_many_values_a_key_has_is_told_of_a_block_as_a_whole(tmp_path: Path) -> None:
    """The one thing of which the state shows: blocks of an hour each, and one of both."""
    hours = [[entry("a", NOON + at * HOUR + n, "", pod=f"{at}{n % 100:02}") for n in range(200)] for at in range(2)]
    store = start(tmp_path)
    for rows in hours:
        in_blocks(store, rows)
    span = NOON, NOON + HOUR - 1
    apart = asked(store, *span)
    assert apart == by_rule(hours[0], whole(*span))
    store.compact()
    assert sum(sum(sums.values()) for sums in asked(store, *span).values()) == size_of(hours[0]) + 100 * 3
    store.close()


@pytest.mark.parametrize("state", EVERY_STATE)
def test_what_has_expired_does_not_count(tmp_path: Path, state: Callable[[Store, list[Entry]], None]) -> None:
    rows = [entry(app, NOON + n * SECOND, "x" * 10) for app in ("a", "b") for n in range(101)]
    store = filled(tmp_path, state, rows)
    tenant = store._state.tenants["t"]
    floor = np.array([NOON + 50 * SECOND, NOON + DAY])
    window = Window(tenant.table, tenant.table.accepted(()), NOON, NOON + HOUR, floor)
    cells = cells_of(tenant.view, window)
    assert (cells.stream.tolist(), cells.low.tolist()) == ([0], [NOON + 50 * SECOND])
    assert cells.size.tolist() == pytest.approx([505])
    store.close()


def made(sizes: dict[Labels, int]) -> tuple[Cells, StreamTable]:
    """Cells of one time and of these sizes."""
    table = StreamTable()
    streams = np.array([table.intern(labels) for labels in sizes], np.int32)
    ts = np.full(len(sizes), NOON)
    size = np.array(list(sizes.values()), np.float64)
    return Cells(streams, ts, ts, np.ones(len(sizes)), size, np.ones(len(sizes), np.int64)), table


def grouped(sizes: dict[Labels, int], grouping: Grouping) -> list[tuple[Labels, int]]:
    cells, table = made(sizes)
    return [pair for one in volumes(cells, table, whole(NOON, NOON), grouping) for pair in one.series]


WEB, API = ("app", "web"), ("app", "api")
A, B = ("env", "a"), ("env", "b")
POD = ("pod", "p")
SIZES: dict[Labels, int] = {(WEB, A): 5, (WEB, B): 7, (API, A): 12, (API, B, POD): 1, (A,): 2}


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        (Grouping(), [((API, A), 12), ((WEB, B), 7), ((WEB, A), 5), ((A,), 2), ((API, B, POD), 1)]),
        (Grouping(("app",)), [((API,), 13), ((WEB,), 12), ((), 2)]),
        (Grouping(("app",), required=True), [((API,), 13), ((WEB,), 12)]),
        (Grouping(("env", "app"), required=True, limit=2), [((API, A), 12), ((WEB, B), 7)]),
        (Grouping(("pod", "env"), required=True), [((B, POD), 1)]),
        (Grouping(("nothing",), required=True), []),
        (Grouping(by_label=True), [((("env", ""),), 27), ((("app", ""),), 25), ((("pod", ""),), 1)]),
        (Grouping(("env", "pod"), required=True, by_label=True), [((("env", ""),), 1), ((("pod", ""),), 1)]),
        (Grouping(("app",), required=True, by_label=True), [((("app", ""),), 25)]),
    ],
)
def test_bytes_are_added_up_by_labels(grouping: Grouping, expected: list[tuple[Labels, int]]) -> None:
    assert grouped(SIZES, grouping) == expected


@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=40), limit=st.integers(1, 45))
def test_the_largest_are_kept_and_equal_ones_by_their_texts(sizes: list[int], limit: int) -> None:
    series: dict[Labels, int] = {(("app", f"{place}"),): size for place, size in enumerate(sizes)}
    expected = sorted(series.items(), key=lambda item: (-item[1], f'{{app="{item[0][0][1]}"}}'))
    assert grouped(series, Grouping(limit=limit)) == expected[:limit]


def test_too_many_series_are_refused_before_the_largest_are_chosen() -> None:
    assert len(grouped(SIZES, Grouping(limit=1, most=5))) == 1
    with pytest.raises(VolumeSeriesLimit, match=r"max number of series limit \(limit: 4 series\)"):
        grouped(SIZES, Grouping(limit=1, most=4))


def test_volumes_of_several_tenants_are_added_up() -> None:
    cells, table = made(SIZES)
    one = list(volumes(cells, table, whole(NOON, NOON), Grouping(("app",))))
    (both,) = merged([one, one], 2)
    assert both.series == (((API,), 26), ((WEB,), 24))


def test_a_store_without_the_tenant_has_nothing(tmp_path: Path) -> None:
    store = start(tmp_path)
    assert store.volumes("nobody", (), NOON, NOON + DAY, 0, Grouping()) == []
    (only,) = store.shards("nobody", (), NOON, NOON + DAY, 1)
    assert (only.first, only.last, only.stats) == (0, LAST_ID, IndexStats(0, 0, 0, 0))
    store.close()


@given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=40), target=st.integers(1, 200))
def test_shards_cover_all_ids_and_hold_no_more_than_asked(sizes: list[int], target: int) -> None:
    cells, table = made({(("app", f"{place}"),): size for place, size in enumerate(sizes)})
    shards = shards_of((cells, table), NOON, NOON, target)
    assert (shards[0].first, shards[-1].last) == (0, LAST_ID)
    assert all(one.last + 1 == after.first for one, after in pairwise(shards))
    of_id = dict(zip(table.ids.tolist(), sizes, strict=True))
    for one in shards:
        members = [size for number, size in of_id.items() if one.first <= number <= one.last]
        assert (one.stats.streams, one.stats.bytes) == (len(members), sum(members))
        assert one.stats.bytes <= target or sum(size > 0 for size in members) == 1


def test_a_stretch_of_one_moment_counts_where_it_is() -> None:
    cells, _ = made({(WEB,): 5})
    here = slice(0, 1)
    assert [covered(cells, here, NOON + at, NOON + at + 1)[0].tolist() for at in (-2, -1, 0, 1)] == [
        [False],
        [True],
        [True],
        [False],
    ]
    assert covered(cells, here, NOON, NOON)[1].tolist() == [5.0]
