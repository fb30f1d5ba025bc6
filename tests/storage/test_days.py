from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import days as days_module
from storage.days import Days
from tests.storage.entries import ALWAYS, DAY, NOON

MS = 1_000_000
writes = st.lists(st.tuples(st.integers(0, 60), st.integers(NOON - DAY, NOON + DAY)), min_size=1, max_size=8)
times = st.integers(NOON - 2 * DAY, NOON + 2 * DAY)


@pytest.mark.parametrize("waiting", [1, 5, 1000])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(writes, max_size=30), start=times, length=st.integers(0, 3 * DAY), data=st.data())
def test_active_is_told_whether_or_not_streams_wait(
    monkeypatch: pytest.MonkeyPatch,
    waiting: int,
    batches: list[list[tuple[int, int]]],
    start: int,
    length: int,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(days_module, "_WAITING", waiting)
    days = Days()
    spans: dict[tuple[int, int], list[int]] = {}
    end = start + length
    for batch in batches:
        days.touch(np.array([stream for stream, _ in batch], np.int32), np.array([ts for _, ts in batch], np.int64))
        for stream, ts in batch:
            spans.setdefault((stream, ts // DAY), []).append(ts)
        if data.draw(st.booleans()):  # a question in between sorts in what waits
            days.active(start, end)
    found = days.active(start, end).tolist()
    must = {stream for (stream, _), times in spans.items() if any(start <= ts < end for ts in times)}
    may = {stream for (stream, _), times in spans.items() if min(times) - MS < end and max(times) + MS > start}
    assert found == sorted(set(found))
    assert must <= set(found) <= may
    some = np.array(sorted(data.draw(st.sets(st.integers(0, 70)))), np.int32)
    assert days.active(start, end, some).tolist() == [stream for stream in some.tolist() if stream in set(found)]


def test_streams_of_a_day_are_the_same_array_until_one_is_added() -> None:
    days = Days()

    def streams() -> np.ndarray:
        ((_, bounds),) = days.within(*ALWAYS)
        return bounds.streams

    days.touch(np.array([3, 1], np.int32), np.array([NOON, NOON], np.int64))
    before = streams()
    days.touch(np.array([1], np.int32), np.array([NOON + 5], np.int64))
    assert streams() is before
    days.touch(np.array([2], np.int32), np.array([NOON], np.int64))
    assert before.tolist() == [1, 3]
    assert streams().tolist() == [1, 2, 3]
