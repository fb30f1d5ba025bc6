"""What is remembered of streams: newest times, budgets, how many are active."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.push import streams as streams_module
from gateway.push.rates import TokenBucket
from gateway.push.streams import IDLE, Pushed, Refusal, StreamRules, TenantStreams
from tests.gateway.push.pushes import HOUR, NOW, SECOND

WINDOW = StreamRules(window=HOUR, max_streams=0, rate=0, burst=0)
LABELS = (("a", "b"),)


def pushed(*ts: int, labels: tuple[tuple[str, str], ...] = LABELS, size: int = 1) -> Pushed:
    return Pushed(labels, np.array(ts, np.int64), np.full(len(ts), size, np.int64))


def late_rows(states: TenantStreams, *ts: int, now: int = NOW) -> list[int]:
    (refused,) = states.admit("t", [pushed(*ts)], now, WINDOW)
    return [] if refused is None or refused.late is None else refused.late.rows.tolist()


def test_a_bucket_starts_full_and_refills_at_its_rate() -> None:
    bucket = TokenBucket()
    assert bucket.take(100, NOW, 10, 100)
    assert not bucket.take(1, NOW, 10, 100)
    assert not bucket.take(11, NOW + SECOND, 10, 100)
    assert bucket.take(10, NOW + SECOND, 10, 100)
    assert bucket.take(100, NOW + 1000 * SECOND, 10, 100)


def test_a_bucket_refuses_more_than_its_burst_and_takes_nothing_then() -> None:
    bucket = TokenBucket()
    assert not bucket.take(101, NOW, 10, 100)
    assert bucket.take(100, NOW, 10, 100)


def test_a_clock_that_goes_back_refills_nothing_and_does_not_count_twice() -> None:
    bucket = TokenBucket()
    assert bucket.take(100, NOW, 10, 100)
    assert not bucket.take(1, NOW - 100 * SECOND, 10, 100)
    assert not bucket.take(1, NOW, 10, 100)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3 * SECOND)), max_size=30))
def test_a_bucket_never_gives_more_than_burst_and_rate_allow(calls: list[tuple[int, int]]) -> None:
    bucket, now, taken = TokenBucket(), NOW, 0
    for amount, pause in calls:
        now += pause
        taken += amount if bucket.take(amount, now, 10, 100) else 0
    assert taken <= 100 + 10 * (now - NOW) / SECOND + 1e-6


def test_an_entry_may_be_up_to_the_window_behind_the_newest() -> None:
    states = TenantStreams()
    assert late_rows(states, NOW) == []
    assert late_rows(states, NOW - HOUR) == []
    assert late_rows(states, NOW - HOUR - 1) == [0]


def test_the_newest_time_moves_within_a_push() -> None:
    assert late_rows(TenantStreams(), NOW - 2 * HOUR, NOW, NOW - 2 * HOUR) == [2]
    assert late_rows(TenantStreams(), NOW, NOW - HOUR, NOW - HOUR - 1, NOW - 5) == [2]


@given(st.lists(st.lists(st.integers(1, 8), min_size=1, max_size=6), max_size=5))
def test_the_window_is_what_looking_at_entries_one_by_one_gives(pushes: list[list[int]]) -> None:
    states, newest = TenantStreams(), 0
    for ts in pushes:
        expected = []
        for row, half_hours in enumerate(ts):
            time = half_hours * HOUR // 2
            if newest and time < newest - HOUR:
                expected.append(row)
            newest = max(newest, time)
        assert late_rows(states, *(half_hours * HOUR // 2 for half_hours in ts)) == expected


def test_an_idle_stream_is_forgotten_and_takes_old_entries_again() -> None:
    states = TenantStreams()
    assert late_rows(states, NOW) == []
    assert late_rows(states, NOW - 2 * HOUR, now=NOW + IDLE) == [0]
    assert late_rows(states, NOW - 2 * HOUR, now=NOW + 2 * IDLE + 1) == []


def test_streams_beyond_the_limit_are_refused_until_others_are_idle() -> None:
    states, rules = TenantStreams(), StreamRules(0, 2, 0, 0)
    a, b, c = (pushed(NOW, labels=(("s", name),)) for name in "abc")
    refused = states.admit("t", [a, b, c], NOW, rules)
    assert [None if r is None else r.reason for r in refused] == [None, None, Refusal.STREAM_LIMIT]
    assert states.admit("t", [a], NOW + 1, rules) == [None]
    assert states.admit("other", [c], NOW, rules) == [None]
    assert states.active("t", NOW) == 2
    assert states.admit("t", [a], NOW + IDLE, rules) == [None]
    assert states.admit("t", [c], NOW + IDLE + 1, rules) == [None]
    assert states.active("t", NOW + IDLE + 1) == 2


def test_a_stream_over_its_rate_is_refused_whole_and_its_newest_time_stays() -> None:
    states, rules = TenantStreams(), StreamRules(HOUR, 0, 10, 100)
    assert states.admit("t", [pushed(NOW, size=90)], NOW, rules) == [None]
    (refused,) = states.admit("t", [pushed(NOW + HOUR, NOW - HOUR, size=6)], NOW, rules)
    assert refused is not None
    assert refused.reason is Refusal.TOO_FAR_BEHIND  # 6 of 10 bytes are left: the late entry takes none
    states = TenantStreams()
    assert states.admit("t", [pushed(NOW, size=90)], NOW, rules) == [None]
    (refused,) = states.admit("t", [pushed(NOW + HOUR, NOW + HOUR, size=6)], NOW, rules)
    assert refused is not None
    assert refused.reason is Refusal.RATE
    assert late_rows(states, NOW - HOUR + 1) == []


def test_tenants_that_are_idle_are_forgotten() -> None:
    states = TenantStreams()
    for n in range(1000):
        states.take_bytes(f"tenant-{n}", 1, NOW, 10, 10)
    states.take_bytes("late", 1, NOW + IDLE + 1, 10, 10)
    assert list(states._tenants) == ["late"]


def test_streams_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "MAX_STREAMS", 10)
    states = TenantStreams()
    states.admit("t", [pushed(NOW, labels=(("s", str(n)),)) for n in range(50)], NOW, WINDOW)
    assert states.active("t", NOW) == 10


def test_threads_together_take_no_more_than_there_is() -> None:
    states = TenantStreams()
    taken: list[int] = []

    def push() -> None:
        taken.extend(1 for _ in range(500) if states.take_bytes("t", 1, NOW, 0, 1000))

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1000
