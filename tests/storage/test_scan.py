from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import Store
from storage.blockread import Block
from storage.reading import Survey
from storage.repeats import overlapping
from storage.scan import BlockSource, Window
from storage.tombstones import Tombstone
from tests.batch_unit import everything
from tests.storage.entries import (
    ALWAYS,
    DAY,
    HOUR,
    NOON,
    Matcher,
    entries_of,
    entry,
    in_order,
    quiet,
    read,
    start,
    stored,
)

ROWS = [entry(app, NOON + hour * HOUR + n, f"{app}{hour}{n}") for hour in range(3) for app in "abc" for n in range(3)]
STATES = ["memory", "blocks", "both", "replayed"]


def filled(tmp_path: Path, state: str) -> Store:
    store = start(tmp_path, quiet(row_group_rows=4))
    half = len(ROWS) // 2
    stored(store, ROWS[:half])
    if state in ("blocks", "both"):
        store.flush()
    stored(store, ROWS[half:])
    if state == "blocks":
        store.flush()
    if state == "replayed":
        store.close()
        store = start(tmp_path, quiet(row_group_rows=4))
    return store


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("start_ts", "end_ts"),
    [
        ALWAYS,
        (NOON + HOUR, NOON + 2 * HOUR),
        (NOON + 1, NOON + 2),
        (NOON, NOON),
        (NOON + DAY, NOON + 2 * DAY),
        (NOON + HOUR + 1, NOON + HOUR + 3),
    ],
)
def test_a_scan_gives_start_and_leaves_out_end(tmp_path: Path, state: str, start_ts: int, end_ts: int) -> None:
    store = filled(tmp_path, state)
    assert read(store, start=start_ts, end=end_ts) == in_order(row for row in ROWS if start_ts <= row[1] < end_ts)
    store.close()


@pytest.mark.parametrize("state", STATES)
def test_a_scan_gives_matching_streams_alone(tmp_path: Path, state: str) -> None:
    store = filled(tmp_path, state)
    wanted = in_order(row for row in ROWS if row[0] != (("app", "b"),))
    assert read(store, matchers=[Matcher("app", "!=", "b")]) == wanted
    assert read(store, matchers=[Matcher("app", "=~", "a|c"), Matcher("none", "=", "")]) == wanted
    assert read(store, matchers=[Matcher("app", "=", "none")]) == []
    assert read(store, tenant="nobody") == []
    store.close()


@pytest.mark.parametrize("state", STATES)
def test_units_come_in_the_order_of_the_direction(tmp_path: Path, state: str) -> None:
    store = filled(tmp_path, state)
    forward = [unit.min_ts for unit in store.scan("t", (), *ALWAYS, "forward")]
    backward = [unit.max_ts for unit in store.scan("t", (), *ALWAYS, "backward")]
    assert forward == sorted(forward)
    assert backward == sorted(backward, reverse=True)
    store.close()


def test_bounds_of_units_are_known_before_they_are_read(tmp_path: Path) -> None:
    store = filled(tmp_path, "both")
    units = list(store.scan("t", (), NOON + 1, NOON + 2 * HOUR, "forward"))
    assert {unit.in_memory for unit in units} == {True, False}
    for unit in units:
        assert NOON + 1 <= unit.min_ts <= unit.max_ts < NOON + 2 * HOUR
    store.close()


def test_arrival_tells_which_of_equal_times_came_first(tmp_path: Path) -> None:
    store = start(tmp_path, quiet(row_group_rows=2))
    rows = [entry("a", NOON, f"{n}") for n in range(12)]
    for at in range(0, 12, 3):
        stored(store, rows[at : at + 3])
        if at in (0, 3):
            store.flush()
    units = sorted(store.scan("t", (), *ALWAYS, "backward"), key=lambda unit: unit.arrival)
    assert len({unit.arrival for unit in units}) == len(units)
    assert [row for unit in units for row in entries_of(everything(unit))] == rows
    store.close()


def test_a_unit_can_be_read_again_and_after_a_flush(tmp_path: Path) -> None:
    store = filled(tmp_path, "both")
    units = list(store.scan("t", (), *ALWAYS, "forward"))
    before = [entries_of(everything(unit)) for unit in units]
    store.flush()
    stored(store, [entry("a", NOON + 5 * HOUR, "later")])
    assert [entries_of(everything(unit)) for unit in units] == before
    store.close()


def test_a_repeat_of_a_row_on_disk_is_dropped_where_it_came_last(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON, "x", trace="1"), entry("a", NOON + 5, "y")])
    store.flush()
    again = [entry("a", NOON, "x", trace="1"), entry("a", NOON, "x"), entry("b", NOON, "x", trace="1")]
    assert stored(store, again).duplicates == 0  # nothing in memory says so; the query finds it
    expected = in_order([entry("a", NOON, "x", trace="1"), entry("a", NOON + 5, "y"), *again[1:]])
    for _ in range(3):
        assert read(store) == expected
        assert read(store, matchers=[Matcher("app", "=", "a")], start=NOON, end=NOON + 1) == [
            row for row in expected if row[0] == (("app", "a"),) and row[1] == NOON
        ]
        store.flush()
        stored(store, again)
    store.close()


def test_a_flush_in_the_middle_of_a_scan_shows_no_row_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = start(tmp_path)
    stored(store, [entry("a", NOON, "x")])
    store.flush()
    stored(store, [entry("a", NOON, "x"), entry("a", NOON + 1, "y")])  # `x` is on disk and in memory now
    real = BlockSource.__init__
    flushes: list[int] = []

    def flush_first(self: BlockSource, block: Block, window: Window, tombstones: tuple[Tombstone, ...]) -> None:
        if not flushes:
            flushes.append(1)
            store.flush()
        real(self, block, window, tombstones)

    monkeypatch.setattr(BlockSource, "__init__", flush_first)
    assert read(store) == [entry("a", NOON, "x"), entry("a", NOON + 1, "y")]
    assert flushes
    store.close()


class Span:
    """When a source has rows of streams."""

    def __init__(self, spans: dict[int, tuple[int, int]]) -> None:
        self.streams = np.array(sorted(spans), np.int32)
        self.low = np.array([spans[stream][0] for stream in sorted(spans)], np.int64)
        self.high = np.array([spans[stream][1] for stream in sorted(spans)], np.int64)


spans = st.tuples(st.integers(-9, 9), st.integers(0, 6)).map(lambda at: (at[0], at[0] + at[1]))


@given(st.lists(st.dictionaries(st.integers(0, 3), spans, max_size=4), max_size=5))
def test_suspects_are_streams_of_which_two_sources_overlap(sources: list[dict[int, tuple[int, int]]]) -> None:
    expected = {
        stream
        for at, one in enumerate(sources)
        for other in sources[at + 1 :]
        for stream in one.keys() & other.keys()
        if one[stream][0] <= other[stream][1] and other[stream][0] <= one[stream][1]
    }
    spans = [Span(source) for source in sources]
    found = overlapping([span.streams for span in spans], [span.low for span in spans], [span.high for span in spans])
    assert found.tolist() == sorted(expected)


def test_a_survey_is_told_what_is_left_out_and_why(tmp_path: Path) -> None:
    store = start(tmp_path, quiet(row_group_rows=4))
    # A block of two row groups a day, and two runs in memory.
    for day in range(2):
        stored(store, [entry("a", NOON + day * DAY + n, str(n)) for n in range(4)])
        stored(store, [entry("b", NOON + day * DAY + n, str(n)) for n in range(4)])
        store.flush()
    stored(store, [entry("c", NOON + 2 * DAY, "x")])
    stored(store, [entry("c", NOON + 4 * DAY, "x")])

    def looked(app: str, first: int, last: int) -> Survey:
        survey = Survey()
        units = list(store.scan("t", [Matcher("app", "=", app)], first, last, "forward", survey))
        left = survey.groups - survey.groups_without_rows + survey.runs - survey.runs_out_of_time
        assert len(units) == left
        return survey

    runs = len(list(store.scan("t", [], NOON + 2 * DAY, NOON + 5 * DAY, "forward")))
    assert looked("a", *ALWAYS) == Survey(3, 1, 2, 0, 0, 4, 2, runs, 0)
    assert looked("a", NOON, NOON + DAY) == Survey(3, 1, 2, 1, 0, 2, 1, runs, runs)
    assert looked("c", NOON, NOON + DAY) == Survey(3, 1, 2, 1, 1, 0, 0, runs, runs)
    assert looked("none", *ALWAYS) == Survey(3, 0, 2, 0, 2, 0, 0, runs, 0)
    survey = Survey()
    assert not list(store.scan("nobody", [], *ALWAYS, "forward", survey))
    assert survey == Survey()
    store.close()
