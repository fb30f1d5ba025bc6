"""The book of patterns with a store: its answers do not depend on where the rows are, nor on stops and failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from config.patterns import Patterns
from gateway.patterns import book as book_room
from gateway.patterns.book import PatternBook
from gateway.patterns.budget import SAVED, Budget
from logql import parse_selector
from logql.patterns.answer import patterns_between
from logql.patterns.series import decode_series
from storage import Store
from storage.blockwrite import PATTERNS_KEY
from storage.patterns import read_patterns
from tests.server import wait_until
from tests.storage.entries import DAY, HOUR, NOON, Entry, entry, quiet, start, stored
from tests.storage.keeping import Clock, keeping, later, opened

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


class Kept:
    """A store and the book of its server; both begin again with `reopen`."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self._folder = folder
        self._settings = Patterns.model_validate(settings)
        self.open()

    def open(self) -> None:
        self.book = PatternBook(self._settings)
        self.store: Store = start(self._folder, replace(quiet(), patterns=self.book))

    def reopen(self) -> None:
        self.close()
        self.open()

    def close(self) -> None:
        self.book.close()
        self.store.close()

    def found(self, query: str = '{app=~".+"}', begin: int = 0, end: int = 2 * NOON) -> dict[str, int]:
        """Lines by pattern."""
        series = self.book.series(self.store, "t", parse_selector(query), begin, end)
        return {one.text: sum(n for _, n in one.samples) for one in patterns_between(series, begin, end, DAY)}

    @property
    def blocks(self) -> list[Path]:
        return sorted((self._folder / "blocks").rglob("*.parquet"))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path / "data")
    yield made
    made.close()


def jobs(app: str, count: int, at: int = NOON, first: int = 0) -> list[Entry]:
    return [entry(app, at + nth * SECOND, f"job {first + nth} is done now") for nth in range(count)]


JOBS = "job <_> is done now"


def test_patterns_are_the_same_in_memory_in_blocks_and_in_both(kept: Kept) -> None:
    stored(kept.store, jobs("a", 40))
    assert kept.found() == {JOBS: 40}
    kept.store.flush()
    assert kept.found() == {JOBS: 40}
    stored(kept.store, jobs("a", 40, NOON + HOUR, 100))
    assert kept.found() == {JOBS: 80}
    kept.store.flush()
    kept.store.compact()
    assert len(kept.blocks) == 1
    assert kept.found() == {JOBS: 80}


def test_a_start_makes_those_of_memory_again_and_counts_none_twice(kept: Kept) -> None:
    stored(kept.store, jobs("a", 40))
    kept.store.flush()
    stored(kept.store, jobs("a", 40, NOON + HOUR))
    kept.reopen()
    assert kept.found() == {JOBS: 80}


def test_a_line_that_came_twice_counts_once(kept: Kept) -> None:
    for _ in range(2):
        stored(kept.store, jobs("a", 40))
    assert kept.found() == {JOBS: 40}


def test_blocks_of_two_days_have_what_is_of_theirs(kept: Kept) -> None:
    stored(kept.store, jobs("a", 40) + jobs("a", 50, NOON + DAY))
    kept.store.flush()
    values = [read_patterns(path) for path in kept.blocks]
    series = [decode_series(value) for value in values if value is not None]
    assert sorted(int(one.samples.count.sum()) for one in series if one is not None) == [40, 50]
    assert kept.found(begin=NOON, end=NOON + HOUR) == {JOBS: 40}
    assert kept.found() == {JOBS: 90}


def test_a_selector_chooses_streams_wherever_they_are(kept: Kept) -> None:
    for flush in (True, False):
        stored(kept.store, jobs("a", 40, NOON + flush * HOUR) + jobs("b", 35, NOON + flush * HOUR))
        if flush:
            kept.store.flush()
            stored(kept.store, [])
    assert kept.found('{app="b"}') == {JOBS: 35}  # the second 35 are older: late
    assert kept.found('{app="none"}') == {}


def test_words_that_differ_only_over_a_flush_are_one_wildcard(kept: Kept) -> None:
    for hour, number in enumerate((1, 2)):
        stored(kept.store, [entry("a", NOON + hour * HOUR + nth, f"part {number} of many {nth}") for nth in range(20)])
        kept.store.flush()
    assert kept.found() == {"part <_> of many <_>": 40}


def test_fewer_than_thirty_lines_are_no_pattern(kept: Kept) -> None:
    stored(kept.store, jobs("a", 29))
    assert kept.found() == {}


def test_a_failed_flush_keeps_what_it_took(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(kept.store, jobs("a", 40))

    def fail(*_args: object, **_more: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("storage.flush.write_block", fail)
        with pytest.raises(Exception, match="Input/output"):
            kept.store.flush()
    assert kept.found() == {JOBS: 40}
    stored(kept.store, jobs("a", 40, NOON + HOUR))
    kept.store.flush()
    assert kept.found() == {JOBS: 80}


def test_damaged_and_missing_patterns_are_none(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(kept.store, jobs("a", 40))
    kept.store.flush()
    (path,) = kept.blocks
    value = (pq.read_metadata(path).metadata or {})[PATTERNS_KEY]
    assert decode_series(value) is not None
    for at in range(0, len(value), 7):
        assert decode_series(value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]) is None
        assert decode_series(value[:at]) is None
    assert read_patterns(path.with_name("none.parquet")) is None
    monkeypatch.setattr("storage.patterns.MOST_BYTES", 10)
    assert read_patterns(path) is None


def test_what_retention_took_is_not_answered_and_leaves_blocks(tmp_path: Path) -> None:
    clock, book = Clock(NOON + HOUR), PatternBook(Patterns())
    store = opened(tmp_path / "data", keeping(period=DAY), clock, replace(quiet(), patterns=book))
    try:
        stored(store, jobs("a", 40) + jobs("b", 40, NOON + 2 * HOUR))
        store.flush()
        later(store, clock, NOON + DAY + HOUR)
        series = book.series(store, "t", parse_selector('{app=~".+"}'), 0, 2 * NOON)
        assert [int(series.samples.count.sum()), len(series.names)] == [40, 1]
        store.remove_expired()
        (path,) = (tmp_path / "data" / "blocks").rglob("*.parquet")
        value = read_patterns(path)
        assert value is not None
        left = decode_series(value)
        assert left is not None
        assert [name.text for name in left.names] == [JOBS]
        assert int(left.samples.count.sum()) == 40
    finally:
        book.close()
        store.close()


def test_switched_off_nothing_is_kept_and_compaction_keeps_what_there_is(tmp_path: Path) -> None:
    on = Kept(tmp_path / "data")
    for hour in range(2):
        stored(on.store, jobs("a", 40, NOON + hour * HOUR))
        on.store.flush()
    on.close()
    off = Kept(tmp_path / "data", enabled=False)
    stored(off.store, jobs("a", 40, NOON + 3 * HOUR))
    off.store.flush()
    assert [read_patterns(path) is None for path in off.blocks] == [False, False, True]
    off.store.compact()
    off.close()
    again = Kept(tmp_path / "data")
    assert len(again.blocks) == 1
    assert again.found() == {JOBS: 80}
    again.close()


def test_lines_that_there_is_no_time_for_are_counted_by_others(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "level", lambda _self: 0.0)
    monkeypatch.setattr(book_room, "LEAST", 10.0)  # what a slow machine takes for a hundred is within it
    kept.book._cost = book_room.LEAST / 100  # time for a hundred of them
    entries = jobs("a", 4_000)
    for part in range(0, 4_000, 500):
        stored(kept.store, entries[part : part + 500])
    figures = kept.book.figures()
    assert set(figures.lines.values()) == {0}, "the thread waits for its budget"
    (count,) = kept.found().values()
    lines = kept.book.figures().lines
    assert lines["unsampled"] > 3_000
    assert sum(lines.values()) == 4_000
    assert count == pytest.approx(4_000, rel=0.2)


def test_rows_beyond_what_may_wait_count_with_the_others(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "level", lambda _self: 0.0)
    monkeypatch.setattr(book_room, "QUEUE_BYTES", 3_000)
    monkeypatch.setattr(book_room, "LEAST", 10.0)
    entries = jobs("a", 400)
    for part in range(0, 400, 100):
        stored(kept.store, entries[part : part + 100])
    assert kept.found() == {JOBS: 400}
    assert kept.book.figures().lines["unsampled"] == 300


def test_the_budget_saves_up_to_a_limit() -> None:
    now = [0.0]
    budget = Budget(0.05, lambda: now[0])
    assert budget.level() == SAVED
    budget.spend(SAVED + 0.1)
    assert budget.level() == pytest.approx(-0.1)
    now[0] = 4.0
    assert budget.level() == pytest.approx(0.1)
    now[0] = 1000.0
    assert budget.level() == SAVED


def test_the_thread_looks_at_rows_that_nobody_asks_for(kept: Kept) -> None:
    stored(kept.store, jobs("a", 40))
    assert wait_until(lambda: kept.book.figures().lines["counted"] == 40)
    assert kept.book.figures().cpu_seconds > 0


def test_tenants_see_their_own(kept: Kept) -> None:
    stored(kept.store, jobs("a", 40))
    stored(kept.store, jobs("a", 50), tenant="other")
    assert kept.found() == {JOBS: 40}


def samples(found: Sequence[tuple[int, int]]) -> list[int]:
    return [count for _, count in found]


def test_a_block_lists_no_more_samples_than_it_may(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logql.patterns.series.MOST_SAMPLES", 100)
    stored(kept.store, [entry("a", NOON + nth * 10 * SECOND, f"job {nth} is done now") for nth in range(500)])
    kept.store.flush()
    series = kept.book.series(kept.store, "t", parse_selector('{app="a"}'), 0, 2 * NOON)
    assert len(series.samples) <= 100
    (one,) = patterns_between(series, NOON, NOON + 2 * HOUR, HOUR)
    assert samples(one.samples) == [360, 140]
