from __future__ import annotations

import threading

import pytest

from logql import timings
from logql.timings import Seconds, Stage, Timings, WallTimings


class Clock:
    """Both clocks of a test, which it sets; processor time runs at half the speed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(timings, "perf_counter", lambda: self.now)
        monkeypatch.setattr(timings, "thread_time", lambda: self.now / 2)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_span_within_another_is_not_counted_in_that(clock: Clock) -> None:
    found = Timings()
    with found.span(Stage.AGGREGATE):
        clock.now += 1
        with found.span(Stage.LINES):
            clock.now += 2
            with found.span(Stage.TIMES):
                clock.now += 4
        with found.span(Stage.LINES):
            clock.now += 8
        clock.now += 16
    assert found.by_stage() == {
        Stage.TIMES: Seconds(4, 2),
        Stage.LINES: Seconds(10, 5),
        Stage.AGGREGATE: Seconds(17, 8.5),
    }


def test_spans_that_have_not_ended_count_up_to_now(clock: Clock) -> None:
    found = Timings()
    with found.span(Stage.OTHER):
        clock.now += 1
        with found.span(Stage.PLAN):
            clock.now += 2
        with found.span(Stage.ENCODE):
            clock.now += 4
            with found.span(Stage.ENCODE):
                clock.now += 8
                assert found.by_stage() == {
                    Stage.PLAN: Seconds(2, 1),
                    Stage.ENCODE: Seconds(12, 6),
                    Stage.OTHER: Seconds(1, 0.5),
                }


def test_a_span_that_ends_with_an_error_counts(clock: Clock) -> None:
    found = Timings()
    with pytest.raises(LookupError):
        _fail(found, clock)
    assert found.by_stage() == {Stage.PARSE: Seconds(1, 0.5)}


def _fail(found: Timings, clock: Clock) -> None:
    with found.span(Stage.PARSE):
        clock.now += 1
        raise LookupError


def test_each_thread_has_its_own_spans_and_all_are_added_up(clock: Clock) -> None:
    found = Timings()
    with found.span(Stage.OTHER):
        for _ in range(3):
            thread = threading.Thread(target=_read, args=(found, clock))
            thread.start()
            thread.join()
    # What another thread does is no part of this one's span, and this one waits meanwhile.
    assert found.by_stage() == {Stage.LINES: Seconds(15, 7.5), Stage.OTHER: Seconds(15, 7.5)}


def _read(found: Timings, clock: Clock) -> None:
    with found.span(Stage.LINES):
        clock.now += 5


def test_wall_timings_are_the_same_without_processors_and_footers(clock: Clock) -> None:
    found = WallTimings()
    with found.span(Stage.AGGREGATE):
        clock.now += 1
        with found.span(Stage.INDEX):
            clock.now += 2
        with found.span(Stage.LINES):
            clock.now += 4
            assert found.by_stage() == {Stage.LINES: Seconds(4, 0), Stage.AGGREGATE: Seconds(3, 0)}
        clock.now += 8
    assert found.by_stage() == {Stage.LINES: Seconds(4, 0), Stage.AGGREGATE: Seconds(11, 0)}


def test_wall_timings_of_threads_do_not_lie_within_each_other(clock: Clock) -> None:
    found = WallTimings()

    def elsewhere() -> None:
        with found.span(Stage.LINES):
            clock.now += 3

    with found.span(Stage.OTHER):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert found.by_stage() == {Stage.LINES: Seconds(3, 0), Stage.OTHER: Seconds(3, 0)}


def test_a_wall_span_that_fails_is_counted(clock: Clock) -> None:
    found = WallTimings()

    def fail() -> None:
        with found.span(Stage.OTHER), found.span(Stage.LINES):
            clock.now += 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert found.by_stage() == {Stage.LINES: Seconds(1, 0), Stage.OTHER: Seconds(0, 0)}
